"""The programs of a Kubernetes, as ``scripts/kubernetes.sh`` builds them."""

import subprocess

from rehearsal.ground.state import CHECKOUT

__all__ = ["PROGRAMS", "missing"]

PROGRAMS = CHECKOUT / ".tools/kubernetes/bin"


def missing(*, api_server: bool = False) -> str | None:
    """Say why there can be no cluster here (with ``api_server``: no API server alone), or None where there can."""
    only = ["--api-server"] if api_server else []
    asked = subprocess.run(
        [CHECKOUT / "scripts/kubernetes.sh", "--if-built", *only], capture_output=True, text=True, check=False
    )
    return None if asked.returncode == 0 else asked.stderr.strip()
