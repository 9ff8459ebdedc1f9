"""Rules of ``cluster`` that need more than one field."""

import ipaddress
from collections.abc import Callable, Iterator

from mailstack.settings.cluster_model import Cluster
from mailstack.settings.hosts_model import Host
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, not_a_host

__all__ = ["CLUSTER_RULES"]

# Ports k3s listens on, on loopback too; https://docs.k3s.io/installation/requirements
API_PORT = 6443
PORTS = frozenset(
    {2379, 2380, 2381, 2382, API_PORT, 6444, 8472, 10010, 10248, 10249, 10250, 10256, 10257, 10258, 10259}
)
NODE_PORTS = range(30000, 32768)
# flannel gives each node a network of this size out of the pods' one.
NODE_NETWORK = 24
# kube-apiserver takes service networks of 20 bits at most (--service-cluster-ip-range).
WIDEST_SERVICES, SMALLEST_SERVICES = 12, 24


def _machines(settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    seen: set[str] = set()
    for kind, names in (("servers", cluster.servers), ("agents", cluster.agents)):
        for index, name in enumerate(names):
            field = f"cluster.{kind}[{index}]"
            if name not in settings.hosts:
                yield not_a_host(field, name, settings.hosts)
            elif name in seen:
                yield Problem(
                    field=field,
                    value=name,
                    rule="is in the cluster already; a host is one node, server or agent",
                    fix="remove it here; servers run pods too",
                )
            seen.add(name)
    if len(cluster.servers) % 2 == 0:
        yield Problem(
            field="cluster.servers",
            value=", ".join(cluster.servers),
            rule="must be 1, or 3 or another odd number: etcd needs more than half of them, so an even one adds none",
            fix="add one, or make one an agent",
        )
    for name in cluster.node_labels:
        if name not in cluster.hosts:
            yield Problem(
                field=f"cluster.node_labels.{name}",
                value="a mapping",
                rule="must name a host of the cluster",
                fix=f"use one of {', '.join(cluster.hosts)}",
            )


def _addresses(settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    if len(cluster.servers) > 1 and cluster.api_address is None:
        yield Problem(
            field="cluster.api_address",
            value="",
            rule="is required with several servers: whoever uses the kubeconfig has to reach one that is up",
            fix="write one name that leads to all servers (DNS, a load balancer, a floating address)",
        )
    for name in cluster.hosts:
        host = settings.hosts.get(name)
        if host is not None and len(cluster.hosts) > 1 and not _reached_by_address(host):
            yield Problem(
                field=f"hosts.{name}.private_address",
                value="",
                rule="is required, or public_ipv4: the nodes of the cluster reach each other by address",
                fix="write the address of that host in the network all nodes share",
            )


def _reached_by_address(host: Host) -> bool:
    return bool(host.private_address or host.public_ipv4 or _address(host.address))


def _address(text: str | None) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return None if text is None else ipaddress.ip_address(text)
    except ValueError:
        return None


def _networks(settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    own = {field: ipaddress.ip_network(getattr(cluster, field)) for field in ("pod_network", "service_network")}
    if [field for field, network in own.items() if network.version != 4]:
        for field, network in own.items():
            if network.version != 4:
                yield Problem(
                    field=f"cluster.{field}",
                    value=str(network),
                    rule="must be an IPv4 network",
                    fix="write 10.42.0.0/16",
                )
        return
    pods, services = own["pod_network"], own["service_network"]
    if pods.prefixlen > NODE_NETWORK or 2 ** (NODE_NETWORK - pods.prefixlen) < len(cluster.hosts):
        yield Problem(
            field="cluster.pod_network",
            value=str(pods),
            rule=f"is too small for {len(cluster.hosts)} nodes: each gets a /{NODE_NETWORK} of it",
            fix="use a wider one, such as 10.42.0.0/16",
        )
    if not WIDEST_SERVICES <= services.prefixlen <= SMALLEST_SERVICES:
        yield Problem(
            field="cluster.service_network",
            value=str(services),
            rule=f"must be between /{WIDEST_SERVICES} and /{SMALLEST_SERVICES}",
            fix="use 10.43.0.0/16",
        )
    if pods.overlaps(services):
        yield Problem(
            field="cluster.service_network",
            value=str(services),
            rule=f"overlaps cluster.pod_network ({pods})",
            fix="give each a network of its own, such as 10.42.0.0/16 and 10.43.0.0/16",
        )
    for field, network in own.items():
        for what in _inside(settings, cluster, network):
            yield Problem(
                field=f"cluster.{field}",
                value=str(network),
                rule=f"overlaps {what}: the nodes would no longer reach it",
                fix="use a network that nothing else of yours has",
            )


def _inside(
    settings: Settings, cluster: Cluster, network: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> Iterator[str]:
    for name, host in settings.hosts.items():
        for key in ("address", "public_ipv4", "private_address"):
            address = _address(getattr(host, key))
            if address is not None and address in network:
                yield f"hosts.{name}.{key} ({address})"
    if settings.postal is not None and settings.postal.host in cluster.hosts:
        containers = ipaddress.ip_network(settings.postal.docker.network)
        if containers.overlaps(network):
            yield f"postal.docker.network ({containers})"
    for text in settings.relay.client_networks:
        if ipaddress.ip_network(text).overlaps(network):
            yield f"relay.client_networks ({text})"


def _neighbours(settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    for field, host, port in _ports_of_others(settings):
        if host in cluster.hosts and (port in PORTS or port in NODE_PORTS):
            yield Problem(
                field=field,
                value=str(port),
                rule=f"is a port of Kubernetes, whose node {host} is",
                fix=f"choose another one below {NODE_PORTS.start}, or keep that host out of the cluster",
            )
    owners = {"caddy": settings.caddy and settings.caddy.host, "postal": settings.postal and settings.postal.host}
    for name, place in owners.items():
        for part in ("traefik", "servicelb"):
            if place in cluster.hosts and part not in cluster.disable:
                yield Problem(
                    field="cluster.disable",
                    value=", ".join(cluster.disable),
                    rule=f"must hold {part}: it takes ports of every node, and {name} on {place} owns 25, 80 or 443",
                    fix=f"add {part}, or keep {place} out of the cluster",
                )


def _ports_of_others(settings: Settings) -> Iterator[tuple[str, str, int]]:
    relay, postal, server = settings.relay, settings.postal, settings.dns.server
    for name in relay.host_names if relay.placement == "vm" else ():
        yield "relay.listen_port", name, settings.relay_listen_port
        if relay.submission is not None:
            for key in ("starttls_port", "tls_port"):
                port = getattr(relay.submission, key)
                if port is not None:
                    yield f"relay.submission.{key}", name, port
    if server is not None:
        yield "dns.server.port", server.host, server.port
    if postal is not None and postal.database_host is not None:
        yield "postal.database.port", postal.database_host, postal.database.port
    for name, host in settings.hosts.items():
        yield f"hosts.{name}.port", name, host.port


def _files(_settings: Settings, cluster: Cluster) -> Iterator[Problem]:
    for index, images in enumerate(cluster.airgap_images):
        if images.architecture not in cluster.sha256:
            yield Problem(
                field=f"cluster.airgap_images[{index}].architecture",
                value=images.architecture,
                rule="has no program in cluster.sha256",
                fix=f"add the program's sum for {images.architecture}, or remove the images",
            )
        if images.file in [other.file for other in cluster.airgap_images[:index]]:
            yield Problem(
                field=f"cluster.airgap_images[{index}].file",
                value=images.file,
                rule="is listed twice",
                fix="remove one",
            )
    for index, registry in enumerate(cluster.registries):
        field = f"cluster.registries[{index}]"
        if (registry.username is None) != (registry.password is None):
            missing = "username" if registry.username is None else "password"
            yield Problem(
                field=f"{field}.{missing}",
                value="",
                rule="is required: a login has both",
                fix="set it, or remove the other",
            )
        if registry.name in [other.name for other in cluster.registries[:index]]:
            yield Problem(field=f"{field}.name", value=registry.name, rule="is listed twice", fix="merge the two")
    if cluster.remove_volumes and cluster.on_destroy == "keep":
        yield Problem(
            field="cluster.remove_volumes",
            value="true",
            rule="has no effect with on_destroy keep",
            fix="set on_destroy to remove, or remove it",
        )


CLUSTER_RULES: tuple[Callable[[Settings, Cluster], Iterator[Problem]], ...] = (
    _machines,
    _addresses,
    _networks,
    _neighbours,
    _files,
)
