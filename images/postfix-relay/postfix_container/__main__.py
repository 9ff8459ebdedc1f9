"""``run`` is the container's main process, ``health`` its probe, ``check`` tries a configuration and starts nothing.

``receive`` takes what was uploaded, puts it where ``run`` looks for it, and tries it.
"""

import argparse
import os
import sys

from postfix_container import health, prepare
from postfix_container.configuration import ConfigurationError, read_configuration
from postfix_container.receive import receive
from postfix_container.supervisor import Supervisor


def main() -> int:
    """Do what the first argument says and return the exit code."""
    parser = argparse.ArgumentParser(prog="postfix-relay", description=__doc__)
    parser.add_argument("action", nargs="?", default="run", choices=("run", "health", "check", "receive"))
    action = parser.parse_args().action
    if action == "health":
        trouble = health.trouble()
        sys.stdout.write(f"{trouble or 'healthy'}\n")
        return 1 if trouble else 0
    try:
        if action == "receive":
            receive()
        configuration = read_configuration(os.environ)
        prepare.prepare(configuration)
    except ConfigurationError as error:
        sys.stderr.write(f"postfix-relay does not start: {error}\n")
        return 1
    if action in {"check", "receive"}:
        sys.stdout.write("the configuration is one that Postfix takes\n")
        return 0
    return Supervisor(configuration).run()


if __name__ == "__main__":
    sys.exit(main())
