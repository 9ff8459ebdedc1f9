"""What the world can reach: mail, names and web sites over TLS, never a database, an admin page or metrics."""

import ipaddress
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from mailstack.policy.model import Level, Policy, Resource, Seen, Unclear
from mailstack.policy.pods import pod_spec, pods_are_unknown, pods_containers
from mailstack.policy.wire import UNKNOWN, has_unknown, mappings, text_of, within

__all__ = ["NO_PUBLIC_ADMIN", "holds_everybody"]

# SMTP, DNS, HTTP, HTTPS, submission. Whatever else is open to all is a mistake.
FOR_ALL = frozenset({25, 53, 80, 443, 465, 587})
# Behind a load balancer a harmless port may lead here. MariaDB, Postal's web server, PostgreSQL, Redis, Caddy's admin
# API, etcd, Kubernetes, metrics of the relay, of Postal and of hosts.
INNER = frozenset({3306, 5000, 5432, 6379, 2019, 2375, 2376, 2379, 2380, 6443, 10250, 9154, 9090, 9091, 9100})
# Postal's web server, with a login of its own, is meant to be reached by TLS that something before it speaks.
BEHIND_A_PROXY = frozenset({5000})
# Where nobody says another address.
EVERYWHERE = "0.0.0.0"  # noqa: S104
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
    if resource.type == "docker:index/service:Service":
        yield from _swarm(resource)
    if resource.type.startswith("kubernetes:"):
        yield from IN_A_CLUSTER.get(kind.removesuffix("Patch"), _pods)(resource)


def _shown(resource: Resource) -> Iterator[str]:
    """Yield what a component shows of who may come."""
    if resource.is_component("RemoteHost"):
        yield from _firewall(resource)
    for name, meaning in LISTENS.items():
        for key, text in resource.shown(name):
            if _is_public(text):
                yield f"{key} is {text}: {meaning}"
    for key, text in resource.shown("metrics/networks"):
        if holds_everybody(text):
            yield f"{key} is {text}: everybody may read the relay's metrics"


def _container(resource: Resource) -> Iterator[str]:
    inputs = resource.inputs
    yield from (Unclear(name) for name in ("networkMode", "ports", "publishAllPorts") if has_unknown(inputs.get(name)))
    if inputs.get("networkMode") == "host":
        yield "the container is on its host's network: whatever it listens on, the host does"
    if inputs.get("publishAllPorts"):
        yield "publishAllPorts shows every port of its image on every address"
    for port in resource.entries("ports"):
        yield from _published(port, ("internal", "external"), port.get("ip"))


def _swarm(resource: Resource) -> Iterator[str]:
    """Yield what a service of a swarm publishes: always on every address."""
    if has_unknown(within(resource.inputs, "endpointSpec")):
        yield Unclear("endpointSpec")
    for port in resource.entries("endpointSpec", "ports"):
        yield from _published(port, ("targetPort", "publishedPort"), None)


def _published(port: Mapping[str, Any], names: tuple[str, str], address: Any) -> Iterator[str]:
    inside, outside = (_number(port.get(name)) for name in names)
    # Where nobody says which, any port outside leads to it.
    shown = ({outside or inside} - {None} - FOR_ALL) | ({inside} & INNER)
    if shown and not has_unknown(dict(port)) and _is_public(text_of(address) or EVERYWHERE):
        text = ", ".join(sorted(map(str, shown)))
        yield f"port {text} of the container is published on every address"


def _firewall(resource: Resource) -> Iterator[str]:
    """Yield openings without sources: those are for everybody."""
    openings: dict[tuple[str, str], set[str]] = {}
    for key in resource.inputs:
        found = ALLOWED.fullmatch(key)
        if found is not None:
            openings.setdefault((found[1], found[2]), set()).add(found[3])
    for (port, protocol), told in openings.items():
        sources = [text for _, text in resource.shown(f"firewall/allow/{port} {protocol}/sources")]
        everybody = "sources" not in told or any(holds_everybody(text) for text in sources)
        if everybody and int(port) not in FOR_ALL:
            yield f"the firewall opens {port}/{protocol} to everybody"


def holds_everybody(text: str) -> bool:
    """Tell whether a list of networks holds one that is no neighbourhood any more: half of everybody is everybody."""
    return any(_is_vast(network.strip()) for network in text.split(","))


