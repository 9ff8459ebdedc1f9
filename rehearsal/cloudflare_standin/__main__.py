"""Run the stand-in: ``python -m rehearsal.cloudflare_standin --config FILE``. Logs go to standard error.

The file is JSON: ``{"token": TEXT, "zones": [{"name": "example.com", "id": 32 HEX DIGITS}], "port": 8080}`` and
the other keys of :class:`.config.CloudflareStandinConfig`. The token is never an argument.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from rehearsal.serving import run_program

from .config import CloudflareStandinConfig
from .server import CloudflareStandin

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM or SIGINT; 1 when the configuration or the port is wrong."""

    def standin(config: Path) -> CloudflareStandin:
        return CloudflareStandin(CloudflareStandinConfig.from_file(config))

    return run_program("cloudflare-standin", "Stand-in for the Cloudflare DNS API", standin, arguments)


if __name__ == "__main__":
    sys.exit(main())
