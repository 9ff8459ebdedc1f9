"""Asks DNS: a zone's own servers, each of them, and resolvers; every answer says who gave it.

Uses dnspython. UDP first, TCP where an answer is cut off. Nothing is raised for a network that does not answer: that is
an answer too (``NO_ANSWER``), with its reason.
"""

import ipaddress
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver

from mailstack.verify.around import Around

__all__ = ["Answer", "Dns", "Outcome", "Server"]

DNS_PORT = 53
AT_ONCE = 16
LONGEST_CHAIN = 8
CACHE_ENTRIES = 10_000


class Outcome(Enum):
    """What a server said."""

    FOUND = "found"
    EMPTY = "no such record"
    NO_NAME = "no such name"
    NO_ANSWER = "no answer"


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One server's answer. ``values`` are record texts: of TXT the joined strings, else as in a zone file, lower case
    names without final dot. ``chain`` are the CNAMEs that were followed, ``why`` is the reason of no answer.
    """

    name: str
    type: str
    server: str
    outcome: Outcome
    values: tuple[str, ...] = ()
    ttl: int = 0
    chain: tuple[str, ...] = ()
    why: str = ""
    authenticated: bool = False

    @property
    def known(self) -> bool:
        """Tell whether there was an answer at all."""
        return self.outcome is not Outcome.NO_ANSWER

    def __str__(self) -> str:
        """Say it in one line."""
        said = " | ".join(sorted(self.values)) if self.values else self.outcome.value
        return f"{self.server}: {said}" + (f" ({self.why})" if self.why else "")


@dataclass(frozen=True, kw_only=True)
class Server:
    """An authoritative server: its name, one of its addresses."""

    name: str
    address: str

    def __str__(self) -> str:
        """Name it."""
        return f"{self.name} ({self.address})"


class Dns:
    """All questions of one run. Answers are kept, so checks may ask the same thing."""

    def __init__(self, around: Around) -> None:
        """Nothing is asked yet."""
        self.around = around
        self._answers: dict[tuple[str, str, str], Answer] = {}
        self._servers: dict[str, tuple[str, tuple[Server, ...]] | str] = {}
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()

    # --- who is asked -----------------------------------------------------------------------------------------------

    @cached_property
    def own(self) -> str:
        """Return the resolver that follows delegations for us."""
        if self.around.own_resolver is not None:
            return self.around.own_resolver
        return str(dns.resolver.Resolver().nameservers[0])

    @cached_property
    def ipv6(self) -> bool:
        """Tell whether this machine has a way to IPv6 addresses."""
        if self.around.ipv6 is not None:
            return self.around.ipv6
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect(("2001:4860:4860::8888", DNS_PORT))  # sends nothing
            except OSError:
                return False
        return True

    def zone_of(self, name: str) -> str | None:
        """Return the zone a name is in, None where that is not to be found out."""
        found = self._authority(name)
        return None if isinstance(found, str) else found[0]

    def servers(self, name: str) -> tuple[Server, ...]:
        """Return the addresses of the servers of the zone a name is in; none where they are not to be found out."""
        found = self._authority(name)
        return () if isinstance(found, str) else found[1]

    # --- questions --------------------------------------------------------------------------------------------------

    def authoritative(self, name: str, kind: str) -> tuple[Answer, ...]:
        """Ask every server of the name's zone; one answer each. CNAMEs are not followed."""
        found = self._authority(name)
        if isinstance(found, str):
            return (Answer(name=name, type=kind, server="authority", outcome=Outcome.NO_ANSWER, why=found),)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return tuple(pool.map(lambda server: self._ask_server(server, name, kind), found[1]))

    def resolved(self, name: str, kind: str) -> tuple[Answer, ...]:
        """Ask every resolver; one answer each, CNAMEs followed."""
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return tuple(pool.map(lambda resolver: self.ask(resolver, name, kind), self.around.resolvers))

    def look(self, name: str, kind: str) -> Answer:
        """Return one answer: that of the zone's servers where they agree on one, and have no CNAME there; else of our
        resolver.
        """
        answers = [answer for answer in self.authoritative(name, kind) if answer.known]
        first = answers[0] if answers else None
        if first is not None and first.outcome is Outcome.FOUND and not first.chain:
            return first
        if first is not None and not first.chain:
            return first
        return self.ask(self.own, name, kind)

    def ask(self, resolver: str, name: str, kind: str) -> Answer:
        """Ask one resolver, with CNAMEs followed."""
        host, port = _place(resolver)
        return self._kept(resolver, name, kind, lambda: self._query(host, port, resolver, name, kind, recurse=True))

    # --- how ---------------------------------------------------------------------------------------------------------

    def _authority(self, name: str) -> tuple[str, tuple[Server, ...]] | str:
        labels = name.split(".")
        for start in range(len(labels)):
            parent = ".".join(labels[start:])
            with self._one_at_a_time(("zone", parent)):
                if parent not in self._servers:
                    found = self._find_authority(parent)
                    if found is None:
                        continue
                    self._servers[parent] = found
            return self._servers[parent]
        return "no zone was found"

    def _find_authority(self, parent: str) -> tuple[str, tuple[Server, ...]] | str | None:
        """Return the servers of ``parent`` where it is the top of a zone, None where it is not, or a reason."""
        answer = self.ask(self.own, parent, "NS")
        if not answer.known:
            return f"the name servers of {parent} could not be asked for: {answer.why}"
        if not answer.values or answer.chain:
            return None
        found = [
            Server(name=server, address=address)
            for server in sorted(answer.values)
            for kind in ("A", "AAAA")
            for address in sorted(self.ask(self.own, server, kind).values)
        ]
        return parent, tuple(found)

    def _ask_server(self, server: Server, name: str, kind: str) -> Answer:
        if ":" in server.address and not self.ipv6:
            why = "this machine has no IPv6"
            return Answer(name=name, type=kind, server=str(server), outcome=Outcome.NO_ANSWER, why=why)
        port = self.around.authority_ports.get(server.address, DNS_PORT)
        return self._kept(
            str(server), name, kind, lambda: self._query(server.address, port, str(server), name, kind, recurse=False)
        )

    def _kept(self, server: str, name: str, kind: str, ask: Callable[[], Answer]) -> Answer:
        key = (server, name, kind)
        with self._one_at_a_time(key):
            if key not in self._answers:
                self._answers[key] = ask()
            return self._answers[key]

    def forget(self) -> None:
        """Ask everything anew from here on."""
        with self._lock:
            self._answers.clear()
            self._servers.clear()

    def _one_at_a_time(self, key: object) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _query(self, address: str, port: int, server: str, name: str, kind: str, *, recurse: bool) -> Answer:
        query = dns.message.make_query(name, kind, want_dnssec=False, use_edns=0)
        query.flags |= dns.flags.AD
        if not recurse:
            query.flags &= ~dns.flags.RD
        why = ""
        for _ in range(self.around.tries):
            try:
                reply, _ = dns.query.udp_with_fallback(query, address, timeout=self.around.seconds, port=port)
            except (dns.exception.DNSException, OSError) as error:
                why = _reason(error)
            else:
                return _answer(reply, server, name, kind)
        return Answer(name=name, type=kind, server=server, outcome=Outcome.NO_ANSWER, why=why)


