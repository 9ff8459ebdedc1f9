"""Files for a container's user, who has a number on the host but no name; and directories Docker has labelled.

Unlike rolelib.files this never runs restorecon: a file made in a directory that a container uses inherits the label
Docker gave it, and the label of the path's place in the system's policy would lock the container out.
"""

import contextlib
import os
import stat
import tempfile
from typing import Optional

from rolelib.files import read

__all__ = ["OwnedFile", "differs", "write"]


class OwnedFile:
    """A file as it should be: path, content, mode, and owner and group as numbers."""

    def __init__(self, path: str, content: str, mode: int = 0o644, uid: int = 0, gid: int = 0) -> None:
        """Hold the values as given."""
        self.path = path
        self.content = content
        self.mode = mode
        self.uid = uid
        self.gid = gid


def differs(desired: OwnedFile) -> Optional[str]:
    """Say in words how the file on disk differs from ``desired``; None when it does not."""
    current = read(desired.path)
    if current is None:
        return f"{desired.path} is missing"
    if current != desired.content:
        return f"{desired.path} has other content"
    status = os.stat(desired.path)
    if stat.S_IMODE(status.st_mode) != desired.mode:
        return f"{desired.path} has mode {stat.S_IMODE(status.st_mode):04o}, not {desired.mode:04o}"
    if (status.st_uid, status.st_gid) != (desired.uid, desired.gid):
        return f"{desired.path} belongs to {status.st_uid}:{status.st_gid}, not {desired.uid}:{desired.gid}"
    return None


def write(desired: OwnedFile) -> None:
    """Replace the file in one step: a reader sees the old content or the new, never a part."""
    directory = os.path.dirname(desired.path)
    os.makedirs(directory, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".mailstack-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(desired.content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(temporary, desired.uid, desired.gid)
        os.chmod(temporary, desired.mode)
        os.replace(temporary, desired.path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
