"""What is told about BIMI: the record and DMARC, the logo and the certificate as they are served, on loopback."""

import contextlib
import gzip
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from mailstack.verify.brand_logo import LARGEST
from mailstack.verify.model import Finding, State
from mailstack.verify.target import DomainTarget, Target
from tests.unit.brand_marks import LOGO, Authority, data_url
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import DOMAIN, ZONE, Pki, around, context, look, named

pytestmark = pytest.mark.slow

BRAND = f"brand.{DOMAIN}"
URL, MARK_URL = f"https://{BRAND}/logo.svg", f"https://{BRAND}/mark.pem"
RECORD = f"v=BIMI1; l={URL}; a={MARK_URL}"
REJECT = "v=DMARC1; p=reject; rua=mailto:d@example.com"
TEXT_TYPES = {"Content-Type": "image/svg+xml; charset=utf-8"}


@dataclass(frozen=True)
class Answer:
    """What a path is answered with."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] | None = None


GOOD = Answer(LOGO.encode(), headers=TEXT_TYPES)


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority()


@pytest.fixture(scope="module")
def trusted(authority: Authority, pki: Pki, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return authority.trusted(tmp_path_factory.mktemp("both"), pki.authority.cert_pem.bytes())


@contextlib.contextmanager
def https(tls: ssl.SSLContext, answers: Mapping[str, Answer]) -> Iterator[int]:
    """Serve answers by path; return the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer = answers.get(self.path, Answer(status=404))
            self.send_response(answer.status)
            for key, value in {"Content-Length": str(len(answer.body)), **(answer.headers or {})}.items():
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, *_: object) -> None:
            return

    class Server(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            return  # a client that does not trust the certificate goes away

    with Server((LOOPBACK, 0), Handler) as server:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield int(server.server_address[1])
        finally:
            server.shutdown()


def seen(
    check: str,
    trusted: Path,
    *,
    port: int = 9,
    record: str = RECORD,
    dmarc: str = REJECT,
    zone: str = "",
    looked_at: DomainTarget | None = None,
    placed: bool = True,
) -> Finding:
    """Run a check against a zone with these records, and HTTPS on a port."""
    lines = f'brand 300 IN A {LOOPBACK}\n_dmarc 300 IN TXT "{dmarc}"\n{zone}'
    lines += f'default._bimi 300 IN TXT "{record}"\n' if record else ""
    with named({DOMAIN: ZONE + lines}) as fields:
        places = {(BRAND, 443): (LOOPBACK, port)} if placed else {}
        where = replace(around(**{**fields, "authorities": trusted}), places=places)
        domain = looked_at or DomainTarget(name=DOMAIN)
        found = look(check, context(Target(domains=(domain,)), around=where))
    assert all(one.expected and one.fix for one in found if one.state in {State.FAIL, State.WARN})
    return found[-1]


# --- the record, and DMARC ---


def test_a_record_with_enforced_dmarc_is_right(trusted: Path) -> None:
    assert seen("bimi", trusted).state is State.OK


@pytest.mark.parametrize(
    ("dmarc", "why"),
    [
        ("v=DMARC1; p=none", "p=none at example.com"),
        ("v=DMARC1; p=reject; sp=none", "sp=none at example.com"),
        ("v=DMARC1; p=quarantine; pct=50", "pct=50 at example.com"),
        ("v=DMARC1; p=quarantine; t=y", "t=y at example.com"),
        ("hello", "there is no record"),
    ],
)
def test_dmarc_that_is_not_enforced_is_told(trusted: Path, dmarc: str, why: str) -> None:
    found = seen("bimi", trusted, dmarc=dmarc)
    assert found.state is State.WARN
    assert why in found.found


def test_a_subdomain_needs_enforcement_at_the_organizational_domain_too(trusted: Path) -> None:
    zone = f'news 300 IN A {LOOPBACK}\n_dmarc.news 300 IN TXT "{REJECT}"\ndefault._bimi.news 300 IN TXT "{RECORD}"\n'
    below = DomainTarget(name=f"news.{DOMAIN}")
    assert seen("bimi", trusted, zone=zone, looked_at=below).state is State.OK
    found = seen("bimi", trusted, zone=zone, looked_at=below, dmarc="v=DMARC1; p=none")
    assert (found.state, "p=none at example.com" in found.found) == (State.WARN, True)


def test_a_record_that_declines_names_nothing(trusted: Path) -> None:
    assert seen("bimi", trusted, record="v=BIMI1; l=; a=", dmarc="v=DMARC1; p=none").state is State.OK
    for check in ("bimi-logo", "bimi-certificate"):
        assert seen(check, trusted, record="v=BIMI1; l=; a=").state is State.NOT_APPLICABLE


def test_a_declared_selector_besides_the_default_is_looked_at(trusted: Path) -> None:
    domain = DomainTarget(name=DOMAIN, records=((f"xmas._bimi.{DOMAIN}", "TXT", RECORD),))
    missing = seen("bimi", trusted, record="", looked_at=domain)
    assert (missing.state, missing.expected) == (State.FAIL, RECORD)
    zone = f'xmas._bimi 300 IN TXT "v=BIMI1; l=https://{BRAND}/xmas.svg"\n'
    found = seen("bimi-logo", trusted, record="", zone=zone, looked_at=domain)
    assert found.subject == f"xmas._bimi.{DOMAIN}"


# --- the logo ---


def test_a_logo_as_it_should_be_is_right(trusted: Path, pki: Pki) -> None:
    with https(pki.context(BRAND), {"/logo.svg": GOOD}) as port:
        found = seen("bimi-logo", trusted, port=port)
    assert (found.state, found.found) == (State.OK, f"{len(LOGO.encode())} bytes, titled 'Example'")


def logo(trusted: Path, pki: Pki, answer: Answer, **more: Answer) -> Finding:
    answers = {"/logo.svg": answer, **{f"/{name}": one for name, one in more.items()}}
    with https(pki.context(BRAND), answers) as port:
        return seen("bimi-logo", trusted, port=port)


def test_a_packed_logo_is_right_too(trusted: Path, pki: Pki) -> None:
    assert logo(trusted, pki, Answer(gzip.compress(LOGO.encode()), headers=TEXT_TYPES)).state is State.OK


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (Answer(LOGO.replace("</svg>", "<script/></svg>").encode()), State.FAIL, "the logo: <script>"),
        (Answer(LOGO.replace("tiny-ps", "full").encode()), State.FAIL, 'the logo: baseProfile="full"'),
        (Answer(LOGO.replace("0 0 512 512", "0 0 512 300").encode()), State.WARN, "512 wide and 300 high"),
        (Answer(LOGO.encode() + b" " * LARGEST), State.FAIL, f"more than {LARGEST} bytes"),
        (Answer(gzip.compress(LOGO.encode() + b" " * 5_000_000)), State.FAIL, f"more than {LARGEST} bytes"),
        (Answer(b"\x1f\x8bnone"), State.FAIL, "no gzip"),
        (Answer(LOGO.encode(), headers={"Content-Type": "text/html"}), State.WARN, "served as text/html"),
        (Answer(LOGO.encode()), State.WARN, "served as nothing that is named"),
        (Answer(status=404), State.FAIL, "is answered with 404"),
        (Answer(status=503), State.UNKNOWN, "is answered with 503"),
        (Answer(status=302, headers={"Location": "http://brand.example.com/l.svg"}), State.FAIL, "no https:// address"),
        (Answer(status=302, headers={"Location": "file:///etc/passwd"}), State.FAIL, "no https:// address"),
        (Answer(status=302, headers={"Location": "/logo.svg"}), State.FAIL, "more than 3 redirects"),
    ],
    ids=[
        *("script", "profile", "shape", "large", "bomb", "no gzip", "html", "no type", "missing", "late"),
        *("to HTTP", "to a file", "in a circle"),
    ],
)
def test_a_logo_that_is_not_as_it_should_be_is_told(
    trusted: Path, pki: Pki, answer: Answer, state: State, words: str
) -> None:
    found = logo(trusted, pki, answer)
    assert found.state is state
    assert words in found.found


