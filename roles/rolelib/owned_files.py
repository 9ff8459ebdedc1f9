"""Files for a container's user, who has a number on the host but no name; and directories Docker has labelled.

Unlike rolelib.files this never runs restorecon: a file made in a directory that a container uses inherits the label
Docker gave it, and the label of the path's place in the system's policy would lock the container out.
"""

from typing import Optional

from rolelib.files import difference, replace

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
    return difference(desired.path, desired.content, desired.mode, (desired.uid, desired.gid))


def write(desired: OwnedFile) -> None:
    """Replace the file in one step: a reader sees the old content or the new, never a part."""
    replace(desired.path, desired.content, desired.mode, (desired.uid, desired.gid))
