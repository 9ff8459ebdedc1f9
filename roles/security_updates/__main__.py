"""Entry point: ``python3 -m security_updates [--apply|--check|--remove]``."""

import json
import os
import shutil
import sys
from typing import Any, Dict, List

from rolelib.commands import CommandError, run
from rolelib.files import DesiredFile, Transaction, read, write
from rolelib.host import (
    RoleError,
    install_packages,
    installed_packages,
    package_family,
    remove_packages,
    service_is_active,
    service_is_enabled,
    systemctl,
)
from rolelib.protocol import Change, Plan, Role, main
from security_updates.systems import SYSTEMS, differences, wanted_files


class SecurityUpdates(Role):
    """The system installs its security updates every day, nothing else and without a reboot.

    Settings: ``enabled``; False takes back what this role did. Facts in the summary: ``enabled``, ``package``,
    ``reboot_required`` (an update waits for one).
    """

    name = "security_updates"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the input."""
        Role.__init__(self, settings, secrets)
        self.on = bool(settings.get("enabled", True))
        self.family = package_family()
        self.system = SYSTEMS[self.family]

    def _state_path(self) -> str:
        return os.path.join(self.state_directory(), "state.json")

    def _state(self) -> Dict[str, Any]:
        return dict(json.loads(read(self._state_path()) or "{}"))

    def _units(self) -> Dict[str, bool]:
        return {unit: service_is_active(unit) and service_is_enabled(unit) for unit in self.system.units}

    def plan(self) -> Plan:
        """Compare the host with the settings."""
        installed = bool(installed_packages([self.system.package]))
        self.facts.update(
            enabled=self.on,
            package=self.system.package,
            reboot_required=os.path.exists("/run/reboot-required") or os.path.exists("/var/run/reboot-required"),
        )
        if not self.on:
            what = "security updates are not wanted any more"
            return [Change("undo", what, self._undo)] if self._state() else []
        current = {path: read(path) or "" for path in self.system.files}
        found = differences(self.family, installed, current, self._units(), self.on)
        return [Change("updates", what, _done_together) for what in found]

    def apply(self, changes: Plan) -> None:
        """Install, write and check the configuration, start the timers; go back when the tool refuses it."""
        if not self.on:
            Role.apply(self, changes)
            return
        if not changes:
            return
        for change in changes:
            self.say(change.step, change.what)
        self._remember_before()
        if not installed_packages([self.system.package]):
            install_packages([self.system.package])
        files = wanted_files(self.family, {path: read(path) or "" for path in self.system.files})
        self._validate(files)
        transaction = Transaction(os.path.join(self.state_directory(), "rollback"))
        try:
            for path, content in files.items():
                transaction.write(DesiredFile(path, content))
            for unit in self.system.units:
                systemctl("unmask", unit)
                systemctl("enable", "--now", unit)
        except (RoleError, CommandError) as error:
            transaction.restore()
            raise RoleError("updates", f"{error}\nthe previous configuration is back") from None
        finally:
            transaction.close()

    def _validate(self, files: Dict[str, str]) -> None:
        """Let apt read the files first: one it cannot read stops every use of apt."""
        if self.family != "apt":
            return
        for path, content in files.items():
            copy = os.path.join(self.state_directory(), os.path.basename(path))
            write(DesiredFile(copy, content))
            try:
                run(["apt-config", "-c", copy, "dump"])
            except CommandError as error:
                raise RoleError("validate", f"apt refuses {path}, nothing was changed: {error}") from None
            finally:
                os.unlink(copy)

    def _remember_before(self) -> None:
        if self._state():
            return
        state = {
            "installed": bool(installed_packages([self.system.package])),
            "files": {path: read(path) for path in self.system.files},
            "units": {
                unit: run(["systemctl", "is-enabled", unit], check=False).out.strip() for unit in self.system.units
            },
        }
        write(DesiredFile(self._state_path(), json.dumps(state), 0o600))

    def _undo(self) -> None:
        state = self._state()
        for unit, before in state["units"].items():
            if before != "enabled":
                run(["systemctl", "disable", "--now", unit], check=False)
            if before == "masked":
                run(["systemctl", "mask", unit], check=False)
        for path, content in state["files"].items():
            if content is None:
                if os.path.exists(path):
                    os.unlink(path)
            else:
                write(DesiredFile(path, content))
        if not state["installed"] and installed_packages([self.system.package]):
            remove_packages([self.system.package])
        shutil.rmtree(self.state_directory(), ignore_errors=True)

    def remove(self) -> List[str]:
        """Leave the host as it was."""
        if not self._state():
            return []
        self._undo()
        return ["security updates are as they were before"]


def _done_together() -> None:
    """All differences are mended together by ``apply``."""


if __name__ == "__main__":
    sys.exit(main(SecurityUpdates, sys.argv[1:]))
