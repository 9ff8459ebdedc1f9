"""Files that are written as a whole."""

import os
import tempfile
from pathlib import Path

__all__ = ["PRIVATE", "write_whole"]

PRIVATE = 0o600


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that readers see the old one or the whole new one; at no time has it a wider mode than ``mode``.

    Raises OSError where the folder is not there or may not be written to.
    """
    # It makes the file with 0600.
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(name).chmod(mode)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
