"""What is told about names served over HTTPS, open ports, and routes; with servers on loopback."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlparse

import pytest

from mailstack.verify.model import Finding, State
from mailstack.verify.ports import DANGEROUS, KNOWN
from mailstack.verify.target import DomainTarget, HostTarget, Listener, Target
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import (
    DOMAIN,
    HOST,
    MX,
    ZONE,
    Pki,
    SmtpStandin,
    around,
    context,
    free_port,
    host,
    look,
    named,
    only,
    target,
)

pytestmark = pytest.mark.slow

NAME = "track.example.com"
HSTS = {"Strict-Transport-Security": "max-age=31536000; includeSubDomains"}


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@contextlib.contextmanager
def web(tls: ssl.SSLContext | None, status: int, headers: Mapping[str, str], body: str = "") -> Iterator[Any]:
    """Serve one answer; yield the server. ``asked`` are the requests' paths."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            for key, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            return

    asked: list[str] = []

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            return  # a client that does not trust the certificate goes away

    with Server((LOOPBACK, 0), Handler) as server:
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        server.asked = asked  # type: ignore[attr-defined]
        try:
            yield server
        finally:
            server.shutdown()


WEB = Target(web=(NAME,), hosts=(HostTarget(name=NAME, addresses=(LOOPBACK,)),))
TRACKING = Target(domains=(DomainTarget(name=DOMAIN, tracking=(NAME,)),), hosts=WEB.hosts)


def page(
    check: str,
    pki: Pki,
    tls: ssl.SSLContext | None,
    *,
    status: int = 200,
    headers: Mapping[str, str] = HSTS,
    plain: tuple[int, Mapping[str, str]] | None = (308, {"Location": f"https://{NAME}/"}),
) -> Finding:
    with contextlib.ExitStack() as stack:
        secure = stack.enter_context(web(tls, status, headers))
        port = stack.enter_context(web(None, *plain)).server_port if plain else free_port()
        looked_at = WEB if check == "web" else TRACKING
        return only(check, context(looked_at, {443: secure.server_port, 80: port}, pki))


# --- 38 ---


def test_a_web_host_with_redirect_and_hsts_is_right(pki: Pki) -> None:
    found = page("web", pki, pki.context(NAME))
    assert (found.state, found.found[:33]) == (State.OK, "HTTPS, redirect, HSTS 365 days; v")


@pytest.mark.parametrize(
    ("headers", "plain", "state", "words"),
    [
        (HSTS, (200, {}), State.FAIL, "is answered with 200"),
        (HSTS, (302, {"Location": "https://elsewhere.example.net/"}), State.FAIL, "302 https://elsewhere"),
        (HSTS, None, State.WARN, "port 80 is closed"),
        ({}, (301, {"Location": f"https://{NAME}/"}), State.WARN, "Strict-Transport-Security: missing"),
        (
            {"Strict-Transport-Security": "max-age=60"},
            (301, {"Location": f"https://{NAME}/"}),
            State.WARN,
            "max-age=60",
        ),
    ],
)
def test_what_a_web_host_lacks_is_told(
    pki: Pki, headers: Mapping[str, str], plain: tuple[int, Mapping[str, str]] | None, state: State, words: str
) -> None:
    found = page("web", pki, pki.context(NAME), headers=headers, plain=plain)
    assert found.state is state
    assert words in found.found


def test_a_web_hosts_certificate_is_judged(pki: Pki) -> None:
    assert "not valid for" in page("web", pki, pki.context("www.example.net")).found


# --- 24 ---


def test_a_tracking_name_with_its_certificate_is_right_whatever_the_page_says(pki: Pki) -> None:
    assert page("tracking", pki, pki.context(NAME), status=404).state is State.OK


def test_a_tracking_name_that_nothing_answers_behind_warns(pki: Pki) -> None:
    found = page("tracking", pki, pki.context(NAME), status=502)
    assert (found.state, found.found) == (State.WARN, "GET / is answered with 502")


