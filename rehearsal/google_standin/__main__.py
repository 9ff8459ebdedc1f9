"""Run the stand-in: ``python3 -m google_standin --config FILE``. Logs go to standard error."""

import argparse
import logging
import signal
import ssl
import sys
import threading
from pathlib import Path

from .config import ConfigError, StandinConfig
from .server import GoogleStandin

__all__ = ["main"]

_LOG = logging.getLogger("google_standin")


def main(arguments: list[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 when the configuration, a certificate or a port is wrong."""
    parser = argparse.ArgumentParser(prog="google_standin", description="Stand-in for smtp-relay.gmail.com")
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see StandinConfig")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s [google-standin] %(message)s")
    finished = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: finished.set())
    try:
        with GoogleStandin(StandinConfig.from_file(options.config)):
            finished.wait()
    except ConfigError as error:
        problems = [f"config: {problem}" for problem in error.problems]
    except (OSError, ssl.SSLError) as error:
        problems = [f"cannot start: {error}"]
    else:
        return 0
    for problem in problems:
        _LOG.error(problem)
    return 1


if __name__ == "__main__":
    sys.exit(main())
