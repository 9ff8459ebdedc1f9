"""Entry point: ``python3 -m host_facts --check``."""

import sys
from typing import List

from host_facts import look
from rolelib.protocol import Plan, Role, main


class HostFacts(Role):
    """Looks, changes nothing. Settings: ``certificates`` (port to path of a PEM file), ``backups`` (folder or null).

    The facts are those of ``mailstack.verify.host.HostFacts``.
    """

    name = "host_facts"
    exclusive = False

    def plan(self) -> Plan:
        """Look at everything; the plan is empty."""
        folder = self.settings.get("backups")
        updates, security = look.updates()
        self.facts.update(
            certificates={port: look.certificate(path) for port, path in self.settings["certificates"].items()},
            clock_synchronised=look.clock(),
            disks=look.disks(folder),
            memory=look.memory(),
            backups=folder is not None,
            last_backup=look.newest(folder) if folder else None,
            reboot_required=look.reboot_required(),
            system=look.system(),
            updates=updates,
            security_updates=security,
            password_login=look.password_login(),
        )
        return []

    def remove(self) -> List[str]:
        """Nothing was changed, so there is nothing to undo."""
        return []


if __name__ == "__main__":
    sys.exit(main(HostFacts, sys.argv[1:]))
