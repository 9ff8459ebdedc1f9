"""The settings, checked. Pure."""

import ipaddress
from typing import Any, Dict, Sequence

from rolelib.host import RoleError

__all__ = ["Opening", "Wanted", "family_of", "wanted_from"]

KINDS = ("ufw", "firewalld", "none")
PROTOCOLS = ("tcp", "udp")
DEFAULT_UNDO_SECONDS = 120


class Opening:
    """A port that answers. ``sources``: networks that may come in (CIDR, both families), empty for everybody.

    ``container``: a container that publishes this port is reachable too, not only a program of the host.
    """

    def __init__(self, port: int, protocol: str, sources: Sequence[str] = (), container: bool = False) -> None:
        """Hold the values."""
        self.port = port
        self.protocol = protocol
        self.sources = tuple(sources)
        self.container = container


class Wanted:
    """What is declared. ``ssh_ports`` are those of the settings; the host's own are added when planning."""

    def __init__(
        self,
        kind: str,
        openings: Sequence[Opening] = (),
        ssh_ports: Sequence[int] = (22,),
        trusted: Sequence[str] = (),
        undo_seconds: int = DEFAULT_UNDO_SECONDS,
        confirm: bool = False,
    ) -> None:
        """Hold the values."""
        self.kind = kind
        self.openings = list(openings)
        self.ssh_ports = sorted(set(ssh_ports))
        self.trusted = list(trusted)
        self.undo_seconds = undo_seconds
        self.confirm = confirm


def wanted_from(settings: Dict[str, Any]) -> Wanted:
    """Return the settings as values. Raises RoleError that names the entry and the rule."""
    kind = settings.get("kind")
    if kind not in KINDS:
        raise RoleError("settings", f"kind {kind!r} is none of: {', '.join(KINDS)}")
    seconds = settings.get("undo_seconds", DEFAULT_UNDO_SECONDS)
    if not isinstance(seconds, int) or seconds < 1:
        raise RoleError("settings", f"undo_seconds {seconds!r} is not a number of seconds from 1 on")
    return Wanted(
        kind=str(kind),
        openings=[_opening(entry) for entry in settings.get("allow") or []],
        ssh_ports=[_port(port, "ssh_ports") for port in settings.get("ssh_ports") or []],
        trusted=sorted({_network(network, "trusted_networks") for network in settings.get("trusted_networks") or []}),
        undo_seconds=seconds,
        confirm=bool(settings.get("confirm")),
    )


def _opening(entry: Dict[str, Any]) -> Opening:
    port = _port(entry.get("port"), "allow")
    protocol = str(entry.get("protocol", "tcp"))
    if protocol not in PROTOCOLS:
        raise RoleError("settings", f"allow port {port}: protocol {protocol!r} is none of: {', '.join(PROTOCOLS)}")
    sources = sorted({_network(source, f"allow port {port}") for source in entry.get("sources") or []})
    return Opening(port, protocol, sources, bool(entry.get("container")))


def _port(value: object, where: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    raise RoleError("settings", f"{where}: {value!r} is not a port (1 to 65535)")


def _network(value: Any, where: str) -> str:
    try:
        return str(ipaddress.ip_network(str(value)))
    except ValueError as error:
        raise RoleError("settings", f"{where}: {error}") from None


def family_of(network: str) -> str:
    """Return ``ipv4`` or ``ipv6``."""
    return "ipv6" if ":" in network else "ipv4"
