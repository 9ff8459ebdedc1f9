"""Removal: out of the cluster, processes ended, mounts and rules undone, files deleted."""

import os
import shutil
from typing import Any, Callable, Dict, List

from k3s import node, paths, processes, state
from rolelib.commands import run
from rolelib.files import read
from rolelib.host import RoleError, service_is_active, systemctl

__all__ = ["remove"]

DRAIN_SECONDS = 120
MOUNTS = ("/run/k3s", "/var/lib/kubelet/pods", "/var/lib/kubelet/plugins", "/run/netns/cni-")
LINKS = ("cni0", "flannel.1")
RULE_WORDS = ("KUBE-", "CNI-")


def remove(settings: Dict[str, Any], say: Callable[[str, str], None], warnings: List[str]) -> List[str]:
    """Remove the node; return what was done. Raises RoleError where pods have kept data on this disk."""
    made = state.load()
    if not made:
        return []
    _refuse_data(bool(settings.get("remove_volumes")))
    done: List[str] = []
    if made["kind"] == "server" and service_is_active(paths.UNITS["server"]):
        done += _leave_cluster(made["name"], say, warnings)
    unit = paths.UNITS[made["kind"]]
    shims = processes.shims(unit)
    say("stop", unit)
    run(["systemctl", "disable", "--now", unit], check=False)
    ended = processes.kill_trees(shims, unit)
    done.append(f"{unit} stopped, {ended} processes of its pods ended")
    unmount()
    _remove_network()
    done += _delete(made["kind"])
    state.forget()
    return done


def _refuse_data(allowed: bool) -> None:
    kept = sorted(os.listdir(paths.VOLUMES)) if os.path.isdir(paths.VOLUMES) else []
    if kept and not allowed:
        raise RoleError(
            "volumes",
            f"pods have kept data in {len(kept)} volumes that exist on this disk only ({paths.VOLUMES}: "
            f"{', '.join(kept[:5])}): save them, or set cluster.remove_volumes and bring that up before",
        )


def _leave_cluster(name: str, say: Callable[[str, str], None], warnings: List[str]) -> List[str]:
    """Drain and delete a server's own node. Deleting it takes it out of etcd, too. The last one just ends."""
    others = [each["metadata"]["name"] for each in node.nodes() or [] if each["metadata"]["name"] != name]
    if not others:
        return []
    say("drain", f"{name}; {len(others)} nodes stay")
    done = node.drain(name, DRAIN_SECONDS)
    if done is not None:
        warnings.append(f"{name} was not drained to the end: {done}")
    result = node.kubectl(["delete", "node", name, "--ignore-not-found"], timeout=DRAIN_SECONDS)
    if not result.ok:
        warnings.append(
            f"{name} could not be deleted from the cluster: {result.err.strip()}; use `kubectl delete node`"
        )
        return []
    return [f"{name} is out of the cluster"]


def mounted(below: str) -> List[str]:
    """Return what is mounted at or below a path (or a beginning of one), the deepest first. Source: proc_mounts(5)."""
    places = [line.split()[1].replace("\\040", " ") for line in (read("/proc/self/mounts") or "").splitlines()]
    return sorted((place for place in places if place.startswith(below)), reverse=True)


def unmount() -> None:
    """Unmount what kubelet and containerd have mounted for pods."""
    for below in MOUNTS:
        for place in mounted(below):
            run(["umount", "--force", place], check=False)


def _remove_network() -> None:
    """Take away bridges, tunnels, network namespaces and firewall rules of pods; rules of others stay."""
    for link in LINKS:
        if os.path.exists(f"/sys/class/net/{link}"):
            run(["ip", "link", "delete", link], check=False)
    if os.path.isdir("/run/netns"):
        for name in os.listdir("/run/netns"):
            if name.startswith("cni-"):
                run(["ip", "netns", "delete", name], check=False)
    for command in ("iptables", "ip6tables"):
        saved = run([f"{command}-save"], check=False).out
        kept = "".join(line + "\n" for line in saved.splitlines() if not _of_pods(line))
        if kept != saved:
            run([f"{command}-restore"], stdin=kept, check=False)


def _of_pods(rule: str) -> bool:
    return any(word in rule for word in RULE_WORDS) or "flannel" in rule.lower()


def _delete(kind: str) -> List[str]:
    """Delete the files. Raises RoleError where something of somebody is still mounted there: it would be emptied."""
    for path in paths.LEFTOVERS:
        left = mounted(path + "/") + [place for place in mounted(path) if place == path]
        if left:
            raise RoleError("delete", f"{left[0]} is still mounted: unmount it, then repeat (umount {left[0]})")
    for path in paths.LEFTOVERS:
        shutil.rmtree(path, ignore_errors=True)
    for path in (paths.unit_path(kind), paths.BINARY, paths.NEW_BINARY):
        if os.path.exists(path):
            os.unlink(path)
    systemctl("daemon-reload")
    run(["systemctl", "reset-failed", paths.UNITS[kind]], check=False)
    return ["program, configuration and data are deleted"]
