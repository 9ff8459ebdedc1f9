"""A checkout of the program of its own, as a user has it: for stacks that need files beside the stack file."""

import shutil
import subprocess
from pathlib import Path

__all__ = ["copy_project"]

ROOT = Path(__file__).resolve().parent.parent
NOT_THE_PROGRAM = ("tests/", "docs/", "rehearsal/")


def copy_project(folder: Path) -> Path:
    """Copy the program, as Git knows it, into a new ``folder``, beside a link to the virtual environment; return it.

    Raises CalledProcessError where this is no Git checkout.
    """
    folder.mkdir()
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if not name.startswith(NOT_THE_PROGRAM) and (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").symlink_to((ROOT / ".venv").resolve())
    return folder
