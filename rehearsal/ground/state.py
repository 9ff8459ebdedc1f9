"""Where the ground keeps its files, and who owns what."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["APT_INSTALL", "CHECKOUT", "LOCKS", "STATE_ROOT", "exclusive", "private_directory", "process_start"]

CHECKOUT = Path(__file__).resolve().parents[2]
"""The checkout this package was imported from."""

APT_INSTALL = CHECKOUT / "scripts/apt-install.sh"
"""Installs packages on this machine; it waits for another apt that is at work."""

STATE_ROOT = CHECKOUT / ".rehearsal"
"""Keys, logs and process ids. Mode 0700 and ignored by git."""

LOCKS = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mailstack"
"""Locks. What they guard belongs to the machine, which every checkout shares: its Docker engine, its routes."""


def private_directory(path: Path) -> Path:
    """Create ``path`` (parents too) readable by this user only, and return it."""
    path.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.chmod(0o700)
    return path


@contextmanager
def exclusive(name: str) -> Iterator[None]:
    """Hold the lock ``name`` while the block runs, so that two runs, of any checkout, do not build the same thing."""
    with (private_directory(LOCKS) / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def process_start(pid: int) -> str | None:
    """Return the start time of a process in clock ticks since boot, or ``None`` when it is gone.

    A process id is used again after a while; the pair of id and start time is not. Without ``/proc`` (not
    Linux) a living process answers ``"0"``.
    """
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            return "0"
        return "0"
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command name in parentheses and may hold blanks: count after it (proc(5)).
    state, *rest = fields.rpartition(")")[2].split()
    return None if state in {"Z", "X"} else rest[18]
