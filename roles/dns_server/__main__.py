"""Entry point: ``python3 -m dns_server [--check|--remove]``."""

import datetime as dt
import grp
import json
import os
import shutil
import sys
import time
from typing import Any, Dict, List, Tuple

from dns_server.plan import Desired, Facts, desired, differences, global_addresses, held, served_wrong, zone_texts
from dns_server.query import Answer, ask
from dns_server.servers import (
    DEFAULT_SERVER,
    MARK,
    REPOSITORY_PACKAGES,
    SERVERS,
    Config,
    Server,
    needs_restart,
    zone_file_name,
)
from rolelib.commands import CommandError, run
from rolelib.files import DesiredFile, Transaction, differs, read, write
from rolelib.host import (
    install_packages,
    installed_packages,
    package_family,
    remove_packages,
    service_is_active,
    service_is_enabled,
    systemctl,
    unit_log,
)
from rolelib.protocol import STATE_DIRECTORY, Change, Plan, Role, RoleError, main

DEFAULT_PORT = 53
# From the start of the server to its first answer; a zone of ours loads in milliseconds.
ANSWER_SECONDS = 10
POLL_SECONDS = 0.1


class DnsServer(Role):
    """Serves the given zones, and nothing else, on this host.

    Settings: ``zones`` (``name`` and ``text``, a zone file with a placeholder serial), ``server`` ("auto", "knot",
    "nsd"), ``listen`` (addresses; empty for the host's own global ones), ``port``, ``transfer_to`` (addresses that
    may copy the zones), ``hold`` (pairs of name and type that stay as they are served now, whatever the text says: MX
    and DMARC of live domains wait until the hosts behind them are ready). The previous zones and configuration stay in
    place and served when new ones fail.
    """

    name = "dns_server"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Read the settings; nothing on the host is looked at yet."""
        Role.__init__(self, settings, secrets)
        self.texts: Dict[str, str] = {}
        self.server = SERVERS["knot"]
        self.config = Config([], DEFAULT_PORT, [], [])

    # -- looking ------------------------------------------------------------------------------------------

    def plan(self) -> Plan:
        """Compare files, service and answers with the settings."""
        self.texts = zone_texts(self.settings)
        self.server = self._choose()
        self.config = self._configuration()
        facts = self._look()
        self.texts = held(self.texts, self.settings, facts)
        wanted = desired(self.server, self.config, self.texts, facts)
        found = differences(self.server, wanted, facts)
        if facts.installed:
            found += [("files", what) for what in self._wrong_modes(wanted, facts)]
        self._report(facts)
        return [Change(step, what, _done_together) for step, what in found]

    def _choose(self) -> Server:
        """Stay with the server that is in use; else take the one asked for, else the system's default."""
        asked = str(self.settings.get("server") or "auto")
        in_use = self._state().get("server")
        if asked == "auto":
            return SERVERS[in_use or DEFAULT_SERVER[package_family()]]
        if asked not in SERVERS:
            raise RoleError("settings", f"server {asked!r} is none of: auto, {', '.join(sorted(SERVERS))}")
        if in_use not in (None, asked):
            raise RoleError(
                "settings",
                f"{in_use} serves the zones of this host; run this role with --remove before changing to {asked}",
            )
        return SERVERS[asked]

    def _configuration(self) -> Config:
        listen = [str(address) for address in self.settings.get("listen") or []]
        if not listen:
            listen = global_addresses(run(["ip", "-o", "address", "show", "up"]).out)
        if not listen:
            raise RoleError("facts", "this host has no global address: say in the settings where to listen")
        return Config(
            listen,
            int(self.settings.get("port") or DEFAULT_PORT),
            list(self.texts),
            [str(address) for address in self.settings.get("transfer_to") or []],
        )

    def _look(self) -> Facts:
        server = self.server
        zone_files = {name: read(os.path.join(server.zone_directory, name)) or "" for name in _zone_files(server)}
        active = service_is_active(server.name)
        zones = sorted({*self.texts, *(name[: -len(".zone")] for name in zone_files)})
        return Facts(
            installed=bool(installed_packages([server.name])),
            active=active,
            enabled=service_is_enabled(server.name),
            config=read(server.config_path),
            zone_files=zone_files,
            answers=self._ask(zones) if active else {},
            today=dt.datetime.now(dt.timezone.utc).date(),
        )

    def _ask(self, zones: List[str]) -> Dict[Tuple[str, str, str], Answer]:
        return {
            (address, protocol, zone): ask(address, self.config.port, zone, protocol)
            for address in self.config.listen
            for protocol in ("udp", "tcp")
            for zone in zones
        }

    def _files(self, wanted: Desired) -> List[DesiredFile]:
        server = self.server
        files = [
            DesiredFile(os.path.join(server.zone_directory, zone_file_name(zone)), text, 0o640, "root", server.name)
            for zone, text in sorted(wanted.zones.items())
        ]
        # The configuration last: it names the zones, so they should be there.
        return [
            *files,
            DesiredFile(server.config_path, wanted.config, server.config_mode, "root", server.name),
        ]

    def _wrong_modes(self, wanted: Desired, facts: Facts) -> List[str]:
        """Return what is wrong with files whose content is right."""
        same = {self.server.config_path} if facts.config == wanted.config else set()
        for zone, text in wanted.zones.items():
            if facts.zone_files.get(zone_file_name(zone)) == text:
                same.add(os.path.join(self.server.zone_directory, zone_file_name(zone)))
        found = [differs(file) for file in self._files(wanted) if file.path in same]
        return [what for what in found if what]

    def _report(self, facts: Facts) -> None:
        serials = {zone: answer.serial for (_, _, zone), answer in facts.answers.items() if answer.serial}
        self.facts.update(
            server=self.server.name,
            version=installed_packages([self.server.name]).get(self.server.name),
            listen=self.config.listen,
            port=self.config.port,
            zones=serials,
        )

    # -- changing -----------------------------------------------------------------------------------------

    def apply(self, plan: Plan) -> None:
        """Make all changes as one: check them on a copy, put them in place, prove them, or go back."""
        if not plan:
            return
        for change in plan:
            self.say(change.step, change.what)
        self._remember_before()
        if not installed_packages([self.server.name]):
            install_packages([*REPOSITORY_PACKAGES[package_family()], self.server.name])
        facts = self._look()
        wanted = desired(self.server, self.config, self.texts, facts)
        self._validate(wanted)
        transaction = Transaction(os.path.join(self.state_directory(), "rollback"))
        try:
            self._put_in_place(wanted, facts, transaction)
            self._activate(facts, wanted)
            self._prove(wanted, sorted({*wanted.zones, *(name[:-5] for name in facts.zone_files)}))
        except (RoleError, CommandError, OSError) as error:
            raise RoleError("activate", f"{error}\n{self._go_back(transaction, facts)}") from None
        finally:
            transaction.close()

    def _validate(self, wanted: Desired) -> None:
        """Let the server's own tools read a copy of everything first."""
        directory = os.path.join(self.state_directory(), "candidate")
        shutil.rmtree(directory, ignore_errors=True)
        os.makedirs(directory, mode=0o700)
        try:
            for zone, text in wanted.zones.items():
                write(DesiredFile(os.path.join(directory, zone_file_name(zone)), text, 0o600))
            config = os.path.join(directory, os.path.basename(self.server.config_path))
            write(DesiredFile(config, self.server.render(self.config, directory), 0o600))
            for command in self.server.check_commands(config, directory, self.config.zones):
                run(command)
        except CommandError as error:
            raise RoleError("validate", f"the new zones are not used, what was there is untouched: {error}") from None
        finally:
            shutil.rmtree(directory, ignore_errors=True)
        self.say("validate", f"{self.server.name} accepts configuration and zones")

    def _put_in_place(self, wanted: Desired, facts: Facts, transaction: Transaction) -> None:
        server = self.server
        # Made here, not by the first write: the directory has to let the server in whatever our umask is.
        os.makedirs(server.zone_directory, exist_ok=True)
        os.chown(server.zone_directory, 0, grp.getgrnam(server.name).gr_gid)
        os.chmod(server.zone_directory, 0o750)  # noqa: S103 - the server's group reads it
        foreign = facts.config is not None and not facts.config.startswith(MARK)
        if foreign and not os.path.exists(server.original_path):
            shutil.copy2(server.config_path, server.original_path)
            status = os.stat(server.config_path)  # a server that is not root must be able to read it again
            os.chown(server.original_path, status.st_uid, status.st_gid)
        for file in self._files(wanted):
            if differs(file):
                transaction.write(file)
        wanted_names = {zone_file_name(zone) for zone in wanted.zones}
        for name in facts.zone_files:
            if name not in wanted_names:
                path = os.path.join(server.zone_directory, name)
                transaction.remember(path)
                os.unlink(path)

    def _activate(self, facts: Facts, wanted: Desired) -> None:
        server = self.server
        if not facts.enabled:
            systemctl("enable", server.name)
        same_files = facts.config == wanted.config and all(
            facts.zone_files.get(zone_file_name(zone)) == text for zone, text in wanted.zones.items()
        )
        # When the files were right and the answers were not, only a new start can help.
        if not facts.active or same_files or needs_restart(server, facts.config, wanted.config):
            self.say("service", f"start {server.name} with the new zones")
            # A unit that failed too often before would refuse to start.
            run(["systemctl", "reset-failed", server.name], check=False)
            systemctl("restart", server.name)
        else:
            self.say("service", f"reload {server.name}")
            run(server.reload_command)

    def _prove(self, wanted: Desired, zones: List[str]) -> None:
        """Ask the server itself until it answers right everywhere."""
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            problems = served_wrong(wanted, self._ask(zones))
            if not problems:
                self.say("answers", f"{len(wanted.zones)} zones answered by UDP and TCP")
                return
            if time.monotonic() >= deadline or not service_is_active(self.server.name):
                break
            time.sleep(POLL_SECONDS)
        raise RoleError(
            "answers", "\n".join([*problems, f"last lines of {self.server.name}:", unit_log(self.server.name)])
        )

    def _go_back(self, transaction: Transaction, before: Facts) -> str:
        """Put files and service back; say in words how that went."""
        self.say("rollback", "put the previous files back")
        transaction.restore()
        if not before.active:
            run(["systemctl", "stop", self.server.name], check=False)
            return "the previous files are back; the server did not run before and does not run now"
        run(["systemctl", "reset-failed", self.server.name], check=False)
        run(["systemctl", "restart", self.server.name], check=False)
        deadline = time.monotonic() + ANSWER_SECONDS
        expected = {key: answer.serial for key, answer in before.answers.items() if answer.serial is not None}
        zones = sorted({zone for _, _, zone in expected})
        while time.monotonic() < deadline:
            found = self._ask(zones)
            same = all(found[key].serial == serial for key, serial in expected.items() if key in found)
            if same and service_is_active(self.server.name):
                return "the previous zones are back and served"
            time.sleep(POLL_SECONDS)
        return (
            f"the previous files are back, but {self.server.name} does not answer: see journalctl -u {self.server.name}"
        )

    def verify(self) -> None:
        """Ask for every zone once more and keep the serials for the summary."""
        facts = self._look()
        wanted = desired(self.server, self.config, self.texts, facts)
        problems = served_wrong(wanted, facts.answers)
        if problems or not facts.active:
            raise RoleError("answers", "\n".join(problems) or f"{self.server.name} is not running")
        self._report(facts)

    # -- undoing ------------------------------------------------------------------------------------------

    def _state_path(self) -> str:
        return os.path.join(STATE_DIRECTORY, self.name, "state.json")

    def _state(self) -> Dict[str, Any]:
        """Return how the host was before this role came; empty when it never changed anything."""
        return dict(json.loads(read(self._state_path()) or "{}"))

    def _remember_before(self) -> None:
        if self._state():
            return
        name = self.server.name
        state = {
            "server": name,
            "installed": bool(installed_packages([name])),
            "active": service_is_active(name),
            "enabled": service_is_enabled(name),
        }
        self.state_directory()
        write(DesiredFile(self._state_path(), json.dumps(state, sort_keys=True) + "\n", 0o600))

    def remove(self) -> List[str]:
        """Leave the host as it was: without the package if this role brought it, else with the old configuration."""
        state = self._state()
        if not state:
            return []
        server = SERVERS[str(state["server"])]
        done = []
        run(["systemctl", "stop", server.name], check=False)
        if not state["installed"]:
            if installed_packages([server.name]):
                remove_packages([server.name])
            done.append(f"package {server.name} removed")
        done += [f"zone {name[: -len('.zone')]} removed" for name in _zone_files(server)]
        shutil.rmtree(server.zone_directory, ignore_errors=True)
        self._restore_config(server, bool(state["installed"]), done)
        if state["installed"]:
            if not state["enabled"]:
                systemctl("disable", server.name)
            if state["active"]:
                systemctl("restart", server.name)
                done.append(f"{server.name} runs with its previous configuration")
        shutil.rmtree(self.state_directory(), ignore_errors=True)
        return done

    def _restore_config(self, server: Server, installed: bool, done: List[str]) -> None:
        if installed and os.path.exists(server.original_path):
            os.replace(server.original_path, server.config_path)
            done.append(f"{server.config_path} is as it was")
            return
        for path in (server.config_path, server.original_path):
            if not installed and os.path.exists(path):
                os.unlink(path)
        directory = os.path.dirname(server.config_path)
        if not installed and os.path.isdir(directory) and not os.listdir(directory):
            os.rmdir(directory)


def _zone_files(server: Server) -> List[str]:
    try:
        return sorted(name for name in os.listdir(server.zone_directory) if name.endswith(".zone"))
    except OSError:
        return []


def _done_together() -> None:
    """Changes are made together by ``apply``: half of them would be a broken server."""


if __name__ == "__main__":
    sys.exit(main(DnsServer, sys.argv[1:]))
