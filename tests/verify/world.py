"""The Internet the cases live in: their zones, a parent, two resolvers, block lists, and HTTPS. All on loopback."""

import http.server
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import dns.zone
import trustme

from mailstack.verify.around import Around
from tests.unit.name_server import NameServer, parsed
from tests.verify.case import Filled

FIRST, SECOND, PARENT = "127.0.0.31", "127.0.0.32", "127.0.0.33"
HEAD = "@ 300 IN SOA ns.example. h.example. 1 7200 3600 1209600 300\n@ 300 IN NS ns.example.\n"
LISTS = {
    "zen.spamhaus.org": HEAD + "2.0.0.127 300 IN A 127.0.0.2\n",
    "dbl.spamhaus.org": HEAD + "dbltest.com 300 IN A 127.0.1.2\n",
}


def zones_of(cases: list[Filled]) -> dict[str, str]:
    """Return every zone of every case."""
    return {name: text for case in cases for name, text in case.zones().items()}


def parent_of(cases: list[Filled]) -> str:
    """Return the zone above them all."""
    lines = [HEAD, f"ns 300 IN A {PARENT}\n"]
    for case in cases:
        lines.append(case.text(case.case.delegation))
        lines += [f"{case.name}. 300 IN DS {case.text(case.case.ds)}\n"] if case.case.ds else []
    return "".join(lines)


@contextmanager
def internet(cases: list[Filled], folder: Path, *, real: Mapping[str, int] | None = None) -> Iterator[Around]:
    """Serve everything; returns where to ask. ``real`` are ports of name servers that run already, in place of ours."""
    zones = {name: parsed(name, text) for name, text in zones_of(cases).items()}
    top = {name: parsed(name, text) for name, text in {"example": parent_of(cases), **LISTS}.items()}
    signed = [case.name for case in cases if case.case.ds and not case.case.bogus]
    bogus = [case.name for case in cases if case.case.bogus]
    silent = [case.name for case in cases if case.case.silent]
    with ExitStack() as stack:

        def serve(
            served: Mapping[str, str | dns.zone.Zone], address: str = "127.0.0.1", *, recursive: bool = False
        ) -> int:
            server = NameServer(
                served,
                address=address,
                recursive=recursive,
                validated=signed if recursive else (),
                bogus=bogus if recursive else (),
                silent_zones=() if recursive else silent,
            )
            return stack.enter_context(server).port

        late = {case.name: parsed(case.name, case.zone(case.case.late)) for case in cases if case.case.late}
        resolvers = [serve({**zones, **top}, recursive=True), serve({**zones, **top, **late}, recursive=True)]
        ports = dict(real or {})
        if real is None:
            other = {case.name: parsed(case.name, case.zone(case.case.second)) for case in cases if case.case.second}
            absent = {case.name for case in cases if case.case.second is None}
            second = {name: text for name, text in {**zones, **other}.items() if name not in absent}
            ports = {FIRST: serve(zones, FIRST), SECOND: serve(second, SECOND)}
            ports[f"::ffff:{FIRST}"] = ports[FIRST]
        ports[PARENT] = serve(top, PARENT)
        trusted, untrusted = trustme.CA(), trustme.CA()
        authorities = folder / "authorities.pem"
        trusted.cert_pem.write_to_path(str(authorities))
        good = stack.enter_context(policies(cases, trusted))
        bad = stack.enter_context(policies(cases, untrusted))
        places = {
            (f"{label}.{case.name}", 443): ("127.0.0.1", bad if case.case.untrusted else good)
            for case in cases
            for label in ("mta-sts", "logo")
        }
        yield Around(
            resolvers=tuple(f"127.0.0.1:{port}" for port in resolvers),
            own_resolver=f"127.0.0.1:{resolvers[0]}",
            authority_ports=ports,
            places=places,
            authorities=authorities,
            ipv6=True,
            seconds=5.0,
        )


class _Policies(http.server.BaseHTTPRequestHandler):
    cases: ClassVar[dict[str, Filled]] = {}

    def do_GET(self) -> None:
        label, _, name = self.headers["Host"].partition(".")
        case = self.cases[name]
        found = case.case.logo if label == "logo" else case.policy
        body = found.encode() if isinstance(found, str) else b""
        self.send_response(200 if isinstance(found, str) else found)
        self.send_header("Content-Type", "image/svg+xml" if label == "logo" else case.case.content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name is the base class's
        pass


class _Server(http.server.ThreadingHTTPServer):
    trust: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        plain, sender = super().get_request()
        return self.trust.wrap_socket(plain, server_side=True, do_handshake_on_connect=False), sender

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: who does not trust the certificate hangs up."""


@contextmanager
def policies(cases: list[Filled], authority: trustme.CA) -> Iterator[int]:
    """Serve the cases' policies and logos with certificates of an authority; returns the port."""
    _Policies.cases = {case.name: case for case in cases}
    server = _Server(("127.0.0.1", 0), _Policies)
    server.trust = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    logos = (f"logo.{case.name}" for case in cases if "_bimi" in case.case.add)
    authority.issue_cert(*(f"mta-sts.{case.name}" for case in cases), *logos).configure_cert(server.trust)
    threading.Thread(target=server.serve_forever, daemon=True, kwargs={"poll_interval": 0.05}).start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
