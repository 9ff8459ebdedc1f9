"""The role: plan, apply as one transaction, verify, remove."""

import contextlib
import functools
import os
import shutil
import time
from typing import Any, Dict, List

from caddy import paths
from caddy.desired import caddy_files, file_faults
from caddy.look import check_build, check_custom_pair, gather, other_runtime, runtime_of, served, site_faults
from caddy.pairs import read_text
from caddy.planning import expiry_warnings, needs_restart, plan
from caddy.smtp_delivery import SmtpDelivery
from caddy.state import State
from rolelib.commands import CommandError
from rolelib.files import DesiredFile, write
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["Caddy"]

# From a reload to the first right answer for names whose certificate is already there.
SERVE_SECONDS = 15
POLL_SECONDS = 0.5
LOG_LINES = 25
# What does not touch Caddy itself.
OUTSIDE = ("smtp",)


class Caddy(Role):
    """Caddy with the sites of the definition. Settings: ``mailstack.caddy.definition.role_settings``.

    Secrets: ``certificate_key`` (PEM) with certificates custom, ``dns_token`` with challenge dns.
    """

    name = "caddy"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input; facts about the host are read when planning."""
        Role.__init__(self, settings, secrets)
        self.runtime = runtime_of(settings)
        self.smtp = SmtpDelivery(settings, self.runtime)
        self.host: Dict[str, Any] = {}
        self.proved = False

    # -- looking ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare host and settings; a custom certificate that would not work stops here."""
        check_custom_pair(self.settings, self.secrets)
        check_build(self.settings, self.runtime, self.runtime.version())
        self._gather()
        self._report()
        steps = plan(self.host, self.settings)
        return [Change(step["kind"], step["what"], functools.partial(self._prepare, step["kind"])) for step in steps]

    def _gather(self) -> None:
        leftover = State.leftover() is not None
        self.host = gather(self.settings, self.secrets, self.runtime, leftover)

    def _prepare(self, kind: str) -> None:
        if kind == "resume":
            self._resume()
        elif kind == "install":
            self.runtime.install()
            if self.runtime.placement == "service":
                State.note_installed()
            check_build(self.settings, self.runtime, self.runtime.version())

    # -- changing -----------------------------------------------------------------------------------------

    def apply(self, changes: Plan) -> None:
        """Carry out the plan: the program first, then all files and the running Caddy as one transaction."""
        if not changes:
            self.proved = True  # the plan asked for every name a moment ago
            return
        State.keep_original(self.runtime, self.host)
        for change in changes:
            self.say(change.step, change.what)
            change.mend()
        if any(change.step in ("resume", "install") for change in changes):
            self._gather()
        if any(change.step not in OUTSIDE for change in changes):
            self._activate()
        self.smtp.install()
        # Only now: until here systemd watched the pair that was brought to the SMTP server before.
        for path in self.host["stale"]:
            shutil.rmtree(path, ignore_errors=True)

    def _resume(self) -> None:
        """Undo what a killed run left half done, so that a later failure falls back to something that worked."""
        leftover = State.leftover()
        if leftover is not None:
            leftover.restore()
            leftover.close()
        _discard_candidate()
        if self.runtime.version() is not None and os.path.exists(paths.CADDYFILE) and State.was_active():
            self.runtime.restart()

    def _activate(self) -> None:
        """Check the new configuration, swap it in, make Caddy use it, prove that it serves; else put all back."""
        files = caddy_files(self.settings, self.secrets, self.runtime)
        others = [file for file in files if file.path not in (paths.CADDYFILE, paths.SERVICE_DROP_IN)]
        changed_units = any(fault.startswith(paths.SERVICE_DROP_IN) for fault in self.host["files"])
        self.runtime.prepare()
        transaction = State.begin(self.host["active"])
        try:
            # Keys and the token first: the Caddyfile is read with them. None of them is in use yet.
            self._write(transaction, others)
            self._validate()
            other = other_runtime(self.runtime, self.settings)
            self._write(transaction, files)
        except (RoleError, CommandError, OSError):
            transaction.restore()
            _drop_empty_pairs()
            State.end(transaction)
            raise
        restart = needs_restart(self.host, changed_units)
        try:
            if other is not None:
                self.say("placement", f"stopping Caddy as a {other.placement}")
                other.halt()
            self.say("activate", "starting Caddy anew" if restart else "reloading Caddy")
            if restart:
                self.runtime.restart()
            else:
                self.runtime.reload()
            self._wait_until_it_serves()
        except (RoleError, CommandError, OSError) as error:
            log = self.runtime.log(LOG_LINES)
            self.say("roll back", str(error))
            transaction.restore()
            _drop_empty_pairs()
            back = self._roll_back(other, restart)
            State.end(transaction)
            raise RoleError("activate", f"{error}\nlast lines of Caddy:\n{log}\n{back}") from None
        if other is not None:
            other.stop()
        State.end(transaction)

    def _write(self, transaction: Any, files: List[DesiredFile]) -> None:
        for file in files:
            if not file_faults([file]):
                continue
            _make_passable(os.path.dirname(file.path))
            transaction.write(file)

    def _validate(self) -> None:
        """Have the production program read the new Caddyfile and load everything it names."""
        write(DesiredFile(paths.CANDIDATE, self.settings["caddyfile"]))
        try:
            result = self.runtime.validate(paths.CANDIDATE)
        finally:
            _discard_candidate()
        if result.ok:
            self.say("validate", "Caddy accepts the new configuration")
            return
        logged = ('{"level":"info"', '{"level":"warn"')
        lines = [line for line in (result.out + result.err).splitlines() if not line.startswith(logged)]
        reason = "\n".join(lines[-5:]).replace(paths.CANDIDATE, paths.CADDYFILE)
        raise RoleError("validate", f"Caddy refuses the new Caddyfile, what was there is untouched: {reason}")

    def _wait_until_it_serves(self) -> None:
        """Wait for every redirect, and for the certificate of every name that had one before.

        A name that is new may wait for its issuer longer than this. Where the issuer is another one than before,
        there is that long for all.
        """
        by_acme = self.settings["certificates"]["kind"] == "acme"
        good = {name for name, certificate in self.host["served"].items() if certificate is not None}
        started = time.monotonic()
        issue_seconds = max(SERVE_SECONDS, self.settings["issue_wait_seconds"]) if by_acme else SERVE_SECONDS
        while True:
            faults = site_faults(self.settings, self.runtime, served(self.settings))
            redirects = [fault for fault in faults if fault.startswith("http://")]
            if by_acme:
                faults = [fault for fault in faults if fault in redirects or _names(fault) in good]
            if not faults:
                return
            patience = SERVE_SECONDS if redirects else issue_seconds
            if not self.runtime.active() or time.monotonic() - started >= patience:
                raise RoleError("serve", "\n".join(faults))
            time.sleep(POLL_SECONDS)

    def _roll_back(self, other: Any, restart: bool) -> str:
        """Have Caddy use the files that are back; return in words how that went."""
        try:
            if other is not None:
                self.runtime.stop()
                other.resume()
                return f"Caddy as a {other.placement} is back"
            if not self.host["active"]:
                self.runtime.stop()
                return "the files are as before; Caddy is stopped, as it was"
            if restart or not self._reloads():
                self.runtime.restart()
        except (RoleError, CommandError) as error:
            return f"the previous files are back, but Caddy does not run with them: {error}"
        return "the previous configuration is back and running"

    def _reloads(self) -> bool:
        """Try to go back without breaking off requests; tell whether that worked."""
        try:
            self.runtime.reload()
        except (RoleError, CommandError):
            return False
        return True

    # -- proving ------------------------------------------------------------------------------------------

    def verify(self) -> None:
        """Wait until every name has its certificate, bring it to the SMTP server, report dates."""
        if self.proved:
            return
        deadline = time.monotonic() + float(self.settings["issue_wait_seconds"])
        said = False
        while True:
            shown = served(self.settings)
            faults = site_faults(self.settings, self.runtime, shown)
            if not faults:
                break
            if time.monotonic() >= deadline:
                raise RoleError("issue", self._issue_message(faults))
            if not said:
                self.say("issue", f"waiting for certificates: {'; '.join(faults)}")
                said = True
            time.sleep(POLL_SECONDS)
        self.host["served"] = shown
        self.smtp.deliver(self.say)
        self.host["smtp_facts"] = self.smtp.facts()
        self._report()

    def _issue_message(self, faults: List[str]) -> str:
        waited = self.settings["issue_wait_seconds"]
        return (
            "\n".join(faults)
            + f"\nnot mended within {waited} s. For ACME each name must lead to port 80 of this host from the "
            "Internet (DNS, firewall). The configuration stays, Caddy goes on trying; last lines of its log:\n"
            + self.runtime.log(LOG_LINES)
        )

    def _report(self) -> None:
        certificates = self.settings["certificates"]
        now = time.time()
        shown = {name: found for name, found in self.host["served"].items() if found is not None}
        self.facts.update(
            caddy=self.runtime.version(),
            placement=self.runtime.placement,
            issuer=certificates.get("directory") or certificates["kind"],
            names={
                name: {
                    "issuer": found.issuer,
                    "not_after": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(found.not_after)),
                    "days_left": found.days_left(now),
                    "sha256": found.sha256,
                }
                for name, found in shown.items()
            },
            smtp_certificate=self.host["smtp_facts"],
        )
        if certificates["kind"] == "internal":
            root = os.path.join(self.runtime.storage, "pki", "authorities", "local", "root.crt")
            self.facts["internal_ca"] = read_text(root)
        dates = {name: {"not_before": found.not_before, "not_after": found.not_after} for name, found in shown.items()}
        days = self.settings["expiry_warning_days"]
        self.warnings[:] = expiry_warnings(certificates["kind"], dates, days, now)

    def remove(self) -> List[str]:
        """Undo everything; certificates and the ACME account stay unless the settings say otherwise."""
        from caddy.removal import remove  # noqa: PLC0415

        return remove(self.settings, self.runtime, self.smtp, self.say)


def _make_passable(directory: str) -> None:
    """Make a directory others may pass: our umask would keep Caddy's user out, the files have modes of their own."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for path in reversed(missing):
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103


def _drop_empty_pairs() -> None:
    for name in os.listdir(paths.PAIRS) if os.path.isdir(paths.PAIRS) else []:
        with contextlib.suppress(OSError):  # the one in use is not empty
            os.rmdir(os.path.join(paths.PAIRS, name))


def _discard_candidate() -> None:
    if os.path.exists(paths.CANDIDATE):
        os.unlink(paths.CANDIDATE)


def _names(fault: str) -> str:
    """Return the host name a fault is about."""
    return fault.partition("://")[2].partition(" ")[0].partition("/")[0]
