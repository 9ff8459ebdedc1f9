"""Entry point: ``python3 -m postal_operations [--check]``."""

import sys
from typing import Callable, Dict

from postal.backup.archive import BackupError
from postal_operations import backups, log, look
from rolelib.host import RoleError
from rolelib.protocol import Plan, Role, main

OPERATIONS: Dict[str, Callable[[Role], Plan]] = {
    "status": look.status,
    "queue": look.queue,
    "users": look.users,
    "credentials": look.credentials,
    "log": log.search,
    "backup": backups.make,
    "backups": backups.listed,
    "restore": backups.restore,
}


class PostalOperations(Role):
    """Does one thing to the Postal of this host, as setting ``operation`` says. It declares nothing.

    With ``--check`` nothing changes. It takes no lock: the programs for backups have one of their own.
    """

    name = "postal_operations"
    exclusive = False

    def plan(self) -> Plan:
        """Look, and return what is to be done."""
        wanted = str(self.settings.get("operation"))
        if wanted not in OPERATIONS:
            raise RoleError("settings", f"operation is {wanted!r}: must be one of {', '.join(OPERATIONS)}")
        try:
            return OPERATIONS[wanted](self)
        except BackupError as error:
            raise RoleError(wanted, str(error)) from None


if __name__ == "__main__":
    sys.exit(main(PostalOperations, sys.argv[1:]))
