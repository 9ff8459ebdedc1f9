"""Entry point: ``python3 -m relay_operations [--check]``."""

import sys
from typing import Callable, Dict

from relay_operations import answering, configuration, log, queue, submission
from rolelib.host import RoleError
from rolelib.protocol import Plan, Role, main

OPERATIONS: Dict[str, Callable[[Role], Plan]] = {
    "list": queue.listed,
    "flush": queue.act,
    "hold": queue.act,
    "release": queue.act,
    "delete": queue.act,
    "configuration": configuration.look,
    "greeting": answering.look,
    "log": log.search,
    "submit": submission.submit,
}


class RelayOperations(Role):
    """Does one thing to the Postfix beside it: on a host, in a container or in a pod. It declares nothing.

    Setting ``operation`` says what; the others are in the function's own docstring. With ``--check`` nothing changes:
    what would be done to which messages is in the summary. It takes no lock: whoever looks at a queue is not to wait
    for an update, and Postfix's own programs lock what they change.
    """

    name = "relay_operations"
    exclusive = False

    def plan(self) -> Plan:
        """Look, and return what is to be done."""
        wanted = str(self.settings.get("operation"))
        if wanted not in OPERATIONS:
            raise RoleError("settings", f"operation is {wanted!r}: must be one of {', '.join(OPERATIONS)}")
        return OPERATIONS[wanted](self)


if __name__ == "__main__":
    sys.exit(main(RelayOperations, sys.argv[1:]))
