"""What is there before there is a stack, on machines that are not declared: clusters of a kubeconfig, Docker here."""

import json
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mailstack.reach.bounded import all_within
from mailstack.reach.kubectl import Kubectl, KubectlError

__all__ = ["ClusterSeen", "contexts", "docker_here", "look_at_cluster"]

MARIADB_PORT = 3306
WEB_PORT = 443


@dataclass(frozen=True, kw_only=True)
class ClusterSeen:
    """What a cluster says: node addresses, its ingress controller's namespace and addresses, databases, issuers."""

    egress: tuple[str, ...] = ()
    ingress: str | None = None
    web: tuple[str, ...] = ()
    databases: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    why: str | None = None


def contexts(seconds: float, kubectl: Kubectl | None = None) -> tuple[str, ...]:
    """Return the contexts of the kubeconfig, the current one first; none where there is no kubectl."""
    asked = kubectl or Kubectl(None)
    try:
        found = asked.run("config", "get-contexts", "--output=name", seconds=seconds).split()
        current = asked.finish("config", "current-context", seconds=seconds).stdout.strip()
    except KubectlError:
        return ()
    return tuple(sorted(found, key=lambda name: name != current))


def look_at_cluster(context: str, seconds: float, kubectl: Kubectl | None = None) -> ClusterSeen:
    """Ask a cluster, all at once. What it does not let be listed is left out; one that does not answer says why."""
    asked = kubectl or Kubectl(None, context)

    def listed(kind: str) -> Callable[[], list[dict[str, Any]] | str]:
        def ask() -> list[dict[str, Any]] | str:
            limit = f"--request-timeout={max(1, int(seconds))}s"
            try:
                text = asked.run("get", kind, "--all-namespaces", "--output=json", limit, seconds=seconds)
                items: list[dict[str, Any]] = json.loads(text)["items"]
            except KubectlError as error:
                return str(error).splitlines()[-1]
            except (ValueError, LookupError, TypeError):
                return f"its list of {kind} is not understood"
            return items

        return ask

    kinds = ("nodes", "services", "clusterissuers.cert-manager.io")
    answers = all_within(seconds + 1, {kind: listed(kind) for kind in kinds})
    nodes, services, issuers = (answers.get(kind, "it did not answer in time") for kind in kinds)
    if isinstance(services, str) and isinstance(nodes, str):
        return ClusterSeen(why=services)
    there = [one for one in services if isinstance(one, dict)]
    controller = next((one for one in there if _is_controller(one)), None)
    return ClusterSeen(
        egress=tuple(
            address["address"]
            for node in nodes if isinstance(node, dict)
            for address in node.get("status", {}).get("addresses") or () if address.get("type") == "ExternalIP"
        ),
        ingress=None if controller is None else controller["metadata"]["namespace"],
        web=() if controller is None else tuple(_addresses(controller)),
        databases=tuple(
            f"{one['metadata']['name']}.{one['metadata']['namespace']}.svc.cluster.local"
            for one in there if MARIADB_PORT in _ports(one)
        ),
        issuers=tuple(one["metadata"]["name"] for one in issuers if isinstance(one, dict)),
    )  # fmt: skip


def docker_here(seconds: float, command: Sequence[str] = ("docker",)) -> tuple[str | None, str]:
    """Return the version of this machine's Docker engine, and why there is none."""
    try:
        done = subprocess.run(
            [*command, "version", "--format", "{{.Server.Version}}"],
            capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, "docker is not on PATH" if isinstance(error, FileNotFoundError) else "it did not answer in time"
    version, reason = done.stdout.strip(), (done.stderr or done.stdout).strip().splitlines()
    if done.returncode == 0 and version:
        return version, ""
    return None, reason[-1] if reason else "it said nothing"


def _is_controller(service: dict[str, Any]) -> bool:
    name = " ".join((service["metadata"]["name"], service["metadata"]["namespace"]))
    known = any(word in name for word in ("ingress", "traefik", "gateway", "contour", "haproxy"))
    return known and service.get("spec", {}).get("type") == "LoadBalancer" and WEB_PORT in _ports(service)


def _addresses(service: dict[str, Any]) -> list[str]:
    found = service.get("status", {}).get("loadBalancer", {}).get("ingress") or ()
    return [one["ip"] for one in found if one.get("ip")]


def _ports(service: dict[str, Any]) -> set[int]:
    return {one.get("port") for one in service.get("spec", {}).get("ports") or ()}
