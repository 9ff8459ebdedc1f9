"""Where questions go: resolvers, ports, trust. Its defaults are the Internet's; tests give another world."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["PUBLIC_RESOLVERS", "Around"]

PUBLIC_RESOLVERS = ("1.1.1.1", "8.8.8.8", "9.9.9.9")


@dataclass(frozen=True, kw_only=True)
class Around:
    """``resolvers`` are ``address`` or ``address:port``, IPv6 in brackets. ``asks_nobody``: no question of DNS leaves
    this machine, and each is unknown.

    ``own_resolver``, None for the system's first, follows delegations, and asks block lists: those refuse the big
    public resolvers.
    ``places`` sends connections elsewhere: (host or address, port) to (address, port). ``authorities`` are further
    trusted certificates, a PEM file. ``helo`` is what we say in EHLO, empty for our address in brackets. ``seconds`` is
    for one question, ``tries`` how often it is asked. ``ipv6`` False: this machine has no way there, and nothing is
    concluded.
    ``route_validity`` is RIPEstat's data API.
    """

    resolvers: tuple[str, ...] = PUBLIC_RESOLVERS
    asks_nobody: bool = False
    own_resolver: str | None = None
    authority_ports: Mapping[str, int] = field(default_factory=dict)
    places: Mapping[tuple[str, int], tuple[str, int]] = field(default_factory=dict)
    authorities: Path | None = None
    helo: str = ""
    seconds: float = 2.0
    tries: int = 2
    ipv6: bool | None = None
    block_lists: tuple[str, ...] = ("zen.spamhaus.org",)
    domain_block_lists: tuple[str, ...] = ("dbl.spamhaus.org",)
    outbound_probes: tuple[str, ...] = ("gmail-smtp-in.l.google.com", "mx1.mail.icloud.com")
    route_validity: str = "https://stat.ripe.net"

    def placed(self, host: str, address: str, port: int) -> tuple[str, int]:
        """Return where a connection to this port of a host really goes."""
        return self.places.get((address, port)) or self.places.get((host, port)) or (address, port)
