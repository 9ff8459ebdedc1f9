"""What each host must offer and have before anything is put on it: preflight, firewall, updates, container engine."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from mailstack.plan.metrics import metrics_clients, metrics_listen
from mailstack.plan.model import HostPlan, RoleRun
from mailstack.plan.shown import Secret, Shown, shown_run
from mailstack.reach.connection import Connection, Jump
from mailstack.settings.cluster_model import Cluster
from mailstack.settings.model import Settings
from mailstack.settings.postal_model import DockerEngine, Postal
from mailstack.settings.relay_model import Submission

__all__ = [
    "API_PORT",
    "CONTAINER_NETWORK",
    "WEB_PORT",
    "connection_of",
    "docker_settings",
    "firewall_settings",
    "plan_host",
    "preflight_settings",
    "reach_address",
    "updates_settings",
]

CONTAINER_NETWORK = "mailstack"
CONTAINER_BRIDGE = "br-mailstack"
WEB_PORT = 5000
# Time to prove, over a second connection, that SSH still works before the old rules come back.
UNDO_SECONDS = 120
API_PORT = 6443
# https://docs.k3s.io/installation/requirements
CLUSTER_MEMORY_MB = {"server": 2048, "agent": 512}
CLUSTER_MODULES = ("br_netfilter", "overlay")

Opening = dict[str, Any]


def plan_host(settings: Settings, name: str) -> HostPlan:
    """Return how to reach host ``name`` and what every role there builds on, in order."""
    runs = tuple(_runs(settings, name))
    connection = connection_of(settings, name)
    return HostPlan(name=name, connection=connection, runs=runs, shown=_shown(connection, runs))


def connection_of(settings: Settings, name: str) -> Connection:
    """Return how Pulumi logs in to host ``name``."""
    host = settings.hosts[name]
    jump = host.jump
    key = host.private_key or settings.ssh.private_key
    return Connection(
        address=host.address,
        port=host.port,
        user=host.user,
        private_key=_text(key),
        host_key=host.host_key,
        attempts=settings.ssh.connect_attempts,
        jump=None
        if jump is None
        else Jump(
            address=jump.address,
            port=jump.port,
            user=jump.user,
            private_key=_text(jump.private_key or key),
            host_key=jump.host_key,
        ),
    )


def _text(value: SecretStr | None) -> str | None:
    return None if value is None else value.get_secret_value()


def _runs(settings: Settings, name: str) -> Iterator[RoleRun]:
    def run(
        role: str, told: Mapping[str, Any], *, suffix: str = "", on_destroy: Literal["remove", "keep"] = "keep"
    ) -> RoleRun:
        resource = f"{name}-{suffix or role.replace('_', '-')}"
        return RoleRun(name=resource, host=name, role=role, settings=told, on_destroy=on_destroy)

    yield run("preflight", preflight_settings(settings, name))
    updates = updates_settings(settings, name)
    if updates is not None:
        yield run("security_updates", updates, on_destroy="remove")
    firewall = firewall_settings(settings, name)
    if firewall is not None:
        # The second run comes over a connection of its own: only that proves that SSH still works.
        yield run("firewall", firewall, on_destroy="remove")
        yield run("firewall", {**firewall, "confirm": True}, suffix="firewall-confirm")
    docker = docker_settings(settings, name)
    if docker is not None:
        yield run("docker", docker)


def _shown(connection: Connection, runs: tuple[RoleRun, ...]) -> Shown:
    found: dict[str, str | Secret] = {}
    for field, place in (("ssh", connection), ("jump", connection.jump)):
        if place is not None:
            found[f"{field}/address"] = f"{place.user}@{place.address} port {place.port}"
            found[f"{field}/host_key"] = place.host_key or "not pinned"
            found[f"{field}/private_key"] = Secret(place.private_key) if place.private_key else "of the SSH agent"
    for run in runs:
        if not run.settings.get("confirm"):  # the same settings a second time
            found |= shown_run(run.role, run.settings, prefix=run.role)
    return found


def reach_address(settings: Settings, name: str) -> str:
    """Return the address the other hosts of the stack reach host ``name`` at."""
    host = settings.hosts[name]
    return host.inner_address or host.address


def uses_containers(settings: Settings, name: str) -> bool:
    """Tell whether containers run on host ``name``."""
    postal, caddy, relay = settings.postal, settings.caddy, settings.relay
    if relay.placement == "docker" and name in relay.host_names:
        return True
    own = postal is not None and name in {postal.host, postal.database_host}
    return own or (caddy is not None and caddy.placement == "container" and caddy.host == name)


def docker_settings(settings: Settings, name: str) -> dict[str, Any] | None:
    """Return the settings of role ``docker`` for host ``name``; None where no container runs."""
    if not uses_containers(settings, name):
        return None
    docker = DockerEngine() if settings.postal is None else settings.postal.docker
    return {
        "source": docker.source,
        "registry_mirrors": list(docker.registry_mirrors),
        "network": {
            "name": CONTAINER_NETWORK,
            "bridge": CONTAINER_BRIDGE,
            "subnet": docker.network,
            "gateway": docker.gateway,
        },
    }


def updates_settings(settings: Settings, name: str) -> dict[str, Any] | None:
    """Return the settings of role ``security_updates``; None leaves the host as it is."""
    wanted = settings.hosts[name].security_updates
    return None if wanted is None else {"enabled": wanted}


def firewall_settings(settings: Settings, name: str) -> dict[str, Any] | None:
    """Return the settings of role ``firewall`` for host ``name``: exactly the declared ports are open."""
    host = settings.hosts[name]
    if host.firewall == "none":
        return None
    return {
        "kind": host.firewall,
        "ssh_ports": [host.port],
        "allow": list(_openings(settings, name)),
        "trusted_networks": list(_trusted_networks(settings, name)),
        "undo_seconds": UNDO_SECONDS,
    }


def _trusted_networks(settings: Settings, name: str) -> Iterator[str]:
    if settings.postal is not None and uses_containers(settings, name):
        yield settings.postal.docker.network
    if settings.cluster is not None and name in settings.cluster.hosts:
        yield from (settings.cluster.pod_network, settings.cluster.service_network)


def _openings(settings: Settings, name: str) -> Iterator[Opening]:
    if settings.postal is not None:
        yield from _postal_openings(settings, settings.postal, name)
    if settings.caddy is not None and settings.caddy.host == name:
        yield from (_opening(80), _opening(443))
    relay = settings.relay
    if name in relay.host_names and relay.placement == "vm" and relay.client_networks:
        yield _opening(settings.relay_listen_port, sources=relay.client_networks)
    publish = settings.relay_docker.publish
    if name in relay.host_names and relay.placement == "docker" and publish is not None:
        yield _opening(publish.port, sources=relay.client_networks, container=True)
    if name in relay.host_names and relay.submission is not None:
        yield from (_opening(port) for port in _submission_ports(relay.submission))
    metrics = metrics_clients(settings, name)
    if metrics is not None:
        yield _opening(metrics[0], sources=metrics[1])
    server = settings.dns.server
    if server is not None and server.host == name:
        yield from (_opening(server.port, protocol="udp"), _opening(server.port))
    if settings.cluster is not None and name in settings.cluster.hosts:
        yield from _cluster_openings(settings, settings.cluster, name)


def _cluster_openings(settings: Settings, cluster: Cluster, name: str) -> Iterator[Opening]:
    """Yield what the nodes need of each other, and nobody else but users of the API gets."""
    others = tuple(_single(settings, other) for other in cluster.hosts if other != name)
    if name in cluster.servers:
        users = (*others, *cluster.api_networks)
        if users:
            yield _opening(API_PORT, sources=users)
        servers = tuple(_single(settings, other) for other in cluster.servers if other != name)
        if servers:
            yield from (_opening(port, sources=servers) for port in (2379, 2380))
    if others:
        yield _opening(10250, sources=others)
        yield _opening(8472, protocol="udp", sources=others)


def _postal_openings(settings: Settings, postal: Postal, name: str) -> Iterator[Opening]:
    container = not postal.ip_pools
    if postal.host == name:
        yield _opening(25, container=container)
        if settings.caddy is not None and settings.caddy.host != name and settings.caddy.host in settings.hosts:
            yield _opening(WEB_PORT, sources=(_single(settings, settings.caddy.host),), container=container)
    if postal.database_host == name and postal.host is not None and postal.host != name:
        yield _opening(postal.database.port, sources=(_single(settings, postal.host),), container=True)


def _submission_ports(submission: Submission) -> list[int]:
    return [port for port in (submission.starttls_port, submission.tls_port) if port is not None]


def _single(settings: Settings, name: str) -> str:
    address = reach_address(settings, name)
    return f"{address}/{128 if ':' in address else 32}"


def _opening(port: int, *, protocol: str = "tcp", sources: tuple[str, ...] = (), container: bool = False) -> Opening:
    return {"port": port, "protocol": protocol, "sources": list(sources), "container": container}


def preflight_settings(settings: Settings, name: str) -> dict[str, Any]:
    """Return the settings of role ``preflight`` for host ``name``: what will run there decides what is asked."""
    host = settings.hosts[name]
    ports: list[dict[str, Any]] = []
    outbound: list[dict[str, Any]] = []
    if name in settings.relay.host_names:
        places = dict.fromkeys((upstream.host_name, upstream.port) for upstream in settings.all_upstreams)
        outbound += [{"host": place, "port": port} for place, port in places]
    if name in settings.relay.host_names and settings.relay.placement == "vm":
        gateway = None if settings.postal is None else settings.postal.gateway
        ports += [
            {"address": address, "port": settings.relay_listen_port, "holder": "postfix"}
            for address in settings.relay_listens_on(name)
            if address != gateway  # there only once the container network is
        ]
        if settings.relay.submission is not None:
            ports += [
                {"address": address, "port": port, "holder": "postfix"}
                for address in settings.relay.submission.listen_addresses
                for port in _submission_ports(settings.relay.submission)
            ]
        ports += metrics_listen(settings)
    publish = settings.relay_docker.publish
    if name in settings.relay.host_names and settings.relay.placement == "docker" and publish is not None:
        ports.append({"address": publish.address, "port": publish.port, "holder": "docker"})
    server = settings.dns.server
    if server is not None and server.host == name:
        ports += [{"address": address, "port": server.port, "holder": "knot"} for address in server.listen_addresses]
    if settings.postal is not None and settings.postal.host == name:
        ports.append({"address": "0.0.0.0", "port": 25, "holder": "docker"})  # noqa: S104 - a fact to check
    if settings.caddy is not None and settings.caddy.host == name:
        ports += [{"address": "0.0.0.0", "port": port, "holder": "caddy"} for port in (80, 443)]  # noqa: S104
    memory, modules = host.minimum_memory_mb, {}
    cluster = settings.cluster
    if cluster is not None and name in cluster.hosts:
        kind = "server" if name in cluster.servers else "agent"
        memory, modules = max(memory, CLUSTER_MEMORY_MB[kind]), {"kernel_modules": list(CLUSTER_MODULES)}
        ports += _cluster_ports(kind)
        if cluster.binary_file is None:
            place = urlsplit(cluster.download_url)
            outbound.append({"host": place.hostname, "port": place.port or (80 if place.scheme == "http" else 443)})
    return {
        "minimum_memory_mb": memory,
        "minimum_disk_gb": host.minimum_disk_gb,
        "ports": ports,
        "outbound": outbound,
        "wait_seconds": 300,
        **modules,
    }


def _cluster_ports(kind: str) -> Iterator[dict[str, Any]]:
    """Yield the ports a node listens on. That of VXLAN (8472/udp) is the kernel's own, so nobody can be seen there."""
    numbers, holder = ((API_PORT, 2379, 2380, 10250), "k3s") if kind == "server" else ((10250,), "k3s-agent")
    yield from ({"address": "0.0.0.0", "port": port, "holder": holder} for port in numbers)  # noqa: S104
