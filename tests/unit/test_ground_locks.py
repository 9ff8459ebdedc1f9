"""What rehearsals build and take belongs to the machine: two checkouts wait for each other."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rehearsal.ground import state
from tests.unit.test_house import ROOT

ENTERS = (
    "from rehearsal.ground.state import exclusive\nprint('asks', flush=True)\nwith exclusive('image'): print('in')\n"
)


@pytest.mark.slow
def test_another_checkout_waits_for_what_this_one_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    shutil.copytree(ROOT / "rehearsal", other / "rehearsal", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "mailstack", other / "mailstack", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(state, "LOCKS", tmp_path / "mailstack")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONPATH": str(other)}
    with state.exclusive("image"):
        process = subprocess.Popen(
            [sys.executable, "-c", ENTERS], cwd=other, env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "asks\n"
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
    assert process.communicate(timeout=30)[0] == "in\n"
