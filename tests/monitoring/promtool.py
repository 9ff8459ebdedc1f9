"""promtool, built by scripts/promtool.sh: Prometheus's own judgement of rules and metrics."""

import subprocess
from pathlib import Path

import pytest

__all__ = ["promtool"]

ROOT = Path(__file__).resolve().parent.parent.parent
NO_GO = 3
BUILD_SECONDS, RUN_SECONDS = 1500, 300


def promtool(*arguments: str, text: str | None = None) -> str:
    """Return what it says, standard error included; nothing is nothing to complain of. Fails when it fails.

    Skips the test where there is no Go to build it with.
    """
    built = subprocess.run(
        [ROOT / "scripts/promtool.sh"], check=False, capture_output=True, text=True, timeout=BUILD_SECONDS
    )
    if built.returncode == NO_GO:
        pytest.skip(built.stderr.strip())
    assert built.returncode == 0, built.stderr
    command = [str(ROOT / ".tools/promtool/bin/promtool"), *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=RUN_SECONDS)
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said
