"""A small world on loopback for the checks that connect: an SMTP stand-in, a web server, certificates, a context."""

import contextlib
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import trustme

from mailstack.verify import checks as _checks  # noqa: F401 - enters them
from mailstack.verify.around import Around
from mailstack.verify.asking import Dns
from mailstack.verify.context import Context
from mailstack.verify.model import CHECKS, Finding, State
from mailstack.verify.target import DomainTarget, HostTarget, Listener, Target
from tests.unit.name_server import LOOPBACK, NameServer

HOST, DOMAIN = "mx.example.com", "example.com"
ZONE = f"""
@ 300 IN SOA ns.{DOMAIN}. hostmaster.{DOMAIN}. 1 7200 900 1209600 300
@ 300 IN NS ns.{DOMAIN}.
ns 300 IN A {LOOPBACK}
@ 300 IN MX 10 {HOST}.
mx 300 IN A {LOOPBACK}
"""
MX = Listener(port=25)
SUBMISSION = Listener(port=587, role="submission")
TLS_SUBMISSION = Listener(port=465, role="submission", tls="implicit")


class SmtpStandin:
    """Speaks SMTP, well or badly on purpose. ``said`` are all commands, ``connections`` counts.

    ``recipient`` and ``sender`` return the reply for an address, given the sender too where it is a recipient.
    ``hello`` gets the version and the ciphers that a client offers, before the handshake; bytes it returns are sent in
    place of a handshake.
    """

    def __init__(
        self,
        tls: ssl.SSLContext | None = None,
        *,
        implicit: bool = False,
        name: str = HOST,
        greeting: str | None = None,
        offers: tuple[str, ...] = (),
        secure_offers: tuple[str, ...] = (),
        auth: str = "530 5.7.0 Must issue a STARTTLS command first",
        sender: Callable[[str], str] = lambda _sender: "250 2.1.0 Ok",
        recipient: Callable[[str, str], str] = lambda _sender, _recipient: "554 5.7.1 Relay access denied",
        hello: Callable[[int, list[int]], bytes | None] = lambda _version, _ciphers: None,
        silent: bool = False,
        bye: str = "221 2.0.0 Bye",
    ) -> None:
        self.bye = bye
        self.tls, self.implicit, self.name, self.silent = tls, implicit, name, silent
        self.greeting = f"220 {name} ESMTP" if greeting is None else greeting
        self.offers, self.secure_offers, self.auth = offers, secure_offers, auth
        self.sender, self.recipient, self.hello = sender, recipient, hello
        self.said: list[str] = []
        self.messages: list[str] = []
        self.connections = 0
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        # A client that goes away, or wants what this server has not, is what the tests are about.
        with contextlib.suppress(OSError), contextlib.closing(connection):
            if self.silent:
                while connection.recv(4096):
                    pass
                return
            if not self.implicit:
                upgraded = self._talk(connection, secure=False)
                if not upgraded:
                    return
            secure = self._handshake(connection)
            if secure is not None:
                with secure:
                    self._talk(secure, secure=True)

    def _handshake(self, connection: socket.socket) -> ssl.SSLSocket | None:
        data = connection.recv(4096, socket.MSG_PEEK)
        canned = self.hello(*offered(data)) if data[:1] == b"\x16" else None
        if canned is not None:
            connection.sendall(canned)
            return None
        assert self.tls is not None
        return self.tls.wrap_socket(connection, server_side=True)

    def _talk(self, connection: socket.socket, *, secure: bool) -> bool:
        """Return whether the client asked for TLS."""
        with connection.makefile("rwb") as stream:

            def say(*lines: str) -> None:
                stream.write("".join(f"{line}\r\n" for line in lines).encode())
                stream.flush()

            if not secure or self.implicit:
                say(self.greeting)
            sender = ""
            while line := stream.readline():
                command = line.decode().rstrip("\r\n")
                self.said.append(command)
                verb = command.upper()
                if verb.startswith("EHLO"):
                    more = self.secure_offers if secure else self.offers
                    starttls = ("STARTTLS",) if self.tls is not None and not secure else ()
                    lines = [self.name, *starttls, *more]
                    say(*(f"250{'-' if index < len(lines) - 1 else ' '}{text}" for index, text in enumerate(lines)))
                elif verb == "STARTTLS":
                    say("220 2.0.0 Ready to start TLS")
                    return True
                elif verb.startswith("AUTH"):
                    say(self.auth)
                elif verb.startswith("MAIL"):
                    sender = inner(command)
                    say(self.sender(sender))
                elif verb.startswith("RCPT"):
                    say(self.recipient(sender, inner(command)))
                elif verb == "DATA":
                    say("354 go on")
                    text = b""
                    while not text.endswith(b"\r\n.\r\n"):
                        text += stream.readline()
                    self.messages.append(text.decode())
                    say("250 2.0.0 queued as 1")
                elif verb == "QUIT":
                    say(self.bye)
                    return False
                else:
                    say("250 2.0.0 Ok")
        return False


