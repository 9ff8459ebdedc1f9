"""What the world can reach: mail, names and web sites over TLS, never a database, an admin page or metrics."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen

__all__ = ["NO_PUBLIC_ADMIN"]

# SMTP, DNS, HTTP, HTTPS, submission. Whatever else is open to all is a mistake.
FOR_ALL = frozenset({25, 53, 80, 443, 465, 587})
# Behind a load balancer a harmless port may lead here. MariaDB, Postal's web server, PostgreSQL, Redis, Caddy's admin
# API, etcd, Kubernetes, metrics of the relay, of Postal and of hosts.
INNER = frozenset({3306, 5000, 5432, 6379, 2019, 2375, 2376, 2379, 2380, 6443, 10250, 9154, 9090, 9091, 9100})
INNER_NAMES = frozenset({"mysql", "mariadb", "metrics", "health", "admin"})
ALLOWED = re.compile(r"(?:.*/)?firewall/allow/(\d+) (tcp|udp)/(\w+)")
# Addresses that Postal's component shows, and what it means where they are public.
LISTENS: Mapping[str, str] = {
    "compose/web_publish": "Postal's web server would answer everybody, without TLS",
    "mariadb/listen": "the database would listen where everybody is",
}


def _no_public_admin(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    kind = resource.type.rpartition(":")[2]
    if resource.type.startswith("mailstack:index:"):
        yield from _shown(resource)
    if resource.type == "docker:index/container:Container":
        yield from _container(resource)
    if resource.type.startswith("kubernetes:") and kind in IN_A_CLUSTER:
        yield from IN_A_CLUSTER[kind](resource)


def _shown(resource: Resource) -> Iterator[str]:
    """Yield what a component shows of who may come."""
    if resource.is_component("RemoteHost"):
        yield from _firewall(resource)
    for name, meaning in LISTENS.items():
        for key, text in resource.shown(name):
            if _is_public(text):
                yield f"{key} is {text}: {meaning}"
    for key, text in resource.shown("metrics/networks"):
        if _holds_everybody(text):
            yield f"{key} is {text}: everybody may read the relay's metrics"


def _container(resource: Resource) -> Iterator[str]:
    if resource.inputs.get("networkMode") == "host":
        yield "the container is on its host's network: whatever it listens on, the host does"
    for port in resource.entries("ports"):
        numbers = (_number(port.get("internal")), _number(port.get("external")))
        shown = {number for number in numbers if number is not None}
        if _is_public(str(port.get("ip") or "0.0.0.0")) and not shown <= FOR_ALL:  # noqa: S104 - Docker's default
            yield f"port {sorted(shown - FOR_ALL)} of the container is published on every address"


def _firewall(resource: Resource) -> Iterator[str]:
    """Yield openings without sources: those are for everybody."""
    openings: dict[tuple[str, str], set[str]] = {}
    for key in resource.inputs:
        found = ALLOWED.fullmatch(key)
        if found is not None:
            openings.setdefault((found[1], found[2]), set()).add(found[3])
    for (port, protocol), told in openings.items():
        sources = [text for _, text in resource.shown(f"firewall/allow/{port} {protocol}/sources")]
        everybody = "sources" not in told or any(_holds_everybody(text) for text in sources)
        if everybody and int(port) not in FOR_ALL:
            yield f"the firewall opens {port}/{protocol} to everybody"


def _holds_everybody(text: str) -> bool:
    return any(network.strip().endswith("/0") for network in text.split(","))


def _service(resource: Resource) -> Iterator[str]:
    spec = resource.mapping("spec")
    ranges = spec.get("loadBalancerSourceRanges") or []
    open_to_all = not ranges or any(_holds_everybody(str(one)) for one in ranges)
    if spec.get("type") not in {"LoadBalancer", "NodePort"} and not spec.get("externalIPs"):
        return
    if not open_to_all:
        return
    for port in resource.entries("spec", "ports"):
        number, target = _number(port.get("port")), port.get("targetPort")
        if number not in FOR_ALL or _number(target) in INNER or target in INNER_NAMES:
            yield f"the Service shows port {number} (to {target or number}) outside the cluster"


def _network_policy(resource: Resource) -> Iterator[str]:
    for rule in resource.entries("spec", "ingress"):
        peers = rule.get("from") or []
        blocks = [str(peer["ipBlock"].get("cidr")) for peer in peers if isinstance(peer.get("ipBlock"), dict)]
        if peers and not any(_holds_everybody(block) for block in blocks):
            continue
        if not rule.get("ports"):
            yield "the NetworkPolicy lets everybody reach every port of its pods"
        for port in rule.get("ports") or ():
            if _number(port.get("port")) in INNER or port.get("port") in INNER_NAMES:
                yield f"the NetworkPolicy lets everybody reach port {_number(port['port']) or port['port']}"


def _pods(resource: Resource) -> Iterator[str]:
    pods = resource.mapping("spec", "template", "spec")
    for container in resource.entries("spec", "template", "spec", "containers"):
        for port in container.get("ports") or ():
            number = _number(port.get("hostPort") or (port.get("containerPort") if pods.get("hostNetwork") else None))
            if number is not None and number not in FOR_ALL and _is_public(str(port.get("hostIP") or "0.0.0.0")):  # noqa: S104
                yield f"container {container.get('name')} takes port {number} of its node, on every address"


def _is_public(text: str) -> bool:
    """Tell whether an address to listen on is reached from outside; a name is somebody's own."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return address.is_unspecified or not (address.is_private or address.is_link_local)


def _number(value: Any) -> int | None:
    """Return a port as a number; None for a named one, and where there is none."""
    text = str(value).removesuffix(".0")  # numbers come as floating ones
    return int(text) if text.isdigit() else None


WITH_PODS = ("Deployment", "StatefulSet", "DaemonSet", "Job", "ReplicaSet")
IN_A_CLUSTER: Mapping[str, Callable[[Resource], Iterator[str]]] = {
    "Service": _service,
    "NetworkPolicy": _network_policy,
    **dict.fromkeys(WITH_PODS, _pods),
}
NO_PUBLIC_ADMIN = Policy(
    name="no-public-admin-port",
    description="Databases, admin pages and metrics are reached from inside only.",
    level=Level.MANDATORY,
    source="docs/how-to/firewall.md, CIS Docker Benchmark 5.14",
    remedy="name who may reach it (client_networks, metrics.networks, publish.address) or keep it on loopback",
    check=_no_public_admin,
)
