"""Where to knock: the SMTP and HTTPS ports of our hosts, and the mail hosts of others that take mail for us."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from mailstack.verify.context import Context
from mailstack.verify.model import Finding, not_applicable, unknown
from mailstack.verify.target import HostTarget, Listener

__all__ = [
    "MX",
    "SUBMISSION",
    "Endpoint",
    "addresses",
    "each",
    "endpoints",
    "exchangers",
    "no_endpoint",
    "our_smtp",
    "tls_places",
]

MX, SUBMISSION = "mx", "submission"
AT_ONCE = 8
# What a host may have open of which nothing is declared.
USUAL = (
    Listener(port=25, role=MX),
    Listener(port=465, role=SUBMISSION, tls="implicit"),
    Listener(port=587, role=SUBMISSION),
)
Thing = TypeVar("Thing")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A port on one address of a host.

    ``also`` are further names of ours that lead to the same listener. ``declared`` False: nobody says that it is open;
    ``ours`` False: it is somebody else's.
    ``tls``, ``role`` and ``protocol`` are those of ``Listener``; ``certificate_name`` is what clients verify.
    """

    host: str
    address: str
    port: int
    protocol: str
    tls: str
    role: str
    certificate_name: str
    ours: bool
    declared: bool
    also: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Return every name that leads here."""
        return (self.host, *self.also)

    def __str__(self) -> str:
        """Name it: host, address, port."""
        address = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.host} {address}:{self.port}"


def addresses(context: Context, host: str) -> tuple[str, ...]:
    """Return the addresses of a host: those declared, else what DNS says; IPv4 first."""
    declared = next((one.addresses for one in context.target.hosts if one.name == host), ())
    if declared:
        return declared
    return tuple(value for kind in ("A", "AAAA") for value in sorted(context.look(host, kind).values))


def exchangers(context: Context, domain: str) -> tuple[str, ...]:
    """Return the mail hosts of a domain, the best first; none where it takes no mail."""
    declared = next((one.mx for one in context.target.domains if one.name == domain), None)
    if declared is not None:
        found = list(declared)
    else:
        pairs = (value.partition(" ") for value in context.look(domain, "MX").values)
        found = [(int(preference), host) for preference, _, host in pairs]
    return tuple(dict.fromkeys(host.rstrip(".").lower() for _, host in sorted(found) if host.rstrip(".")))


def endpoints(context: Context) -> tuple[Endpoint, ...]:
    """Return every listener to look at, each address of it."""
    return context.once("endpoints", lambda: tuple(_once_each(_endpoints(context))))


def our_smtp(context: Context) -> tuple[Endpoint, ...]:
    """Return our own SMTP listeners."""
    return tuple(one for one in endpoints(context) if one.ours and one.protocol == "smtp")


def tls_places(context: Context) -> tuple[Endpoint, ...]:
    """Return every listener that is to speak TLS, also those of others."""
    return tuple(place for place in endpoints(context) if place.tls != "none")


def _endpoints(context: Context) -> Iterator[Endpoint]:
    names = [domain.name for domain in context.target.domains]
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        found = pool.map(lambda name: exchangers(context, name), names)
    mail_hosts = dict.fromkeys(host for hosts in found for host in hosts)
    for host in context.target.hosts:
        for listener, declared in _listeners(host, host.name in mail_hosts):
            yield from _of(context, host.name, listener, ours=True, declared=declared)
    known = {host.name for host in context.target.hosts}
    for name in mail_hosts:
        if name not in known:
            yield from _of(context, name, USUAL[0], ours=False, declared=True)


def _once_each(found: Iterable[Endpoint]) -> Iterator[Endpoint]:
    """Many names lead to one machine: yield each listener once, under the name of its certificate if that is one."""
    same: dict[tuple[str, int, str], list[Endpoint]] = {}
    for one in found:
        same.setdefault((one.address, one.port, one.certificate_name), []).append(one)
    for places in same.values():
        first = next((place for place in places if place.host == place.certificate_name), places[0])
        also = (place.host for place in places if place.host != first.host)
        declared = any(place.declared for place in places)
        yield replace(first, also=tuple(dict.fromkeys(also)), declared=declared)


def _listeners(host: HostTarget, takes_mail: bool) -> Iterator[tuple[Listener, bool]]:
    if host.ports is not None:
        yield from ((listener, True) for listener in host.ports)
        return
    for listener in USUAL:
        yield listener, takes_mail and listener.role == MX


def _of(context: Context, host: str, listener: Listener, *, ours: bool, declared: bool) -> Iterator[Endpoint]:
    # HTTPS has no STARTTLS, whatever the default of the field says.
    tls = "implicit" if (listener.protocol, listener.tls) == ("https", "starttls") else listener.tls
    for address in addresses(context, host):
        yield Endpoint(
            host=host,
            address=address,
            port=listener.port,
            protocol=listener.protocol,
            tls=tls,
            role=listener.role,
            certificate_name=listener.name or host,
            ours=ours,
            declared=declared,
        )


def each(things: Sequence[Thing], look: Callable[[Thing], Result]) -> list[Result]:
    """Look at all of them, some at once; results in their order."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(look, things))


def no_endpoint(context: Context, places: Sequence[Endpoint], found: Sequence[Finding]) -> Iterator[Finding]:
    """Yield why a check has nothing to say, if so: no listener, no address, or none reached (``starttls`` tells)."""
    if found:
        return
    declared = [str(place) for place in places if place.declared]
    lost = [host.name for host in context.target.hosts if host.ports != () and not addresses(context, host.name)]
    if declared:
        yield unknown("", f"none of {len(declared)} listeners was reached; see the check starttls", *declared)
    elif places:
        yield not_applicable("", f"none of the ports {', '.join(sorted({str(one.port) for one in places}))} is open")
    elif lost:
        yield unknown("", f"no address was found for {', '.join(lost)}")
    else:
        yield not_applicable("", "no listener of ours is known; those of others are looked at as far as is fair")
