"""Run the stand-in: ``python -m rehearsal.cloudflare_standin --config FILE``. Logs go to standard error.

The file is JSON: ``{"token": TEXT, "zones": [{"name": "example.com", "id": 32 HEX DIGITS}], "port": 8080}`` and
the other keys of :class:`.config.CloudflareStandinConfig`. The token is never an argument.
"""

import argparse
import logging
import signal
import sys
import threading
from pathlib import Path

from .config import CloudflareStandinConfig, ConfigError
from .server import CloudflareStandin

__all__ = ["main"]

_LOG = logging.getLogger("cloudflare_standin")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 when the configuration or the port is wrong."""
    parser = argparse.ArgumentParser(prog="cloudflare_standin", description="Stand-in for the Cloudflare DNS API")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see CloudflareStandinConfig")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s [cloudflare-standin] %(message)s")
    finished = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: finished.set())
    try:
        with CloudflareStandin(CloudflareStandinConfig.from_file(options.config)):
            finished.wait()
    except ConfigError as error:
        problems = [f"config: {problem}" for problem in error.problems]
    except OSError as error:
        problems = [f"cannot start: {error}"]
    else:
        return 0
    for problem in problems:
        _LOG.error(problem)
    return 1


if __name__ == "__main__":
    sys.exit(main())
