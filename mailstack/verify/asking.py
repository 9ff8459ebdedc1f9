"""Asks DNS: a zone's own servers, each of them, and resolvers; every answer says who gave it.

Uses dnspython. UDP first; TCP where an answer is cut off, and where UDP is not answered. Nothing is raised for a
network that does not answer: that is an answer too (``NO_ANSWER``), with its reason.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.resolver

from mailstack.reach.environment import RESOLVERS
from mailstack.reach.resolvers import DNS_PORT, place_of
from mailstack.verify.answer import Answer, Outcome, Server, no_answer, read_answer
from mailstack.verify.around import Around
from mailstack.verify.labels import a_labels

__all__ = ["Answer", "Dns", "Outcome", "Server"]

AT_ONCE = 32
PARENTS = 4  # servers of a parent zone that are asked; a registry's are many, and say the same
GIVEN_UP_AFTER = 2  # questions without any response; a server is then taken for dead, and tried again later
DEAD_SECONDS = 10.0

_One = TypeVar("_One")


class Dns:
    """All questions of one run. Answers are kept, so checks may ask the same thing.

    ``deadline`` is of ``time.monotonic``: what is not answered by then is not known. Names may be IDNs, answers have
    A-labels.
    """

    def __init__(self, around: Around, *, deadline: float | None = None) -> None:
        """Nothing is asked yet."""
        self.around = around
        self.deadline = deadline
        self._answers: dict[tuple[object, ...], Answer] = {}
        self._servers: dict[str, tuple[str, tuple[Server, ...]] | str] = {}
        self._silent: dict[tuple[str, int], tuple[int, float]] = {}  # questions in a row, and when the last was
        self._locks: dict[object, threading.Lock] = {}
        self._lock = threading.Lock()
        # Only single questions run in it, and those start no others: nothing waits for a place while holding one.
        self._pool = ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="dns")

    # --- who is asked -----------------------------------------------------------------------------------------------

    @cached_property
    def own(self) -> str:
        """Return the resolver that follows delegations for us; a public one where this machine has none."""
        if self.around.own_resolver is not None:
            return self.around.own_resolver
        try:
            return str(dns.resolver.Resolver().nameservers[0])
        except (dns.resolver.NoResolverConfiguration, IndexError):
            return self.around.resolvers[0]

    @cached_property
    def ipv6(self) -> bool:
        """Tell whether this machine has a way to IPv6 addresses."""
        if self.around.ipv6 is not None:
            return self.around.ipv6
        try:
            with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
                probe.connect(("2001:4860:4860::8888", DNS_PORT))  # sends nothing
        except OSError:
            return False
        return True

    def zone_of(self, name: str) -> str | None:
        """Return the zone a name is in, None where that is not to be found out."""
        found = self._authority(a_labels(name))
        return None if isinstance(found, str) else found[0]

    def servers(self, name: str) -> tuple[Server, ...]:
        """Return the addresses of the servers of the zone a name is in; none where they are not to be found out."""
        found = self._authority(a_labels(name))
        return () if isinstance(found, str) else found[1]

    # --- questions --------------------------------------------------------------------------------------------------

    def authoritative(self, name: str, kind: str) -> tuple[Answer, ...]:
        """Ask every server of the name's zone; one answer each. CNAMEs are not followed."""
        name = a_labels(name)
        found = self._authority(name)
        if isinstance(found, str):
            return (no_answer(name, kind, "authority", found),)
        return self._all(lambda server: self._ask_server(server, name, kind), found[1])

    def resolved(self, name: str, kind: str) -> tuple[Answer, ...]:
        """Ask every resolver; one answer each, CNAMEs followed."""
        return self._all(lambda resolver: self.ask(resolver, name, kind), self.around.resolvers)

    def look(self, name: str, kind: str) -> Answer:
        """Return one answer: that of the first of the zone's servers that gives one; else, and where there is a CNAME
        to follow, that of our resolver. For names whose servers are not the question, ``follow`` asks less.
        """
        name = a_labels(name)
        found = self._authority(name)
        for server in () if isinstance(found, str) else found[1]:
            answer = self._ask_server(server, name, kind)
            if answer.known:
                return answer if not answer.chain else self.follow(name, kind)
        return self.follow(name, kind)

    def follow(self, name: str, kind: str) -> Answer:
        """Ask our own resolver, with CNAMEs followed."""
        return self.ask(self.own, name, kind)

    def ask(self, resolver: str, name: str, kind: str, *, unchecked: bool = False) -> Answer:
        """Ask one resolver, with CNAMEs followed. ``unchecked``: also what DNSSEC proves wrong (RFC 4035 §3.2.2)."""
        name = a_labels(name)
        place = place_of(resolver)
        flags = dns.flags.RD | (dns.flags.CD if unchecked else dns.flags.AD)
        return self._kept(
            (resolver, name, kind, unchecked), lambda: self._query(place, resolver, name, kind, dns.flags.Flag(flags))
        )

    def delegation(self, zone: str) -> tuple[Answer, ...]:
        """Ask servers of the parent for the zone's name servers: ``referral`` or ``values``, and ``glue``."""
        zone = a_labels(zone)
        parent = zone.partition(".")[2]
        found = self._authority(parent) if parent else "the zone has no parent"
        if isinstance(found, str):
            return (no_answer(zone, "NS", "parent", found),)
        reachable = [server for server in found[1] if ":" not in server.address or self.ipv6] or found[1]
        return self._all(lambda server: self._ask_server(server, zone, "NS"), tuple(reachable[:PARENTS]))

    def every(self, questions: Iterable[tuple[str, str]]) -> None:
        """Let our resolver answer (name, type) questions side by side, so that asking them in turn takes no time."""
        list(self._pool.map(lambda question: self.follow(*question), dict.fromkeys(questions)))

    def forget(self) -> None:
        """Ask everything anew from here on."""
        with self._lock:
            self._answers.clear()
            self._servers.clear()
            self._silent.clear()

    # --- how ---------------------------------------------------------------------------------------------------------

    def _all(self, ask: Callable[[_One], Answer], whom: tuple[_One, ...]) -> tuple[Answer, ...]:
        return (ask(whom[0]),) if len(whom) == 1 else tuple(self._pool.map(ask, whom))

    def _authority(self, name: str) -> tuple[str, tuple[Server, ...]] | str:
        labels = name.split(".")
        for start in range(len(labels)):
            zone = ".".join(labels[start:])
            with self._one_at_a_time(("zone", zone)):
                if zone not in self._servers:
                    found = self._find_authority(zone)
                    if found is None:
                        continue
                    self._servers[zone] = found
            return self._servers[zone]
        return "no zone was found"

    def _find_authority(self, zone: str) -> tuple[str, tuple[Server, ...]] | str | None:
        """Return the servers of ``zone`` where there is a zone of that name, None where there is none, or a reason."""
        # Unchecked, since the servers of a zone with broken signatures are of interest too.
        answer = self.ask(self.own, zone, "NS", unchecked=True)
        if not answer.known and answer.code:
            answer = self.follow(zone, "NS")  # a resolver that does not take the CD bit
        if not answer.known:
            return f"the name servers of {zone} could not be asked for: {answer.why}"
        if not answer.values or answer.chain:
            return None
        wanted = tuple((server, kind) for server in sorted(answer.values) for kind in ("A", "AAAA"))
        found = self._all(lambda one: self.ask(self.own, *one, unchecked=True), wanted)
        servers = [
            Server(name=name, address=address)
            for (name, _), given in zip(wanted, found, strict=True)
            for address in sorted(given.values)
        ]
        return (zone, tuple(servers)) if servers else f"the name servers of {zone} have no address"

    def _ask_server(self, server: Server, name: str, kind: str) -> Answer:
        if ":" in server.address and not self.ipv6:
            return no_answer(name, kind, str(server), "this machine has no IPv6")
        place = (server.address, self.around.authority_ports.get(server.address, DNS_PORT))
        place = self.around.places.get(place, place)
        return self._kept(
            (str(server), name, kind), lambda: self._query(place, str(server), name, kind, dns.flags.Flag(0))
        )

    def _kept(self, key: tuple[object, ...], ask: Callable[[], Answer]) -> Answer:
        found = self._answers.get(key)
        if found is not None:
            return found
        with self._one_at_a_time(key):
            if key not in self._answers:
                self._answers[key] = ask()
            return self._answers[key]

    def _one_at_a_time(self, key: object) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(key, threading.Lock())

    def _query(self, place: tuple[str, int], server: str, name: str, kind: str, flags: dns.flags.Flag) -> Answer:
        if self.around.asks_nobody:
            return no_answer(name, kind, server, f"nobody is asked: {RESOLVERS} is empty")
        times, when = self._silent.get(place, (0, 0.0))
        if times >= GIVEN_UP_AFTER and time.monotonic() - when < DEAD_SECONDS:
            return no_answer(name, kind, server, "no answer in time, as to the questions before")
        try:
            query = dns.message.make_query(name, kind, use_edns=0, flags=flags)
        except (dns.exception.DNSException, UnicodeError) as error:
            return no_answer(name, kind, server, f"{name!r} is no domain name: {error}")
        recurse = bool(flags & dns.flags.RD)
        found = no_answer(name, kind, server, "not asked: the time is over")
        for attempt in range(1, self.around.tries + 1):
            seconds = self._seconds()
            if seconds <= 0:
                return found
            # A firewall may let UDP through and not TCP, or the other way round; the last attempt finds out.
            last = attempt == self.around.tries > 1 and found.code == ""
            try:
                reply = _exchanged(query, place, seconds, tcp=last)
            except dns.exception.Timeout:
                found = no_answer(name, kind, server, "no answer in time")
            except (dns.exception.DNSException, OSError, EOFError) as error:
                if not last:  # why UDP failed says more than that TCP did too
                    found = no_answer(name, kind, server, f"{type(error).__name__}: {error}")
            else:
                self._silent.pop(place, None)
                if reply.rcode() in {dns.rcode.FORMERR, dns.rcode.NOTIMP} and query.edns >= 0:
                    query.use_edns(False)  # a server from before EDNS (RFC 6891 §7)
                    found = no_answer(name, kind, server, dns.rcode.to_text(reply.rcode()), "FORMERR")
                    continue
                found = read_answer(reply, server, name, kind, recurse=recurse)
                if reply.rcode() != dns.rcode.SERVFAIL or not recurse:
                    return found
        if not found.code:
            with self._lock:
                self._silent[place] = self._silent.get(place, (0, 0.0))[0] + 1, time.monotonic()
        return found

    def _seconds(self) -> float:
        """Return how long one attempt may take."""
        if self.deadline is None:
            return self.around.seconds
        return min(self.around.seconds, self.deadline - time.monotonic())


def _exchanged(
    query: dns.message.QueryMessage, place: tuple[str, int], seconds: float, *, tcp: bool
) -> dns.message.Message:
    address, port = place
    if tcp:
        return dns.query.tcp(query, address, timeout=seconds, port=port)
    reply, _ = dns.query.udp_with_fallback(query, address, timeout=seconds, port=port)
    return reply