def _is_vast(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    least = 8 if network.version == 4 else 16  # larger than what one organisation has
    return network.prefixlen == 0 or (network.prefixlen < least and not network.is_private)


def _service(resource: Resource) -> Iterator[str]:
    told = [("spec", name) for name in ("type", "ports", "externalIPs", "loadBalancerSourceRanges")]
    unknown = [".".join(path) for path in told if has_unknown(within(resource.inputs, *path))]
    if unknown:
        yield Unclear(", ".join(unknown))
        return
    spec = resource.mapping("spec")
    ranges = spec.get("loadBalancerSourceRanges")
    if text_of(spec.get("type")) not in {"LoadBalancer", "NodePort"} and not spec.get("externalIPs"):
        return
    if isinstance(ranges, list) and ranges and not any(holds_everybody(str(one)) for one in ranges):
        return
    for port in resource.entries("spec", "ports"):
        number, target = _number(port.get("port")), port.get("targetPort")
        if number not in FOR_ALL or _is_inner(target):
            yield f"the Service shows port {number} (to {target or number}) outside the cluster"


def _is_inner(port: Any) -> bool:
    return _number(port) in INNER or text_of(port) in INNER_NAMES


def _network_policy(resource: Resource) -> Iterator[str]:
    if has_unknown(within(resource.inputs, "spec", "ingress")):
        yield Unclear("spec.ingress")
    for rule in resource.entries("spec", "ingress"):
        if has_unknown(rule):
            continue
        peers, ports = mappings(rule.get("from")), mappings(rule.get("ports"))
        blocks = [str(within(peer, "ipBlock", "cidr")) for peer in peers]
        if peers and not any(holds_everybody(block) for block in blocks):
            continue
        if not ports or any(port.get("port") is None for port in ports):
            yield "the NetworkPolicy lets everybody reach every port of its pods"
        for port in ports:
            if _is_inner(port.get("port")) or INNER & _span(port):
                yield f"the NetworkPolicy lets everybody reach port {_text(port)}"


def _span(port: Mapping[str, Any]) -> set[int]:
    first = _number(port.get("port"))
    return set() if first is None else set(range(first, (_number(port.get("endPort")) or first) + 1))


def _text(port: Mapping[str, Any]) -> str:
    first, last = _number(port.get("port")) or port.get("port"), _number(port.get("endPort"))
    return f"{first}" if last is None else f"{first} to {last}"


def _pods(resource: Resource) -> Iterator[str]:
    on_node = pod_spec(resource).get("hostNetwork")
    if on_node is UNKNOWN:
        yield Unclear("hostNetwork")
    if pods_are_unknown(resource):
        yield Unclear("containers")
    for container in pods_containers(resource):
        name, told = container.get("name"), container.get("ports")
        if has_unknown(told):
            yield Unclear(f"ports of container {name}")
        elif on_node and not told:
            yield f"container {name} is on its node's network: whatever it listens on, the node does"
        for port in mappings(told):
            number = _number(port.get("hostPort") or (port.get("containerPort") if on_node else None))
            public = _is_public(text_of(port.get("hostIP")) or EVERYWHERE) and not has_unknown(port)
            if number is not None and number not in FOR_ALL and public:
                yield f"container {name} takes port {number} of its node, on every address"


def _ingress(resource: Resource) -> Iterator[str]:
    rules = resource.entries("spec", "rules")
    backends = [within(path, "backend") for rule in rules for path in mappings(within(rule, "http", "paths"))]
    for backend in (within(resource.inputs, "spec", "defaultBackend"), *backends):
        port = within(backend, "service", "port")
        number, name = within(port, "number"), within(port, "name")
        if has_unknown(port) or UNKNOWN in (number, name):
            yield Unclear("port of a backend")
        elif _number(number) in INNER - BEHIND_A_PROXY or text_of(name) in INNER_NAMES:
            yield f"the Ingress leads the world to port {_number(number) or name}"


def _is_public(text: str) -> bool:
    """Tell whether an address to listen on is reached from outside; a name is somebody's own."""
    try:
        address = ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return address.is_unspecified or address.is_global


def _number(value: Any) -> int | None:
    """Return a port as a number; None for a named one, and where there is none."""
    text = str(value).removesuffix(".0")  # numbers come as floating ones
    return int(text) if text.isdigit() else None


IN_A_CLUSTER: Mapping[str, Callable[[Resource], Iterator[str]]] = {
    "Service": _service,
    "NetworkPolicy": _network_policy,
    "Ingress": _ingress,
}
NO_PUBLIC_ADMIN = Policy(
    name="no-public-admin-port",
    description="Databases, admin pages and metrics are reached from inside only.",
    level=Level.MANDATORY,
    source="docs/how-to/firewall.md, CIS Docker Benchmark 5.14",
    remedy="name who may reach it (client_networks, metrics.networks, publish.address) or keep it on loopback",
    check=_no_public_admin,
)
