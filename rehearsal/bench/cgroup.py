"""CPU time and memory of a container from its control group, on cgroup v1 and v2, as the host counts it.

A relay's cost is what all its processes used (master, smtpd, cleanup, qmgr, smtp, tlsproxy, and systemd
and the journal, which write its log), including those that came and went during a run. The kernel sums
exactly that per control group: cpuacct.usage (v1, nanoseconds) or usage_usec in cpu.stat (v2).
Source: kernel documentation, admin-guide/cgroup-v1/cpuacct.rst and admin-guide/cgroup-v2.rst.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["CpuMeter", "Memory", "container_group", "machine_busy_seconds", "mount_points", "parse_cpu_stat"]

PROC = Path("/proc")
NANOSECONDS = 1e9
MICROSECONDS = 1e6


@dataclass(frozen=True, kw_only=True)
class CpuMeter:
    """Where the CPU time of one container is read."""

    file: Path
    version: int

    @classmethod
    def of_process(cls, pid: int, container: str) -> CpuMeter:
        """Meter of the container (full 64-digit id) whose first process has this pid on the host."""
        version, group = container_group((PROC / str(pid) / "cgroup").read_text(), container)
        mounts = mount_points((PROC / "self" / "mounts").read_text())
        if version not in mounts:
            raise OSError(
                f"control group v{version} of container {container[:12]} is not mounted here; "
                "run the bench on the machine that runs Docker"
            )
        name = "cpuacct.usage" if version == 1 else "cpu.stat"
        file = Path(f"{mounts[version]}{group}") / name
        if not file.is_file():
            raise OSError(f"{file} is missing: the control group of container {container[:12]} is not visible")
        return cls(file=file, version=version)

    def seconds(self) -> float:
        """CPU seconds, user and system, used by the container since it was started."""
        text = self.file.read_text()
        return int(text) / NANOSECONDS if self.version == 1 else parse_cpu_stat(text)


def container_group(cgroup_file: str, container: str) -> tuple[int, str]:
    """Version and path of the container's own group from the text of /proc/PID/cgroup.

    systemd inside the container moves its processes into groups below that one, so the path is cut
    behind the part that names the container. v1 wins where both are mounted and cpuacct is v1.
    """
    found: dict[int, str] = {}
    for line in cgroup_file.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        if "cpuacct" in controllers.split(","):
            found[1] = path
        elif hierarchy == "0":
            found[2] = path
    for version in sorted(found):
        parts = found[version].split("/")
        for index, part in enumerate(parts):
            if container in part:
                return version, "/".join(parts[: index + 1])
    raise OSError(
        f"container {container[:12]} has no control group of its own in {sorted(found.values())}; "
        "the bench needs Docker on this machine, not in a virtual machine or on another host"
    )


def mount_points(mounts_file: str) -> dict[int, str]:
    """Directory of the cpuacct hierarchy (key 1) and of the unified one (key 2) from /proc/self/mounts."""
    found: dict[int, str] = {}
    for line in mounts_file.splitlines():
        _, directory, kind, options, *_ = line.split(" ")
        if kind == "cgroup" and "cpuacct" in options.split(","):
            found.setdefault(1, directory)
        elif kind == "cgroup2":
            found.setdefault(2, directory)
    return found


def parse_cpu_stat(text: str) -> float:
    """CPU seconds from the text of a v2 cpu.stat file."""
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "usage_usec":
            return int(value) / MICROSECONDS
    raise OSError("cpu.stat has no usage_usec")


def machine_busy_seconds(stat_file: str, ticks_per_second: int) -> float:
    """CPU seconds that all processors spent working, from the text of /proc/stat.

    Fields of the first line (proc(5)): user nice system idle iowait irq softirq steal guest guest_nice.
    Idle, iowait and steal are not work of this machine; guest time is part of user time already.
    """
    user, nice, system, _idle, _iowait, irq, softirq, *_ = (
        int(field) for field in stat_file.splitlines()[0].split()[1:]
    )
    return (user + nice + system + irq + softirq) / ticks_per_second


class Memory:
    """The memory of one container, from its control group."""

    def __init__(self, container: str) -> None:
        """Find it: cgroup v1 below ``memory``, v2 otherwise."""
        places = [Path(f"/sys/fs/cgroup/memory/docker/{container}")]
        places += [
            Path(f"/sys/fs/cgroup/docker/{container}"),
            Path(f"/sys/fs/cgroup/system.slice/docker-{container}.scope"),
        ]
        self._folder = next(place for place in places if place.is_dir())

    def anonymous(self) -> int:
        """Return what cannot be given back, in bytes."""
        found = self._numbers("memory.stat")
        return found["total_rss"] if "total_rss" in found else found["anon"]

    def kills(self) -> int:
        """Return how many processes were killed for lack of memory."""
        for name in ("memory.oom_control", "memory.events"):
            if (self._folder / name).exists():
                return self._numbers(name).get("oom_kill", 0)
        return 0

    def _numbers(self, name: str) -> dict[str, int]:
        pairs = (line.split() for line in (self._folder / name).read_text().splitlines())
        return {key: int(value) for key, value in pairs}