def inner(command: str) -> str:
    """Return what is between the outer < and >."""
    return command.partition("<")[2].rpartition(">")[0]


def offered(data: bytes) -> tuple[int, list[int]]:
    """Return version and cipher suites of a ClientHello."""
    (version,) = struct.unpack_from("!H", data, 9)
    start = 44 + data[43]
    (length,) = struct.unpack_from("!H", data, start)
    return version, list(struct.unpack_from(f"!{length // 2}H", data, start + 2))


def server_hello(version: int, cipher: int, *, compression: int = 0, extensions: tuple[int, ...] = ()) -> bytes:
    """Return a ServerHello and an empty ServerHelloDone."""
    more = b"".join(struct.pack("!HH", kind, 0) for kind in extensions)
    body = struct.pack("!H", version) + bytes(32) + b"\0" + struct.pack("!HB", cipher, compression)
    body += struct.pack("!H", len(more)) + more
    messages = b"\x02" + len(body).to_bytes(3, "big") + body + b"\x0e\0\0\0"
    return b"\x16" + struct.pack("!HH", version, len(messages)) + messages


class Pki:
    """An authority and certificates of it; each context is made once."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.file = folder / "authority.pem"
        self.authority.cert_pem.write_to_path(self.file)
        self._certificates: dict[tuple[Any, ...], trustme.LeafCert] = {}

    def certificate(self, name: str = HOST, **how: Any) -> trustme.LeafCert:
        key = (name, *sorted(how.items(), key=str))
        if key not in self._certificates:
            self._certificates[key] = self.authority.issue_cert(name, **how)
        return self._certificates[key]

    def context(self, name: str = HOST, *, ciphers: str | None = None, **how: Any) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if ciphers is not None:
            context.set_ciphers(ciphers)
        self.certificate(name, **how).configure_cert(context)
        return context


def host(*listeners: Listener, name: str = HOST, address: str = LOOPBACK) -> HostTarget:
    return HostTarget(name=name, addresses=(address,), ports=listeners)


def target(*hosts: HostTarget, mx: tuple[tuple[int, str], ...] | None = ((10, HOST),), **more: Any) -> Target:
    domain = DomainTarget(name=DOMAIN, receives=True, mx=mx, **more)
    return Target(domains=(domain,), hosts=hosts)


def around(places: Mapping[int, int] | None = None, pki: Pki | None = None, **more: Any) -> Around:
    """``places`` maps a port to the port on loopback that stands for it."""
    sent = {(LOOPBACK, port): (LOOPBACK, there) for port, there in (places or {}).items()}
    given = {"resolvers": (), "own_resolver": f"{LOOPBACK}:9", "seconds": 0.02, "tries": 1, "ipv6": False}
    return Around(**{**given, "places": sent, "authorities": None if pki is None else pki.file, **more})


def context(
    looked_at: Target,
    places: Mapping[int, int] | None = None,
    pki: Pki | None = None,
    *,
    seconds: float = 5,
    **more: Any,
) -> Context:
    """``more`` are fields of Context, or ``around``."""
    where = more.pop("around", None) or around(places, pki)
    return Context(target=looked_at, dns=Dns(where), around=where, deadline=time.monotonic() + seconds, **more)


@contextlib.contextmanager
def named(zones: Mapping[str, str], **how: Any) -> Iterator[dict[str, Any]]:
    """Run a name server for ``zones``; yield the fields of Around that lead to it."""
    with NameServer(zones, recursive=True, **how) as server:
        place = f"{LOOPBACK}:{server.port}"
        yield {
            "resolvers": (place,),
            "own_resolver": place,
            "authority_ports": {LOOPBACK: server.port},
            "seconds": 2.0,
        }


def free_port() -> int:
    """Return a port where nobody listens."""
    with socket.create_server((LOOPBACK, 0)) as probe:
        return int(probe.getsockname()[1])


def look(name: str, context: Context) -> list[Finding]:
    """Run one check."""
    return list(CHECKS[name].look(context))


def only(name: str, context: Context) -> Finding:
    """Run a check that finds one thing."""
    (finding,) = look(name, context)
    if finding.state in {State.FAIL, State.WARN}:
        assert finding.expected, "what is wrong comes with what is right"
        assert finding.fix, "what is wrong comes with how to mend it"
    return finding
