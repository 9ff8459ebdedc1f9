"""``run`` is the container's main process, ``health`` and ``alive`` its probes, ``check`` only tries a configuration.

``receive`` takes what was uploaded, puts it where ``run`` looks for it, and tries it. ``drain`` takes no mail: it hands
the queue it finds to the siblings and ends.
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
    actions = ("run", "health", "alive", "check", "receive", "drain")
    parser.add_argument("action", nargs="?", default="run", choices=actions)
    action = parser.parse_args().action
    if action in {"health", "alive"}:
        trouble = health.trouble() if action == "health" else health.dead()
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
    if action == "drain" and configuration.hand_over is None:
        sys.stderr.write("postfix-relay does not start: there is no hand_over in its settings, so nobody to drain to\n")
        return 1
    supervisor = Supervisor(configuration)
    return supervisor.drain() if action == "drain" else supervisor.run()


if __name__ == "__main__":
    sys.exit(main())
