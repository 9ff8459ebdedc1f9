"""What is there before there is a stack: what a host says to whoever may log in, and what DNS has of a domain."""

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mailstack.dns import MailExchanger, Record, Text
from mailstack.dns.existing import Existing
from mailstack.reach.connection import Connection
from mailstack.reach.delegation import delegations
from mailstack.reach.look import look_by_dns
from mailstack.reach.ssh import SshError, run_over_ssh
from mailstack.start.answers import HostPlace, InDns

__all__ = ["HostSeen", "addresses_of", "look_at_domains", "look_at_host", "provider_of"]

DIAL_SECONDS = 5
# Plain words of every distribution, for a login shell that may be any.
ASK = "cat /etc/os-release; echo; ip -o address show scope global; echo; id -u; sudo -n true && echo sudo"
CLOUDFLARE_SERVERS = ".ns.cloudflare.com"
PROBE_TTL = 3600


@dataclass(frozen=True, kw_only=True)
class HostSeen:
    """What a host said. ``why`` says why it said nothing; ``root`` tells whether the login may do everything."""

    system: str | None = None
    addresses: tuple[str, ...] = ()
    root: bool | None = None
    why: str | None = None


def look_at_host(place: HostPlace, host_key: str | None) -> HostSeen:
    """Log in with the keys of whoever runs this, and ask; a host that lets nobody in is told, not raised."""
    connection = Connection(
        address=place.address, port=place.port, user=place.user, private_key=None, host_key=host_key,
        attempts=1, dial_seconds=DIAL_SECONDS,
    )  # fmt: skip
    try:
        done = run_over_ssh(connection, ASK)
    except (SshError, OSError) as error:
        return HostSeen(why=str(error))
    system = re.search(r'^PRETTY_NAME="?([^"\n]+)', done.stdout, re.MULTILINE)
    found = re.findall(r"\binet6? ([0-9a-f.:]+)/", done.stdout)
    root = bool(re.search(r"^0$|^sudo$", done.stdout, re.MULTILINE))
    return HostSeen(system=system[1] if system else None, addresses=public(found), root=root)


def addresses_of(name: str) -> tuple[str, ...]:
    """Return the public addresses that the system's resolver knows of a host; none where there are none."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return ()
    return public(str(one[4][0]) for one in found)


def public(addresses: Iterable[str]) -> tuple[str, ...]:
    """Return those that the world reaches, each once."""
    return tuple(one for one in dict.fromkeys(addresses) if ipaddress.ip_address(one).is_global)


def provider_of(domain: str, *, seconds: float, resolvers: Sequence[str] | None) -> str | None:
    """Return ``cloudflare`` for a zone that is delegated there, ``none`` for one elsewhere, None where nobody says.

    A name without a delegation of its own is in the zone of its parent.
    """
    labels = domain.split(".")
    names = [".".join(labels[place:]) for place in range(len(labels) - 1)]
    seen = delegations(names, seconds=seconds, resolvers=resolvers)
    servers = next((seen[name] for name in names if seen.get(name)), frozenset())
    if not servers:
        return None
    return "cloudflare" if all(server.endswith(CLOUDFLARE_SERVERS) for server in servers) else "none"


def look_at_domains(domains: Sequence[str], *, seconds: float, resolvers: Sequence[str] | None) -> dict[str, InDns]:
    """Return what the authoritative servers have of each domain; a domain nobody answers for is left out.

    A domain below another one is asked for at the servers of that one.
    """
    zones = [one for one in domains if not any(one.endswith(f".{other}") for other in domains)]
    wanted = {
        zone: [ask for name in domains if name == zone or name.endswith(f".{zone}") for ask in _asked(name)]
        for zone in zones
    }
    look = look_by_dns(wanted, seconds=seconds, ours=(), resolvers=resolvers)
    seen = [name for name in domains for zone in zones if name == zone or name.endswith(f".{zone}")
            if zone not in look.not_seen]  # fmt: skip
    return {name: _in_dns(name, look.existing) for name in seen}


def _asked(name: str) -> list[Record]:
    """Return records of the names and types to ask for; what they say does not matter."""
    return [
        Record.of(name, PROBE_TTL, MailExchanger(preference=0, exchange=name)),
        Record.of(name, PROBE_TTL, Text(value="v=spf1 -all")),
        Record.of(f"_dmarc.{name}", PROBE_TTL, Text(value="v=DMARC1; p=none")),
    ]


def _in_dns(name: str, existing: Sequence[Existing]) -> InDns:
    def texts(owner: str, start: str) -> list[str]:
        there = (one.data.value for one in existing if one.name == owner and isinstance(one.data, Text))
        return [text for text in there if text.lower().startswith(start)]

    mx = tuple(
        (one.data.preference, one.data.exchange)
        for one in existing
        if one.name == name and isinstance(one.data, MailExchanger)
    )
    spf, dmarc = texts(name, "v=spf1"), texts(f"_dmarc.{name}", "v=dmarc1")
    return InDns(mx=mx, spf=spf[0] if spf else None, dmarc=dmarc[0] if dmarc else None)
