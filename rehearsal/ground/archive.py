"""Tar streams for ``docker cp`` and ``tar -x``: the way files get into a host with owner and mode."""

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

__all__ = ["Entry", "pack", "pack_tree", "unpack_file"]


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file or directory (``content`` is ``None``) to be created at the absolute path ``target``."""

    target: str
    content: bytes | None
    mode: int = 0o644
    owner: str = "root"
    """``user`` or ``user:group``, names of the receiving host."""


def pack_tree(source: Path, target: str, *, owner: str = "root") -> list[Entry]:
    """Return entries for a file or a whole directory, with the modes it has here. Links are followed."""
    mode = source.stat().st_mode & 0o777
    if not source.is_dir():
        return [Entry(target=target, content=source.read_bytes(), mode=mode, owner=owner)]
    entries = [Entry(target=target, content=None, mode=mode, owner=owner)]
    for child in sorted(source.iterdir()):
        if child.name != "__pycache__":
            entries.extend(pack_tree(child, str(PurePosixPath(target) / child.name), owner=owner))
    return entries


def pack(entries: Iterable[Entry]) -> bytes:
    """Return an uncompressed tar of ``entries``, relative to ``/``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for entry in entries:
            path = PurePosixPath(entry.target)
            if not path.is_absolute():
                raise ValueError(f"The target {entry.target!r} is not absolute. Fix: start it with '/'.")
            record = tarfile.TarInfo(str(path.relative_to("/")))
            user, _, group = entry.owner.partition(":")
            record.uname, record.gname = user, group or user
            record.mode = entry.mode
            if entry.content is None:
                record.type = tarfile.DIRTYPE
                archive.addfile(record)
            else:
                record.size = len(entry.content)
                archive.addfile(record, io.BytesIO(entry.content))
    return buffer.getvalue()


def unpack_file(stream: bytes) -> bytes:
    """Return the contents of the one file in a tar stream."""
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        for member in archive:
            handle = archive.extractfile(member)
            if handle is not None:
                return handle.read()
    raise ValueError("The archive holds no regular file.")
