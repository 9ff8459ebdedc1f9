"""What the kernel must offer, for hosts that run containers by Kubernetes."""

import os
from typing import List, Sequence

from preflight.checks import Missing
from rolelib.commands import run
from rolelib.files import read

__all__ = ["memory_controller", "modules"]


def modules(wanted: Sequence[str]) -> List[Missing]:
    """Check that each kernel module is loaded, part of the kernel, or can be loaded."""
    missing = []
    for name in wanted:
        there = os.path.isdir(os.path.join("/sys/module", name))
        if not there and not run(["modprobe", "--dry-run", "--quiet", name], check=False).ok:
            missing.append(
                Missing(
                    f"kernel module {name}",
                    "neither loaded nor on the disk",
                    "a kernel that has it",
                    "install the kernel's modules (RHEL: kernel-modules-extra) and boot that kernel; in a container, "
                    f"load it on the machine below: modprobe {name}",
                )
            )
    return missing + memory_controller() if wanted else missing


def memory_controller() -> List[Missing]:
    """Check that control groups limit memory: Raspberry Pi OS starts without."""
    if "memory" in (read("/sys/fs/cgroup/cgroup.controllers") or "").split():
        return []
    # proc_cgroups(5): name, hierarchy, number of groups, enabled; the way of version 1.
    lines = [line.split() for line in (read("/proc/cgroups") or "").splitlines()]
    if any(line[0] == "memory" and line[-1] == "1" for line in lines if line):
        return []
    return [
        Missing(
            "control group of memory",
            "not enabled",
            "a kernel that limits the memory of pods",
            "add cgroup_memory=1 cgroup_enable=memory to the kernel's command line and boot",
        )
    ]