def test_a_redirect_over_https_is_followed(trusted: Path, pki: Pki) -> None:
    assert logo(trusted, pki, Answer(status=301, headers={"Location": "new"}), new=GOOD).state is State.OK


def test_a_logo_with_a_certificate_nobody_trusts_fails(trusted: Path, tmp_path: Path) -> None:
    with https(Pki(tmp_path).context(BRAND), {"/logo.svg": GOOD}) as port:
        found = seen("bimi-logo", trusted, port=port)
    assert found.state is State.FAIL
    assert f"the certificate of {BRAND}" in found.found


def test_a_record_does_not_make_us_ask_inside_our_own_network(trusted: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as listener:
        listener.settimeout(0.2)
        record = f"v=BIMI1; l=https://{BRAND}:{listener.getsockname()[1]}/logo.svg"
        found = seen("bimi-logo", trusted, record=record, placed=False)
        assert found.state is State.UNKNOWN
        assert "it is not asked" in found.found
        with pytest.raises(TimeoutError):
            listener.accept()


@pytest.mark.parametrize("shaking", [False, True], ids=["in its answer", "in the handshake"])
def test_a_server_that_sends_a_byte_now_and_then_is_not_waited_for(
    trusted: Path, pki: Pki, shaking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailstack.verify.fetching.SECONDS", 0.4)
    listener = socket.create_server((LOOPBACK, 0))
    enough = threading.Event()

    def drip() -> None:
        connection, _ = listener.accept()
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(connection.close)
            if shaking:
                connection.sendall(b"\x16\x03\x03\x40\x00")  # of the 16384 bytes to come few will
            else:
                connection = stack.enter_context(pki.context(BRAND).wrap_socket(connection, server_side=True))
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: image/svg+xml\r\n\r\n")
            while not enough.wait(0.05):
                connection.sendall(b"\x02")

    thread = threading.Thread(target=drip, daemon=True)
    thread.start()
    began = time.monotonic()
    found = seen("bimi-logo", trusted, port=listener.getsockname()[1])
    took = time.monotonic() - began
    enough.set()
    thread.join()
    listener.close()
    assert (found.state, found.found) == (State.UNKNOWN, f"{URL}: no answer in time")
    assert took < 3


def test_what_a_record_has_in_its_address_makes_no_second_request(trusted: Path, pki: Pki) -> None:
    with https(pki.context(BRAND), {"/a%20b": GOOD}) as port:
        found = seen("bimi-logo", trusted, port=port, record=f"v=BIMI1; l=https://{BRAND}/a b")
    assert found.state is State.OK


@pytest.mark.parametrize("url", [f"https://{BRAND}:99999/a", "https:///a", "https://[::1/a"])
def test_an_address_that_is_none_fails(trusted: Path, url: str) -> None:
    assert seen("bimi-logo", trusted, record=f"v=BIMI1; l={url}").state is State.FAIL


# --- the certificate ---


def mark(trusted: Path, pki: Pki, pem: Answer, served: Answer = GOOD) -> Finding:
    with https(pki.context(BRAND), {"/logo.svg": served, "/mark.pem": pem}) as port:
        return seen("bimi-certificate", trusted, port=port)


def test_a_certificate_for_this_domain_and_logo_is_right(trusted: Path, pki: Pki, authority: Authority) -> None:
    found = mark(trusted, pki, Answer(authority.mark(DOMAIN)))
    assert found.state is State.OK
    assert any(DOMAIN in line for line in found.details)


def test_a_certificate_for_another_logo_or_domain_fails(trusted: Path, pki: Pki, authority: Authority) -> None:
    other = mark(trusted, pki, Answer(authority.mark(DOMAIN, url=data_url(LOGO.replace("Example", "Other")))))
    assert (other.state, "another than the one that is served" in other.found) == (State.FAIL, True)
    elsewhere = mark(trusted, pki, Answer(authority.mark("example.net")))
    assert (elsewhere.state, elsewhere.found) == (State.FAIL, "the mark certificate: it is for example.net")


def test_a_certificate_of_the_organizational_domain_is_good_for_what_is_below(
    trusted: Path, pki: Pki, authority: Authority
) -> None:
    zone = f'news 300 IN A {LOOPBACK}\ndefault._bimi.news 300 IN TXT "{RECORD}"\n'
    below = DomainTarget(name=f"news.{DOMAIN}")
    with https(pki.context(BRAND), {"/logo.svg": GOOD, "/mark.pem": Answer(authority.mark(DOMAIN))}) as port:
        assert seen("bimi-certificate", trusted, port=port, zone=zone, looked_at=below).state is State.OK


def test_a_certificate_that_ends_soon_warns(trusted: Path, pki: Pki, authority: Authority) -> None:
    assert mark(trusted, pki, Answer(authority.mark(DOMAIN, days=(-300, 5)))).state is State.WARN


def test_a_certificate_that_is_not_there_fails(trusted: Path, pki: Pki) -> None:
    found = mark(trusted, pki, Answer(status=404))
    assert (found.state, found.found) == (State.FAIL, f"the mark certificate: {MARK_URL} is answered with 404")


def test_no_certificate_is_no_fault(trusted: Path) -> None:
    found = seen("bimi-certificate", trusted, record=f"v=BIMI1; l={URL}")
    assert (found.state, "Gmail and Apple want one" in found.found) == (State.NOT_APPLICABLE, True)
