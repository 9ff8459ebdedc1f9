"""What is there before there is a stack: what a host says to whoever may log in, and what DNS has of a domain."""

import ipaddress
import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from mailstack.dns import MailExchanger, Record, Text
from mailstack.dns.existing import Existing
from mailstack.dns.names import is_within, lineage, topmost
from mailstack.reach.connection import Connection
from mailstack.reach.delegation import delegations
from mailstack.reach.look import look_by_dns
from mailstack.reach.ssh import SshError, run_over_ssh
from mailstack.start.answers import HostPlace, InDns

__all__ = ["HostSeen", "addresses_of", "look_at_domains", "look_at_host", "provider_of"]

DIAL_SECONDS = 5
# Plain words of every distribution, for a login shell that may be any.
ASK = (
    "cat /etc/os-release; echo; ip -o address show scope global; echo; id -u; grep MemTotal /proc/meminfo; "
    "sudo -n true && echo sudo"
)
CLOUDFLARE_SERVERS = ".ns.cloudflare.com"
PROBE_TTL = 3600


@dataclass(frozen=True, kw_only=True)
class HostSeen:
    """What a host said. ``why`` says why it said nothing; ``root`` tells whether the login may do everything."""

    system: str | None = None
    addresses: tuple[str, ...] = ()
    root: bool | None = None
    memory_mb: int | None = None
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
    memory = re.search(r"^MemTotal: +(\d+) kB$", done.stdout, re.MULTILINE)
    return HostSeen(
        system=system[1] if system else None,
        addresses=public(found),
        root=root,
        memory_mb=int(memory[1]) // 1024 if memory else None,
    )


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
    [(_, servers)] = _zones_of([domain], seconds, resolvers)
    if not servers:
        return None
    return "cloudflare" if _at_cloudflare(servers) else "none"


def _at_cloudflare(servers: Iterable[str]) -> bool:
    return all(server.endswith(CLOUDFLARE_SERVERS) for server in servers)


def _zones_of(
    domains: Sequence[str], seconds: float, resolvers: Sequence[str] | None
) -> list[tuple[str, frozenset[str]]]:
    """Return for each domain the zone that has it and its servers; the domain and no server where nobody says."""
    # A top-level domain alone is nobody's zone here.
    above = {domain: list(lineage(domain))[:-1] for domain in domains}
    names = list(dict.fromkeys(name for found in above.values() for name in found))
    seen = delegations(names, seconds=seconds, resolvers=resolvers)
    return [
        next(((name, seen[name]) for name in above[domain] if seen.get(name)), (domain, frozenset()))
        for domain in domains
    ]


def look_at_domains(domains: Sequence[str], *, seconds: float, resolvers: Sequence[str] | None) -> dict[str, InDns]:
    """Return what the authoritative servers have of each domain; a domain nobody answers for is left out.

    A domain below another one is asked for at the servers of that one, one without a delegation of its own at those of
    its parent. A resolver that denies the top-level domain, as in a closed network, knows nothing of the domain.
    """
    begun = time.monotonic()
    tops = topmost(domains)
    zones = dict(zip(tops, _zones_of(tops, seconds, resolvers), strict=True))
    last = {top: top.rpartition(".")[2] for top, (_, servers) in zones.items() if not servers}
    known = delegations(set(last.values()), seconds=seconds, resolvers=resolvers) if last else {}
    tops = [top for top in tops if top not in last or known.get(last[top]) != frozenset()]
    top_of = {name: top for name in domains for top in tops if is_within(name, top)}
    wanted: dict[str, list[Record]] = {}
    for name, top in top_of.items():
        wanted.setdefault(zones[top][0], []).extend(_asked(name))
    left = max(seconds - (time.monotonic() - begun), 0)
    look = look_by_dns(wanted, seconds=left, ours=(), resolvers=resolvers)
    found = {}
    for name, top in top_of.items():
        zone, servers = zones[top]
        if zone not in look.not_seen:
            parent = zone if zone != top and _at_cloudflare(servers) else None
            found[name] = replace(_in_dns(name, look.existing), zone=parent)
    return found


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