def test_a_tracking_name_with_the_certificate_of_another_fails(pki: Pki) -> None:
    assert page("tracking", pki, pki.context("www.example.net")).state is State.FAIL


def test_a_tracking_name_in_clear_fails(pki: Pki) -> None:
    found = page("tracking", pki, None)
    assert found.state is State.FAIL
    assert found.found.startswith("no TLS: ")


def test_a_tracking_name_that_refuses_fails_and_one_that_says_nothing_is_unknown(pki: Pki) -> None:
    assert only("tracking", context(TRACKING, {443: free_port()}, pki)).state is State.FAIL
    with SmtpStandin(silent=True) as server:
        assert only("tracking", context(TRACKING, {443: server.port}, pki, seconds=0.2)).state is State.UNKNOWN


def test_a_tracking_name_without_an_address_fails_where_dns_says_so() -> None:
    lonely = Target(domains=(DomainTarget(name=DOMAIN, tracking=(NAME,)),))
    with named({DOMAIN: ZONE}) as fields:
        assert only("tracking", context(lonely, around=around(**fields))).state is State.FAIL
    assert only("tracking", context(lonely)).state is State.UNKNOWN


def test_without_names_nothing_is_claimed() -> None:
    assert only("tracking", context(Target())).state is State.NOT_APPLICABLE
    assert only("web", context(Target())).state is State.NOT_APPLICABLE


# --- 42 ---


def opened(*ports: int, listeners: tuple[Listener, ...] = (MX,), closed: int | None = None) -> Finding:
    """Look at a host where ``ports`` are open and all others refuse."""
    with SmtpStandin() as server:
        nobody = free_port()
        places = {port: server.port if port in ports else nobody for port in KNOWN}
        if closed is not None:
            places[closed] = nobody
        return only("open-ports", context(target(host(*listeners)), places))


def test_declared_ports_and_ssh_alone_are_right() -> None:
    found = opened(22, 25)
    assert (found.state, found.found) == (State.OK, "only 22 (SSH), 25 (SMTP)")


@pytest.mark.parametrize("port", sorted(set(KNOWN) - {22, 25}))
def test_a_port_too_many_warns_and_one_to_the_data_fails(port: int) -> None:
    found = opened(22, 25, port)
    assert found.state is (State.FAIL if port in DANGEROUS else State.WARN)
    assert found.found == f"open and not declared: {port} ({KNOWN[port]})"


def test_a_declared_port_that_is_closed_fails() -> None:
    found = opened(22)
    assert (found.state, found.found) == (State.FAIL, "declared and closed: 25 (SMTP)")


def test_names_of_one_address_share_their_ports() -> None:
    other = host(Listener(port=443, protocol="https", role="web"), name="web.example.com")
    with SmtpStandin() as server:
        places = {port: server.port if port in {22, 25, 443} else free_port() for port in KNOWN}
        found = only("open-ports", context(target(host(MX), other), places))
    assert (found.state, found.subject) == (State.OK, f"{HOST} {LOOPBACK}")


def test_a_host_that_says_nothing_is_unknown_and_one_without_declared_ports_is_not_asked() -> None:
    found = only("open-ports", context(target(host(MX, address="2001:db8::1"))))
    assert found.state is State.UNKNOWN
    undeclared = context(target(HostTarget(name=HOST, addresses=(LOOPBACK,))))
    assert only("open-ports", undeclared).state is State.NOT_APPLICABLE


# --- 39 ---

PROBES = "@ 300 IN SOA ns.example.net. h.example.net. 1 1 1 1 1\n@ 300 IN NS ns.example.net.\nmx 300 IN A 127.0.0.1\n"


def outbound(port: int, **more: Any) -> list[Finding]:
    with named({"example.net": PROBES}) as fields:
        where = around({25: port}, outbound_probes=("mx.example.net",), **fields)
        return look("outbound-25", context(Target(), around=where, **more))


