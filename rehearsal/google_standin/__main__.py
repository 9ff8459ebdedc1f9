"""Run the stand-in: ``python3 -m rehearsal.google_standin --config FILE``. Logs go to standard error."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal.serving import run_program

from .config import StandinConfig
from .server import GoogleStandin

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 when the configuration, a certificate or a port is wrong."""

    def standin(config: Path) -> GoogleStandin:
        return GoogleStandin(StandinConfig.from_file(config))

    return run_program("google-standin", "Stand-in for smtp-relay.gmail.com", standin, arguments)


if __name__ == "__main__":
    sys.exit(main())
