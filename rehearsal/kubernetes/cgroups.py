"""The control group below which a node's pods run; version 1 has one hierarchy per controller, version 2 one in all."""

import errno
import time
from pathlib import Path

from rehearsal.kubernetes.errors import KubernetesError

__all__ = ["create", "group", "hierarchies", "remove"]

ROOT = Path("/sys/fs/cgroup")
NEEDED = ("cpuset", "cpu", "memory", "pids")
"""Controllers the kubelet insists on."""

REMOVE_SECONDS = 10.0
"""Seconds the kernel may take to empty the groups of killed processes."""


def group(link: str) -> str:
    """Return the group of the cluster with this link, as the kubelet's ``cgroupRoot`` wants it."""
    return f"/mailstack-{link}"


def is_unified(root: Path = ROOT) -> bool:
    """Tell whether this machine has control groups of version 2 only."""
    return (root / "cgroup.controllers").is_file()


def hierarchies(root: Path = ROOT, mounts: Path = Path("/proc/self/mountinfo")) -> list[Path]:
    """Return where the hierarchies are mounted (proc_pid_mountinfo(5): the fifth field, the type after the hyphen)."""
    if is_unified(root):
        return [root]
    found = []
    for line in mounts.read_text(encoding="utf-8").splitlines():
        before, _, after = line.partition(" - ")
        # Beside version 1 there may be a hierarchy of version 2 without controllers; runc uses that one too.
        if after.split()[0] in {"cgroup", "cgroup2"}:
            found.append(Path(before.split()[4]))
    return found


def create(link: str) -> None:
    """Make the group in every hierarchy. Raises ``KubernetesError`` where the kubelet could not use it."""
    if is_unified():
        _enable_controllers()
    for hierarchy in hierarchies():
        (hierarchy / group(link).lstrip("/")).mkdir(exist_ok=True)


def _enable_controllers() -> None:
    control = ROOT / "cgroup.subtree_control"
    absent = [controller for controller in NEEDED if controller not in control.read_text().split()]
    if not absent:
        return
    try:
        control.write_text(" ".join(f"+{controller}" for controller in absent))
    except OSError as error:
        # A container's own root group holds its processes, and cgroups(7) forbids controllers beside processes.
        raise KubernetesError(
            f"The control group controllers {', '.join(absent)} cannot be enabled ({error}). "
            "Fix: run on the machine itself, or move this container's processes into a group of their own."
        ) from error


def remove(link: str) -> None:
    """Remove the group and all below it, once their processes are gone. Raises ``KubernetesError``."""
    deadline = time.monotonic() + REMOVE_SECONDS
    for hierarchy in hierarchies():
        top = hierarchy / group(link).lstrip("/")
        while top.is_dir():
            try:
                # Deepest first; a group has no files that could be removed.
                for path in sorted((p for p in top.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
                    path.rmdir()
                top.rmdir()
            except OSError as error:
                if error.errno not in {errno.EBUSY, errno.ENOENT, errno.ENOTEMPTY} or time.monotonic() > deadline:
                    raise KubernetesError(f"The control group {top} cannot be removed: {error}") from error
                time.sleep(0.1)
