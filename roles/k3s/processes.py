"""Processes of pods: those that containerd's shims of this unit have started, and no others."""

import contextlib
import os
import signal
import time
from typing import Dict, List, Set

from rolelib.files import read

__all__ = ["in_unit", "kill_trees", "shims"]

SHIM = "containerd-shim"
END_SECONDS = 20


def in_unit(cgroup: str, unit: str) -> bool:
    """Tell whether a /proc/PID/cgroup text (cgroups(7)) puts a process into ``unit`` or a group below it."""
    return any(unit in line.split(":", 2)[-1].split("/") for line in cgroup.splitlines())


def _pids() -> List[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def shims(unit: str) -> List[int]:
    """Return the shims in the unit's control group; each holds the containers of one pod."""
    return [
        pid
        for pid in _pids()
        if in_unit(read(f"/proc/{pid}/cgroup") or "", unit) and SHIM in (read(f"/proc/{pid}/cmdline") or "")
    ]


def kill_trees(roots: List[int], unit: str) -> int:
    """End ``roots`` with all their descendants, and what else is left in the stopped unit; return how many.

    Only what is found by parent or by the unit's own control group: names say nothing about whose a process is.
    """
    doomed = _descendants(roots) | {pid for pid in _pids() if in_unit(read(f"/proc/{pid}/cgroup") or "", unit)}
    doomed.discard(os.getpid())
    for pid in doomed:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + END_SECONDS
    while any(_alive(pid) for pid in doomed) and time.monotonic() < deadline:
        time.sleep(0.1)
    return len(doomed)


def _alive(pid: int) -> bool:
    """Tell whether a process still runs; one that waits for its parent to notice does not."""
    text = read(f"/proc/{pid}/stat")
    return text is not None and text.rpartition(")")[2].split()[0] != "Z"


def _descendants(roots: List[int]) -> Set[int]:
    children: Dict[int, List[int]] = {}
    for pid in _pids():
        text = read(f"/proc/{pid}/stat")
        if text is not None:
            children.setdefault(int(text.rpartition(")")[2].split()[1]), []).append(pid)  # proc_pid_stat(5): ppid
    found: Set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found:
            found.add(pid)
            queue += children.get(pid, [])
    return found
