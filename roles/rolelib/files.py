"""Files on the host: compare, replace atomically, undo as a set."""

import contextlib
import grp
import json
import os
import pwd
import shutil
import stat
import tempfile
from typing import Dict, List, Optional

__all__ = ["DesiredFile", "Transaction", "difference", "differs", "read", "replace", "write"]


class DesiredFile:
    """A file as it should be: path, content, mode and owner. ``secret`` keeps its content out of messages."""

    def __init__(
        self,
        path: str,
        content: str,
        mode: int = 0o644,
        owner: str = "root",
        group: str = "root",
        secret: bool = False,
    ) -> None:
        """Hold the values as given."""
        self.path = path
        self.content = content
        self.mode = mode
        self.owner = owner
        self.group = group
        self.secret = secret


def read(path: str) -> Optional[str]:
    """Return the text of ``path``, or None where there is no such file."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except OSError:
        return None


def differs(desired: DesiredFile) -> Optional[str]:
    """Say in words how the file on disk differs from ``desired``; None when it does not."""
    return difference(desired.path, desired.content, desired.mode, _owner(desired))


def write(desired: DesiredFile) -> None:
    """Replace the file in one step, with the SELinux label of its place."""
    replace(desired.path, desired.content, desired.mode, _owner(desired))
    _relabel(desired.path)


def difference(path: str, content: str, mode: int, owner: "tuple[int, int]") -> Optional[str]:
    """Say in words how the file at ``path`` differs; None when it does not. ``owner`` is user and group, as numbers."""
    current = read(path)
    if current is None:
        return f"{path} is missing"
    if current != content:
        return f"{path} has other content"
    status = os.stat(path)
    if stat.S_IMODE(status.st_mode) != mode:
        return f"{path} has mode {stat.S_IMODE(status.st_mode):04o}, not {mode:04o}"
    if (status.st_uid, status.st_gid) != owner:
        return "{} is owned by {}:{}, not {}:{}".format(path, status.st_uid, status.st_gid, *owner)
    return None


def replace(path: str, content: str, mode: int, owner: "tuple[int, int]") -> None:
    """Replace a file in one step: a reader sees the old content or the new, never a part."""
    directory = os.path.dirname(path)
    os.makedirs(directory, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=directory, prefix=".mailstack-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.chown(temporary, *owner)
        os.chmod(temporary, mode)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _owner(desired: DesiredFile) -> "tuple[int, int]":
    return pwd.getpwnam(desired.owner).pw_uid, grp.getgrnam(desired.group).gr_gid


def _relabel(path: str) -> None:
    """Give the file the SELinux label of its place: a rename keeps the one it was made with."""
    restorecon = shutil.which("restorecon")
    if restorecon and os.path.isdir("/sys/fs/selinux"):
        from rolelib.commands import run  # noqa: PLC0415 - only hosts with SELinux need it

        run([restorecon, path], check=False)


class Transaction:
    """Remembers files before they change so that all of them can be put back together.

    Copies stay in a directory only root can read until ``close`` removes them. They survive a killed run:
    the next run finds ``directory`` and may restore from it (see ``leftover``).
    """

    MANIFEST = "manifest.json"

    def __init__(self, directory: str) -> None:
        """Use ``directory`` (made on first use, mode 0700) for the copies."""
        self.directory = directory
        self._saved: Dict[str, Optional[str]] = {}
        self._order: List[str] = []

    @classmethod
    def leftover(cls, directory: str) -> "Optional[Transaction]":
        """Return the transaction a killed run left in ``directory``, or None where it left none."""
        manifest = read(os.path.join(directory, cls.MANIFEST))
        if manifest is None:
            return None
        transaction = cls(directory)
        for path, copy in json.loads(manifest):
            transaction._saved[path] = copy
            transaction._order.append(path)
        return transaction

    def remember(self, path: str) -> None:
        """Copy ``path`` aside, once; remember its absence where it does not exist."""
        if path in self._saved:
            return
        copy: Optional[str] = None
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        if os.path.lexists(path):
            copy = os.path.join(self.directory, str(len(self._order)))
            shutil.copy2(path, copy, follow_symlinks=False)
            status = os.lstat(path)
            os.chown(copy, status.st_uid, status.st_gid, follow_symlinks=False)
        self._saved[path] = copy
        self._order.append(path)
        # Whoever comes after a killed run has to know which copy belongs where.
        manifest = json.dumps([[name, self._saved[name]] for name in self._order])
        write(DesiredFile(os.path.join(self.directory, self.MANIFEST), manifest, mode=0o600))

    def write(self, desired: DesiredFile) -> None:
        """Remember the file, then replace it."""
        self.remember(desired.path)
        write(desired)

    def restore(self) -> None:
        """Put every remembered file back as it was, the last one first."""
        for path in reversed(self._order):
            copy = self._saved[path]
            if copy is None:
                if os.path.lexists(path):
                    os.unlink(path)
                continue
            temporary = path + ".mailstack-restore"
            shutil.copy2(copy, temporary, follow_symlinks=False)
            status = os.lstat(copy)
            os.chown(temporary, status.st_uid, status.st_gid, follow_symlinks=False)
            os.replace(temporary, path)
            _relabel(path)

    def close(self) -> None:
        """Forget the copies."""
        shutil.rmtree(self.directory, ignore_errors=True)
