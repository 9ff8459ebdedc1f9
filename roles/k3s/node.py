"""Asking the cluster about a node, through k3s's own kubectl."""

import json
import os
import time
from datetime import datetime
from typing import Any, Dict, List, Optional

from k3s import paths
from rolelib.commands import CommandError, Result, run
from rolelib.host import RoleError, unit_log

__all__ = ["drain", "kubectl", "nodes", "seen", "trouble", "wait_until_ready"]

POLL_SECONDS = 1.0
ANSWER_SECONDS = 30
# systemd starts k3s again after each failure; as often as this, it will not come up.
MOST_STARTS = 3


def kubectl(arguments: List[str], kubeconfig: str = paths.KUBECONFIG, timeout: int = ANSWER_SECONDS) -> Result:
    """Run ``k3s kubectl``; a time-out counts as a failure."""
    try:
        return run([paths.BINARY, "kubectl", "--kubeconfig", kubeconfig, *arguments], check=False, timeout=timeout)
    except CommandError as error:
        return error.result


def nodes() -> Optional[List[Dict[str, Any]]]:
    """Return all nodes of the cluster as the API shows them; None where it does not answer. Servers only."""
    result = kubectl(["get", "nodes", "-o", "json"])
    return list(json.loads(result.out)["items"]) if result.ok else None


def drain(name: str, seconds: int) -> Optional[str]:
    """Move the pods of a node elsewhere; return what went wrong, None when all are gone. Servers only."""
    options = ["--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={seconds}s"]
    result = kubectl(["drain", name, *options], timeout=seconds + ANSWER_SECONDS)
    return None if result.ok else (result.err or result.out).strip()[-300:]


def seen(kind: str, name: str) -> Optional[Dict[str, Any]]:
    """Return one's own node as the API shows it, None where it does not."""
    kubeconfig = paths.KUBECONFIG if kind == "server" else paths.KUBELET_KUBECONFIG
    if not os.path.exists(kubeconfig) or not os.path.exists(paths.BINARY):
        return None
    result = kubectl(["get", "node", name, "-o", "json"], kubeconfig)
    return dict(json.loads(result.out)) if result.ok else None


def trouble(found: Optional[Dict[str, Any]], version: str, since: float = 0.0) -> Optional[str]:
    """Say why a node does not count as ready with ``version``; None when it does.

    ``since``: seconds since 1970. The API shows a node as ready for a while after it has gone, so its word must be
    newer; the kubelet reports once it is up. Its clock counts whole seconds.
    """
    if found is None:
        return "the API does not show the node"
    running = found["status"]["nodeInfo"]["kubeletVersion"]
    if running != version:
        return f"the node runs {running}"
    ready = [each for each in found["status"].get("conditions", []) if each["type"] == "Ready"]
    if not ready or ready[0]["status"] != "True":
        return "the node is not Ready: {}".format(ready[0].get("message", "") if ready else "no word from it yet")
    heard = datetime.strptime(ready[0]["lastHeartbeatTime"] + "+0000", "%Y-%m-%dT%H:%M:%SZ%z").timestamp()
    return None if heard >= int(since) else "the node has not reported since the start"


def wait_until_ready(kind: str, name: str, version: str, seconds: int, since: float) -> None:
    """Return once the node is ready. Raises RoleError with what is wrong and k3s's last log lines."""
    deadline = time.monotonic() + seconds
    unit = paths.UNITS[kind]
    while True:
        wrong = trouble(seen(kind, name), version, since)
        if wrong is None:
            return
        starts = _restarts(unit)
        if starts >= MOST_STARTS or time.monotonic() >= deadline:
            after = f"{unit} has ended {starts} times" if starts >= MOST_STARTS else f"after {seconds} s"
            raise RoleError("ready", f"{name} is not ready: {wrong} ({after})\n{unit_log(unit)}")
        time.sleep(POLL_SECONDS)


def _restarts(unit: str) -> int:
    """Return how often systemd has started the unit again by itself since it was last asked to."""
    text = run(["systemctl", "show", "-p", "NRestarts", "--value", unit], check=False).out.strip()
    return int(text) if text.isdigit() else 0
