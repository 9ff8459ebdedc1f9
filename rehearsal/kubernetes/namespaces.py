"""The node's namespaces: file system, network, host name, processes and IPC of its own, on the machine's kernel.

What is inside: ``/run`` and ``/var`` are the node's, ``/run/node`` is the cluster's folder and ``/run/node-bin`` the
programs, so that no path depends on where the checkout lies. Mounts are not seen outside. Kernel settings that the
kubelet insists on are files of ours, laid over the machine's.
"""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ground.state import process_start
from rehearsal.kubernetes.addresses import Addresses
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.processes import Daemons
from rehearsal.kubernetes.programs import PROGRAMS
from rehearsal.waiting import wait_for

__all__ = ["BIN", "HOME", "Namespaces", "ip"]

HOME = "/run/node"
BIN = "/run/node-bin"

# The kubelet sets these where they differ, and they are the whole machine's
# (https://github.com/kubernetes/kubernetes, pkg/kubelet/cm, setupKernelTunables).
KERNEL = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}

# $1 the cluster's folder, $2 the programs, $3 the node's name, then PATH VALUE of each kernel setting
MOUNTS = f"""
state=$1 programs=$2 name=$3
shift 3
mkdir -p "$state/var/lib" "$state/var/log" "$state/var/tmp"
ln -sfn /run "$state/var/run"
exec 3<"$state" 4<"$programs" 5<"$state/var"
mount -t tmpfs -o mode=755 node /run
mkdir -p {HOME} {BIN} /run/lock /run/kernel
mount --bind /proc/self/fd/3 {HOME}
mount --bind /proc/self/fd/4 {BIN}
mount --bind /proc/self/fd/5 /var
while [ $# -gt 0 ]; do
  file=/run/kernel/$(echo "$1" | tr / .)
  echo "$2" >"$file"
  mount --bind "$file" "/proc/sys/$1"
  shift 2
done
# The kernel lets a pod with users of its own mount /proc only where a whole one is to be seen already.
mkdir /run/proc
mount -t proc proc /run/proc
# Volumes of a pod are mounted by the kubelet and seen by the container runtime.
mount --make-rshared /
hostname "$name"
"""

START_SECONDS = 10.0
COMMAND_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Namespaces:
    """The namespaces of a running node, by its first process."""

    init: int
    """Process id on the machine. All processes of the node end with it."""

    @classmethod
    def make(cls, daemons: Daemons) -> "tuple[Namespaces, tuple[int, str]]":
        """Start the first process in new namespaces; it does nothing but bury the dead.

        The second result is its id and start time.
        """
        new = ["--mount", "--net", "--uts", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"]
        outer, _ = daemons.start("init", ["unshare", *new, "--propagation=private", PROGRAMS / "pause"])
        children = Path(f"/proc/{outer}/task/{outer}/children")

        def child() -> int | None:
            pids = children.read_text().split()
            # Between fork and exec it still is unshare, and its /proc is not mounted yet.
            return int(pids[0]) if pids and Path(f"/proc/{pids[0]}/comm").read_text().strip() == "pause" else None

        init = wait_for(child, START_SECONDS)
        if init is None:
            raise KubernetesError(f"The node's namespaces were not made: {daemons.tail('init')}")
        return cls(init=init), (init, process_start(init) or "")

    def enter(self, *argv: str | Path) -> list[str | Path]:
        """Return the command line that runs ``argv`` on the node."""
        return ["nsenter", f"--target={self.init}", "--mount", "--net", "--uts", "--pid", "--ipc", "--", *argv]

    def enter_network(self, *argv: str | Path) -> list[str | Path]:
        """Like :meth:`enter` with the machine's own files; it ends with the node all the same."""
        return ["nsenter", f"--target={self.init}", "--net", "--pid", "--", *argv]

    def run(self, argv: Sequence[str | Path], *, stdin: str | None = None) -> str:
        """Run a command on the node and return its stdout. Raises ``KubernetesError``."""
        return _run(self.enter(*argv), stdin=stdin)

    def set_up(self, folder: Path, name: str, addresses: Addresses) -> None:
        """Make the mounts and the link between machine and node, and route the cluster's range over it.

        Link and route vanish with the node.
        """
        settings = [str(part) for setting in KERNEL.items() for part in setting]
        self.run(["sh", "-eu", "-c", MOUNTS, "node", folder, PROGRAMS.resolve(), name, *settings])
        link = addresses.link
        ip("link", "add", link, "type", "veth", "peer", "name", "eth0", "netns", str(self.init))
        ip("address", "add", f"{addresses.machine}/24", "dev", link)
        ip("link", "set", link, "up")
        self.run(["ip", "link", "set", "lo", "up"])
        self.run(["ip", "address", "add", f"{addresses.node}/24", "dev", "eth0"])
        self.run(["ip", "link", "set", "eth0", "up"])
        self.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
        ip("route", "add", str(addresses.whole), "via", addresses.node)


def ip(*arguments: str) -> str:
    """Run ip(8) on this machine and return its stdout. Raises ``KubernetesError``."""
    return _run(["ip", *arguments])


def _run(argv: Sequence[str | Path], *, stdin: str | None = None) -> str:
    done = subprocess.run(
        argv, input=stdin or "", capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False, cwd="/"
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        raise KubernetesError(f"{' '.join(map(str, argv[:12]))} failed with status {done.returncode}: {said}")
    return done.stdout
