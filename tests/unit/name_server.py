"""An authoritative name server on loopback, made with dnspython: UDP and TCP on one port, wildcards, delegations."""

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Self

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.zone

LOOPBACK = "127.0.0.1"


class NameServer:
    """Serves ``zones``: name to zone text, or to a zone that ``parsed`` read.

    Also a resolver where ``recursive``: it answers from the same zones. ``udp_limit``: longer answers are cut, so that
    TCP is asked. ``silent`` answers nothing, and nothing about ``silent_zones``; ``delay`` in seconds waits before each
    answer, ``lame`` answers that it does not know the zone. ``questions`` are name, type and protocol.
    As a resolver that validates: what is in ``validated`` zones has the AD bit, ``bogus`` zones are answered only to
    who asks not to check (CD). ``no_edns`` answers FORMERR to EDNS, as servers from before it do.
    """

    def __init__(
        self,
        zones: Mapping[str, str | dns.zone.Zone],
        *,
        recursive: bool = False,
        udp_limit: int = 1232,
        silent: bool = False,
        udp_silent: bool = False,
        delay: float = 0.0,
        lame: bool = False,
        validated: Iterable[str] = (),
        bogus: Iterable[str] = (),
        silent_zones: Iterable[str] = (),
        no_edns: bool = False,
        address: str = LOOPBACK,
        port: int = 0,
    ) -> None:
        self.zones = {
            dns.name.from_text(name): zone if isinstance(zone, dns.zone.Zone) else parsed(name, zone)
            for name, zone in zones.items()
        }
        self.recursive, self.udp_limit, self.silent, self.udp_silent = recursive, udp_limit, silent, udp_silent
        self.delay, self.lame = delay, lame
        self.validated = {dns.name.from_text(name) for name in validated}
        self.bogus = {dns.name.from_text(name) for name in bogus}
        self.silent_zones = {dns.name.from_text(name) for name in silent_zones}
        self.no_edns = no_edns
        self.questions: list[tuple[str, str, str]] = []
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._tcp = socket.socket(family)
        self._tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._tcp.bind((address, port))
        self.port = int(self._tcp.getsockname()[1])
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        self._udp.bind((address, self.port))

    def __enter__(self) -> Self:
        self._tcp.listen()
        for run in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=run, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._tcp, self._udp):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()

    def _serve_udp(self) -> None:
        while True:
            try:
                data, sender = self._udp.recvfrom(4096)
            except OSError:
                return
            if not data:
                return  # what a socket that is shut down reads
            threading.Thread(target=self._answer_udp, args=(data, sender), daemon=True).start()

    def _answer_udp(self, data: bytes, sender: tuple[str, int]) -> None:
        response = self._answer(data, "udp")
        if response is None or self.udp_silent:
            return
        wire = response.to_wire(max_size=65535)
        if len(wire) > self.udp_limit:
            cut = dns.message.make_response(dns.message.from_wire(data))
            cut.flags |= dns.flags.TC | dns.flags.AA
            wire = cut.to_wire()
        try:
            self._udp.sendto(wire, sender)
        except OSError:
            return  # stopped meanwhile

    def _serve_tcp(self) -> None:
        while True:
            try:
                connection, _ = self._tcp.accept()
            except OSError:
                return
            threading.Thread(target=self._answer_tcp, args=(connection,), daemon=True).start()

    def _answer_tcp(self, connection: socket.socket) -> None:
        with connection:
            (length,) = struct.unpack("!H", connection.recv(2, socket.MSG_WAITALL))
            response = self._answer(connection.recv(length, socket.MSG_WAITALL), "tcp")
            if response is not None:
                wire = response.to_wire(max_size=65535)
                connection.sendall(struct.pack("!H", len(wire)) + wire)

    def _answer(self, data: bytes, protocol: str) -> dns.message.Message | None:
        request = dns.message.from_wire(data)
        (question,) = request.question
        name = question.name
        self.questions.append((name.to_text(omit_final_dot=True), dns.rdatatype.to_text(question.rdtype), protocol))
        if self.silent:
            return None
        time.sleep(self.delay)
        response = dns.message.make_response(request, recursion_available=self.recursive)
        inside = self._holding(name)
        if question.rdtype == dns.rdatatype.DS:
            inside = [origin for origin in inside if origin != name] or inside  # the parent has it (RFC 4035 §3.1.4.1)
        if self.lame or not inside:
            response.set_rcode(dns.rcode.REFUSED)
            return response
        origin = max(inside, key=len)
        if origin in self.silent_zones:
            return None
        if self.no_edns and request.edns >= 0:
            response.set_rcode(dns.rcode.FORMERR)
        elif origin in self.bogus and not request.flags & dns.flags.CD:
            response.set_rcode(dns.rcode.SERVFAIL)
        else:
            self._from_zone(response, origin, name, question.rdtype)
            if self.recursive:
                self._chase(response, question.rdtype)
                response.flags &= ~dns.flags.AA
            if origin in self.validated:
                response.flags |= dns.flags.AD
        return response

    def _holding(self, name: dns.name.Name) -> list[dns.name.Name]:
        """Return the zones that a name is in."""
        return [above for above in (name, *_above(name, dns.name.root)) if above in self.zones]

    def _chase(self, response: dns.message.Message, type_: dns.rdatatype.RdataType) -> None:
        """Follow CNAMEs, as a resolver does."""
        while response.answer and response.answer[-1].rdtype == dns.rdatatype.CNAME != type_:
            target = response.answer[-1][0].target
            inside = self._holding(target)
            before = len(response.answer)
            if inside and before < 8:
                self._from_zone(response, max(inside, key=len), target, type_)
            if len(response.answer) == before:
                return

    def _from_zone(
        self, response: dns.message.Message, origin: dns.name.Name, name: dns.name.Name, type_: dns.rdatatype.RdataType
    ) -> None:
        zone = self.zones[origin]
        owners = zone.nodes
        for ancestor in (name, *_above(name, origin)):
            cut = zone.get_rrset(ancestor, dns.rdatatype.NS) if ancestor in owners else None
            if ancestor != origin and cut is not None and not self.recursive:
                response.authority.append(cut)
                for server in cut:
                    for kind in (dns.rdatatype.A, dns.rdatatype.AAAA):
                        glue = zone.get_rrset(server.target, kind) if server.target in owners else None
                        if glue is not None:
                            response.additional.append(glue)
                return
        response.flags |= dns.flags.AA
        owner = name
        if name not in owners and not any(other.is_subdomain(name) for other in owners):
            encloser = next(a for a in _above(name, origin) if any(other.is_subdomain(a) for other in owners))
            owner = dns.name.Name((b"*", *encloser.labels))
            if owner not in owners:
                response.set_rcode(dns.rcode.NXDOMAIN)
                return
        for kind in (dns.rdatatype.CNAME, type_):
            found = zone.get_rrset(owner, kind) if owner in owners else None
            if found is not None:
                response.answer.append(dns.rrset.from_rdata_list(name, found.ttl, list(found)))
                return


def parsed(name: str, text: str) -> dns.zone.Zone:
    """Read a zone, once for many servers."""
    return dns.zone.from_text(text, origin=name, relativize=False, check_origin=False)


def _above(name: dns.name.Name, origin: dns.name.Name) -> list[dns.name.Name]:
    found = []
    while name != origin:
        name = name.parent()
        found.append(name)
    return found