def test_outgoing_port_25_is_only_tried_when_asked_for() -> None:
    with SmtpStandin() as server:
        assert [one.state for one in outbound(server.port)] == [State.NOT_APPLICABLE]
        assert server.connections == 0
        four, six = outbound(server.port, probe_outbound=True)
    assert (four.state, six.state) == (State.OK, State.NOT_APPLICABLE)
    assert four.found.endswith(f"connected, 220 {HOST}")


def test_outgoing_port_25_that_is_closed_fails() -> None:
    four, _ = outbound(free_port(), probe_outbound=True)
    assert four.state is State.FAIL
    assert "provider" in four.fix


# --- 13 ---

CYMRU = (
    "@ 300 IN SOA ns h 1 1 1 1 1\n@ 300 IN NS ns\n"
    '8.8.8.8 300 IN TXT "15169 | 8.8.0.0/16 | US | arin | 2023-12-28"\n'
    '8.8.8.8 300 IN TXT "15169 | 8.8.8.0/24 | US | arin | 2023-12-28"\n'
)


@pytest.mark.parametrize(
    ("validity", "state"),
    [("valid", State.OK), ("unknown", State.WARN), ("invalid_asn", State.FAIL), ("invalid_length", State.FAIL)],
)
def test_the_validity_of_the_longest_route_is_told(validity: str, state: State) -> None:
    looked_at = Target(hosts=(HostTarget(name=HOST, addresses=("8.8.8.8", "127.0.0.1")),))
    answer = web(None, 200, {}, json.dumps({"data": {"status": validity}}))
    with named({"origin.asn.cymru.com": CYMRU}) as fields, answer as server:
        where = around(route_validity=f"http://{LOOPBACK}:{server.server_port}", **fields)
        found = only("rpki", context(looked_at, around=where))
        asked = parse_qs(urlparse(server.asked[0]).query)
    assert (found.state, found.found) == (state, f"8.8.8.0/24 from AS15169: {validity}")
    assert asked == {"resource": ["AS15169"], "prefix": ["8.8.8.0/24"]}


def test_a_route_is_unknown_where_nobody_answers() -> None:
    looked_at = Target(domains=(DomainTarget(name=DOMAIN, senders=("8.8.8.8",)),))
    assert only("rpki", context(looked_at)).state is State.UNKNOWN
    with named({"origin.asn.cymru.com": CYMRU}) as fields:
        where = around(route_validity=f"http://{LOOPBACK}:{free_port()}", **fields)
        assert only("rpki", context(looked_at, around=where)).state is State.UNKNOWN
        with web(None, 200, {}, "no JSON") as server:
            where = around(route_validity=f"http://{LOOPBACK}:{server.server_port}", **fields)
            assert only("rpki", context(looked_at, around=where)).state is State.UNKNOWN
    assert only("rpki", context(target(host(MX)))).state is State.NOT_APPLICABLE


EXCHANGER = Target(domains=(DomainTarget(name=DOMAIN, mx=((10, "mx.example.net"),)),))
NAME_SERVER = Target(zones={"example.net": ()})


@pytest.mark.parametrize(
    ("looked_at", "whose"),
    [(EXCHANGER, "mail exchanger mx.example.net"), (NAME_SERVER, "name server mx.example.net")],
    ids=["exchanger", "name server"],
)
@pytest.mark.parametrize(
    ("validity", "state"), [("valid", State.OK), ("unknown", State.WARN), ("invalid_asn", State.WARN)]
)
def test_routes_to_exchangers_and_name_servers_of_others_are_told_and_are_a_warning_at_most(
    looked_at: Target, whose: str, validity: str, state: State
) -> None:
    answer = web(None, 200, {}, json.dumps({"data": {"status": validity}}))
    zone = "@ 300 IN SOA mx h 1 1 1 1 1\n@ 300 IN NS mx\nmx 300 IN A 8.8.8.8\n"
    with named({"origin.asn.cymru.com": CYMRU, "example.net": zone}) as fields, answer as server:
        where = around(route_validity=f"http://{LOOPBACK}:{server.server_port}", **fields)
        found = only("rpki", context(looked_at, around=where))
    assert (found.state, found.found) == (state, f"8.8.8.0/24 from AS15169: {validity} ({whose})")
