"""Asks a zone's own name servers, over UDP and, where an answer is cut off, TCP."""

import time
from collections.abc import Collection, Iterator, Sequence

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rdatatype
import dns.resolver

from mailstack.dns import Record
from mailstack.dns.existing import Existing
from mailstack.reach.rdata import as_existing
from mailstack.reach.resolvers import resolver_at

__all__ = ["Authority"]

QUESTION_SECONDS = 2.0
# A name nobody has: an answer for it comes from a wildcard (RFC 4592).
PROBE = "mailstack-probe-7f3a"


class Authority:
    """The authoritative servers of one zone, until ``deadline`` (of ``time.monotonic``)."""

    def __init__(self, zone: str, deadline: float, resolvers: Sequence[str] | None) -> None:
        """Nothing is asked yet. ``resolvers`` None: those of the system."""
        self._zone = zone
        self._deadline = deadline
        self._resolver = resolver_at(resolvers)
        self._port = self._resolver.port

    def records(self, declared: Sequence[Record], ours: Collection[str]) -> list[Existing] | str:
        """Return what is there at the names of ``declared``, and wildcards; or why nothing could be seen."""
        try:
            servers = [str(answer.target).rstrip(".").lower() for answer in self._resolved(self._zone, "NS")]
            if set(servers) & set(ours):
                return []
            addresses = [str(found) for server in servers for found in self._resolved(server, "A")]
            return list(self._there(addresses, declared))
        except dns.resolver.NXDOMAIN:
            return []  # nobody has the zone yet
        except (dns.exception.DNSException, OSError) as error:
            return f"its name servers did not answer ({type(error).__name__})"

    def _there(self, addresses: Sequence[str], declared: Sequence[Record]) -> Iterator[Existing]:
        probe = f"{PROBE}.{self._zone}"
        wildcards = [found for kind in ("A", "CNAME", "MX") for found in self._answers(addresses, probe, kind)]
        yield from wildcards
        made_up = {(found.type, found.content) for found in wildcards}
        kinds: dict[str, set[str]] = {}
        for record in declared:
            kinds.setdefault(record.name, {"CNAME"}).add(record.type)
        for name in sorted(kinds):
            for kind in sorted(kinds[name]):
                answers = self._answers(addresses, name, kind)
                yield from (found for found in answers if (found.type, found.content) not in made_up)

    def _left(self) -> float:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time to look is over")
        return min(left, QUESTION_SECONDS)

    def _resolved(self, name: str, kind: str) -> dns.resolver.Answer:
        return self._resolver.resolve(name, kind, lifetime=self._left(), search=False)

    def _answers(self, addresses: Sequence[str], name: str, kind: str) -> Iterator[Existing]:
        reply = self._asked(addresses, dns.message.make_query(name, kind))
        owner = f"*.{self._zone}" if name.startswith(f"{PROBE}.") else name
        for rrset in reply.answer:
            shown = dns.rdatatype.to_text(rrset.rdtype)
            if shown != kind or rrset.name.to_text().rstrip(".").lower() != name:
                continue
            yield from (as_existing(self._zone, owner, rdata, rrset.ttl) for rdata in rrset)

    def _asked(self, addresses: Sequence[str], query: dns.message.Message) -> dns.message.Message:
        problem: Exception = OSError("it has no name server with an address")
        for address in addresses:
            try:
                reply = dns.query.udp(query, address, timeout=self._left(), port=self._port)
                if reply.flags & dns.flags.TC:
                    reply = dns.query.tcp(query, address, timeout=self._left(), port=self._port)
            except (dns.exception.DNSException, OSError) as error:
                problem = error
            else:
                return reply
        raise problem
