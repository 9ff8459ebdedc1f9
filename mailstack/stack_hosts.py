"""What each host must offer and have before anything is put on it: preflight, firewall, updates, container engine."""

from collections.abc import Iterator
from typing import Any

from mailstack.settings.model import Settings
from mailstack.settings.postal_model import DockerEngine, Postal

__all__ = [
    "CONTAINER_NETWORK",
    "WEB_PORT",
    "docker_settings",
    "firewall_settings",
    "preflight_settings",
    "reach_address",
    "updates_settings",
]

CONTAINER_NETWORK = "mailstack"
CONTAINER_BRIDGE = "br-mailstack"
WEB_PORT = 5000
# Time to prove, over a second connection, that SSH still works before the old rules come back.
UNDO_SECONDS = 120

Opening = dict[str, Any]


def reach_address(settings: Settings, name: str) -> str:
    """Return the address the other hosts of the stack reach host ``name`` at."""
    host = settings.hosts[name]
    return host.private_address or host.public_ipv4 or host.public_ipv6 or host.address


def uses_containers(settings: Settings, name: str) -> bool:
    """Tell whether containers run on host ``name``."""
    postal, caddy = settings.postal, settings.caddy
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
        "trusted_networks": [settings.postal.docker.network]
        if settings.postal is not None and uses_containers(settings, name)
        else [],
        "undo_seconds": UNDO_SECONDS,
    }


def _openings(settings: Settings, name: str) -> Iterator[Opening]:
    if settings.postal is not None:
        yield from _postal_openings(settings, settings.postal, name)
    if settings.caddy is not None and settings.caddy.host == name:
        yield from (_opening(80), _opening(443))
    relay = settings.relay
    if relay.host == name and relay.placement == "vm" and relay.client_networks:
        yield _opening(settings.relay_listen_port, sources=relay.client_networks)
    server = settings.dns.server
    if server is not None and server.host == name:
        yield from (_opening(server.port, protocol="udp"), _opening(server.port))


def _postal_openings(settings: Settings, postal: Postal, name: str) -> Iterator[Opening]:
    container = not postal.ip_pools
    if postal.host == name:
        yield _opening(25, container=container)
        if settings.caddy is not None and settings.caddy.host != name and settings.caddy.host in settings.hosts:
            yield _opening(WEB_PORT, sources=(_single(settings, settings.caddy.host),), container=container)
    if postal.database_host == name and postal.host != name:
        yield _opening(postal.database.port, sources=(_single(settings, postal.host),), container=True)


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
    if settings.relay.host == name:
        upstream = settings.relay.upstream
        outbound.append({"host": upstream.host_name, "port": upstream.port})
    if settings.relay.host == name and settings.relay.placement == "vm":
        gateway = None if settings.postal is None else settings.postal.gateway
        ports += [
            {"address": address, "port": settings.relay_listen_port, "holder": "postfix"}
            for address in settings.relay_listen_addresses
            if address != gateway  # there only once the container network is
        ]
    server = settings.dns.server
    if server is not None and server.host == name:
        ports += [{"address": address, "port": server.port, "holder": "knot"} for address in server.listen_addresses]
    if settings.postal is not None and settings.postal.host == name:
        ports.append({"address": "0.0.0.0", "port": 25, "holder": "docker"})  # noqa: S104 - a fact to check
    if settings.caddy is not None and settings.caddy.host == name:
        ports += [{"address": "0.0.0.0", "port": port, "holder": "caddy"} for port in (80, 443)]  # noqa: S104
    return {
        "minimum_memory_mb": host.minimum_memory_mb,
        "minimum_disk_gb": host.minimum_disk_gb,
        "ports": ports,
        "outbound": outbound,
        "wait_seconds": 300,
    }
