"""The role: plan, apply as one transaction, verify, remove."""

import functools
import os
import pwd
import shutil
from typing import Any, Dict, List, Optional

from postfix_relay import candidate, monitoring, paths, service, submission
from postfix_relay.desired import Desired, desired, digest, platform_row
from postfix_relay.facts import gather, queue_counts
from postfix_relay.planning import OURS_ALONE, needs_restart, plan
from postfix_relay.proof import prove
from postfix_relay.state import State
from rolelib.commands import CommandError, run
from rolelib.files import DesiredFile, differs, write
from rolelib.host import RoleError, install_packages, systemctl
from rolelib.protocol import Change, Plan, Role

__all__ = ["PostfixRelay"]

# Debian's question; with this answer the package writes no main.cf and starts nothing.
NO_CONFIGURATION = "postfix postfix/main_mailer_type select No configuration\n"
UNITS = ("postfix.service", "postfix@-.service")


class PostfixRelay(Role):
    """Postfix as a send-only relay. Settings: ``mailstack.postfix.relay.role_settings``; secrets: sasl_password,
    upstream_passwords, submission_passwords."""

    name = "postfix_relay"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input; facts about the host are read when planning."""
        Role.__init__(self, settings, secrets)
        self.host: Dict[str, Any] = {}
        self.proof_tried = False

    def state(self) -> State:
        """Return what is kept on the host."""
        return State(self.state_directory())

    def _look(self) -> None:
        self.host = gather(self.settings, self.state_directory())
        self.host["submission_hashes"] = submission.hashes(self.settings, self.secrets)

    def plan(self) -> Plan:
        """Compare host and settings; each step of the pure plan becomes a change."""
        self._look()
        steps = plan(self.host, self.settings, self.secrets)
        if self.settings["weaker_tls"]:
            self.warnings.append(
                f"TLS to the upstream is only {self.settings['weaker_tls']!r}: the certificate's name is not proved"
            )
        return [Change(step["kind"], step["what"], functools.partial(self._prepare, step)) for step in steps]

    def _prepare(self, step: Dict[str, Any]) -> None:
        if step["kind"] == "resume":
            self._resume()
        elif step["kind"] == "install":
            self._install(step["packages"])
        elif step["kind"] == "selinux":
            self._label(step["ports"])

    def apply(self, changes: Plan) -> None:
        """Carry out the plan: packages first, then all files and the service as one transaction."""
        if not changes:
            return
        self.state().keep_original(self.host)
        for change in changes:
            self.say(change.step, change.what)
            change.mend()
        if any(change.step in ("resume", "install") for change in changes):
            self._look()
        # What only concerns the metrics leaves Postfix alone.
        if any(change.step != "metrics" for change in changes):
            self._activate()
        if any(change.step == "metrics" for change in changes):
            log = platform_row(self.host["family"]).log_file
            monitoring.activate(self.settings, self.host["python"], log, self.state().path("metrics-before"))

    def _resume(self) -> None:
        """Undo what a killed run left half done, so that a later failure falls back to something that worked."""
        state = self.state()
        leftover = state.leftover()
        if leftover is not None:
            leftover.restore()
        self._unmask()
        if os.path.exists(paths.MAIN_CF) and (state.load("pending.json") or {}).get("was_active"):
            service.start("restart")
        state.end()
        candidate.discard()

    def _install(self, packages: List[str]) -> None:
        first = "postfix" in packages
        submission_package = submission.PACKAGES[self.host["family"]]
        if submission_package in packages:
            self.state().save("submission.json", {"package": submission_package})
        if first and os.path.exists(paths.MAIN_CF):
            # Left by a package that was removed, not purged: it must not come back to life. A copy is kept.
            os.unlink(paths.MAIN_CF)
        if first and self.host["family"] == "debian":
            # Without a configuration the start after the installation can only fail, slowly.
            run(["systemctl", "mask", "--runtime", *UNITS], check=False)
            install_packages(packages, debconf=NO_CONFIGURATION)
            self._unmask()
        else:
            install_packages(packages)
        if submission_package in packages:
            submission.quiet_package()
        if first and self.host["family"] == "debian":
            return
        row = platform_row(self.host["family"])
        if first and row.alternative:
            for name in row.competitors:
                if name in self.host["packages"]:
                    run(["systemctl", "disable", "--now", name], check=False)
            run(["alternatives", "--set", "mta", row.alternative], check=False)

    def _unmask(self) -> None:
        run(["systemctl", "unmask", "--runtime", *UNITS], check=False)

    def _label(self, ports: List[int]) -> None:
        if not shutil.which("semanage"):
            install_packages(platform_row(self.host["family"]).selinux_packages)
        for port in ports:
            run(["semanage", "port", "-a", "-t", "smtp_port_t", "-p", "tcp", str(port)])

    def _activate(self) -> None:
        """Check the new configuration, swap it in, make Postfix read it, prove that it works; else put all back."""
        state, facts = self.state(), self.host
        wanted = desired(self.settings, self.secrets, facts)
        self._make_log_directory()
        self.say("check", "trying the new configuration beside the running one")
        try:
            made = candidate.build(wanted)
            candidate.examine(wanted, facts, self.settings, self.warnings)
            service.check_ports_free(self.settings["listen"])
            self._swap(state, wanted, made)
        finally:
            candidate.discard()
        state.record(self.settings, sorted(set(made) | set(wanted.files)))
        if self.facts.get("proved"):
            state.record_proof(self.settings)
        state.keep_configuration(wanted)
        state.end()

    def _make_log_directory(self) -> None:
        row = platform_row(self.host["family"])
        directory = os.path.dirname(row.log_file)
        owner = pwd.getpwnam(row.log_owner)
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, owner.pw_uid, owner.pw_gid)
        os.chmod(directory, 0o755)  # noqa: S103 - names of log files are no secret, the files are root's
        if not os.path.exists(row.log_file):  # `postfix start` would make it readable by all
            write(DesiredFile(row.log_file, "", mode=0o600))

    def _swap(self, state: State, wanted: Desired, made: List[str]) -> None:
        facts, log = self.host, platform_row(self.host["family"]).log_file
        passwords = [path for path, file in wanted.files.items() if file.secret and path in made]
        changed = [path for path in passwords if _is_changed(facts["files"].get(path), wanted.files[path])]
        restart = needs_restart(facts, wanted)
        obsolete = [
            path
            for path in facts["files"]
            if path.startswith(OURS_ALONE) and path not in made and path not in wanted.files and os.path.exists(path)
        ]
        tools = [file for path, file in wanted.files.items() if path not in made]
        before = state.rollback()
        for path in [*made, *obsolete, *(file.path for file in tools)]:
            before.remember(path)
        state.begin(facts["service"]["active"])
        offset = service.log_size(log)
        try:
            os.makedirs(paths.MAPS_DIRECTORY, exist_ok=True)
            os.chmod(paths.MAPS_DIRECTORY, 0o755)  # noqa: S103 - the daemons read the maps as their own user
            # The maps first: main.cf names them, and processes that start meanwhile read it.
            for path in sorted(made, key=lambda path: (path == paths.MAIN_CF, path)):
                os.rename(candidate.there(path), path)
            for path in obsolete:
                os.unlink(path)
            if os.path.isdir("/sys/fs/selinux"):
                run(["restorecon", "-R", paths.CONFIG_DIRECTORY], check=False)
            self._write_tools(tools)
            if not self.settings.get("submission"):
                submission.uninstall()
            self.say("activate", "restarting Postfix" if restart else "reloading Postfix")
            self._enable()
            service.reload_or_restart(restart)
            service.wait_until_it_answers(
                self.settings["hostname"], self.settings["listen"], service.unit_of(facts), log, offset
            )
            if facts["recorded"]:  # without one there is nothing to go back to, see verify
                self._prove()
        except (RoleError, CommandError, OSError) as error:
            self.say("roll back", str(error))
            back = self._roll_back(state)
            step = "prove" if isinstance(error, RoleError) and error.step == "prove" else "activate"
            raise RoleError(step, f"{error}; {back}") from None
        if changed:
            self.say("activate", "a password changed: trying deferred mail once")
            run(["postqueue", "-f"], check=False)

    def _write_tools(self, tools: List[DesiredFile]) -> None:
        changed = [file for file in tools if differs(file) is not None]
        if self.settings.get("submission"):
            os.makedirs(paths.AUTH_DIRECTORY, exist_ok=True)
            os.chmod(paths.AUTH_DIRECTORY, 0o755)  # noqa: S103 - Dovecot's own user goes through it
        for file in changed:
            write(file)
        if any(file.path.startswith(paths.SYSTEM_UNITS) for file in changed):
            systemctl("daemon-reload")
        logins = [file for file in changed if file.path.startswith(paths.AUTH_DIRECTORY)]
        if self.settings.get("submission") and (logins or not submission.is_active()):
            submission.restart()

    def _enable(self) -> None:
        if self.host["service"]["masked"]:
            self._unmask()
        if not self.host["service"]["enabled"]:
            systemctl("enable", "postfix.service")
        if not self.host["log_timer"]:
            systemctl("enable", "--now", paths.LOG_TIMER)

    def _roll_back(self, state: State) -> str:
        """Restore the files and the service as they were; return in words how that went."""
        before = state.leftover()
        if before is not None:
            before.restore()
            if os.path.exists(paths.AUTH_CONFIG):
                run(["systemctl", "restart", paths.AUTH_UNIT], check=False)
            else:
                submission.uninstall()
        applied = state.load("applied.json") or {}
        log = platform_row(self.host["family"]).log_file
        try:
            if not self.host["service"]["active"]:
                service.stop()
                if not self.host["service"]["enabled"]:
                    systemctl("disable", "postfix.service")
                state.end()
                return "Postfix is stopped, as it was before; the files are as before"
            # Not a reload: master waits a minute before it tries a program again that failed.
            service.start("restart")
            offset = service.log_size(log)
            service.wait_until_it_answers(
                applied.get("hostname"), applied.get("listen", []), service.unit_of(self.host), log, offset
            )
        except (RoleError, CommandError) as error:
            return f"the previous files are back, but Postfix does not run with them: {error}"
        if applied:
            state.record(
                {"hostname": applied["hostname"], "listen": applied["listen"]},
                [path for path in applied["files"] if os.path.exists(path)],
            )
        state.end()
        return "the previous configuration is back and running"

    def _prove(self) -> None:
        """Prove that mail passes, where that is asked for. Raises RoleError unless a failure is only warned of."""
        proof = self.settings.get("proof")
        if proof is None:
            return
        self.proof_tried = True
        try:
            prove(proof, self.settings["listen"], self.say)
        except RoleError as error:
            self.facts["proved"] = False
            if proof["on_failure"] == "fail":
                hint = "no further host is touched; relay.proof.on_failure: warn would go on without this proof"
                raise RoleError("prove", f"{error}\n{hint}") from None
            self.say("prove", str(error))
            self.warnings.append(str(error))
        else:
            self.facts["proved"] = True

    def verify(self) -> None:
        """Report what runs. An apply has proved it before it let go of the old configuration; a plan asks anew.

        What has been proved once, and is as it was, is not proved again.
        """
        state = self.state()
        if self.settings.get("proof") is not None and not self.proof_tried:
            if state.is_proved(self.settings):
                self.facts["proved"] = True
            else:
                self._prove()
                if self.facts["proved"]:
                    state.record_proof(self.settings)
        self.facts["listening"] = [f"{address}:{port}" for address, port in self.settings["listen"]]
        if self.host["postfix"] is not None:
            self.facts["postfix_version"] = self.host["postfix"]["defaults"].get("mail_version")
            self.facts["left_out_parameters"] = desired(self.settings, self.secrets, self.host).left_out
        self.facts["queued_messages"] = sum(queue_counts().values())

    def remove(self) -> List[str]:
        """Undo everything; refuse while mail is queued."""
        from postfix_relay.removal import remove  # noqa: PLC0415

        return remove(self.state(), self.settings, self.say)


def _is_changed(now: Optional[Dict[str, Any]], file: DesiredFile) -> bool:
    """Tell whether a file that was there gets other content."""
    return now is not None and now["sha256"] != digest(file.content)