def _answer(reply: dns.message.Message, server: str, name: str, kind: str) -> Answer:
    code = reply.rcode()
    if code not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
        why = dns.rcode.to_text(code)
        return Answer(name=name, type=kind, server=server, outcome=Outcome.NO_ANSWER, why=why)
    wanted = dns.rdatatype.from_text(kind)
    owner, chain = dns.name.from_text(name), []
    found: Sequence[dns.rdata.Rdata] = ()
    ttl = 0
    for _ in range(LONGEST_CHAIN):
        rrset = next((one for one in reply.answer if one.name == owner and one.rdtype == wanted), None)
        if rrset is not None:
            found, ttl = list(rrset), rrset.ttl
            break
        alias = next((one for one in reply.answer if one.name == owner and one.rdtype == dns.rdatatype.CNAME), None)
        if alias is None:
            break
        owner = alias[0].target
        chain.append(_plain(owner.to_text()))
    outcome = Outcome.NO_NAME if code == dns.rcode.NXDOMAIN else Outcome.FOUND if found else Outcome.EMPTY
    return Answer(
        name=name,
        type=kind,
        server=server,
        outcome=outcome,
        values=tuple(_text(rdata) for rdata in found),
        ttl=ttl,
        chain=tuple(chain),
        authenticated=bool(reply.flags & dns.flags.AD),
    )


def _text(rdata: dns.rdata.Rdata) -> str:
    if rdata.rdtype == dns.rdatatype.TXT:
        strings: Sequence[bytes] = rdata.strings  # type: ignore[attr-defined]
        return b"".join(strings).decode("utf-8", "backslashreplace")
    if rdata.rdtype in {dns.rdatatype.MX, dns.rdatatype.NS, dns.rdatatype.CNAME, dns.rdatatype.PTR, dns.rdatatype.SRV}:
        text = rdata.to_text().lower()
        return text if text.endswith(" .") or text == "." else text.removesuffix(".")
    return rdata.to_text()


def _plain(name: str) -> str:
    return name.rstrip(".").lower()


def _reason(error: Exception) -> str:
    return "no answer in time" if isinstance(error, dns.exception.Timeout) else f"{type(error).__name__}: {error}"


def _place(resolver: str) -> tuple[str, int]:
    """Read ``address`` or ``address:port``."""
    if resolver.startswith("["):
        address, _, port = resolver[1:].partition("]")
        return address, int(port.removeprefix(":") or DNS_PORT)
    address, colon, port = resolver.rpartition(":")
    if colon and ":" not in address:
        return str(ipaddress.ip_address(address)), int(port)
    return resolver, DNS_PORT
