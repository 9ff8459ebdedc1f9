"""Renegotiation and 0-RTT are seen on real servers: Python's ssl for the first, `openssl s_server` for the second.

Not among the unit tests: each look starts a program.
"""

import contextlib
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.verify.model import Finding, State
from mailstack.verify.target import Listener
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import (
    HOST,
    MX,
    SUBMISSION,
    TLS_SUBMISSION,
    Pki,
    SmtpStandin,
    around,
    context,
    free_port,
    host,
    look,
    only,
    target,
)

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not on PATH")

LISTENERS = {25: MX, 587: SUBMISSION, 465: TLS_SUBMISSION}
WEB = Listener(port=443, protocol="https", tls="implicit", role="web")
# SSL_OP_ALLOW_CLIENT_RENEGOTIATION, which Python gives no name.
ALLOWED = 1 << 8


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


def seen(check: str, pki: Pki, tls: ssl.SSLContext, port: int) -> Finding:
    with SmtpStandin(tls, implicit=port == 465, offers=("SIZE",), secure_offers=("SIZE",)) as server:
        return only(check, context(target(host(LISTENERS[port])), {port: server.port}, pki, seconds=20))


# --- renegotiation ---


def at_most(tls: ssl.SSLContext, handshakes: int) -> None:
    """Have a server refuse further handshakes after some."""
    done = 0

    def refuse(_connection: object, _name: str | None, _context: ssl.SSLContext) -> int | None:
        nonlocal done
        done += 1
        return ssl.ALERT_DESCRIPTION_ACCESS_DENIED if done > handshakes else None

    tls.sni_callback = refuse


@pytest.mark.parametrize("port", [25, 587, 465])
def test_a_server_that_lets_clients_negotiate_without_limit_is_told(pki: Pki, port: int) -> None:
    tls = pki.context()
    tls.options |= ALLOWED
    found = seen("tls-renegotiation", pki, tls, port)
    assert (found.state, found.found) == (
        State.WARN,
        "clients may negotiate again without limit: 11 times on one connection",
    )


@pytest.mark.parametrize("port", [25, 465])
def test_a_server_that_refuses_to_negotiate_again_is_right(pki: Pki, port: int) -> None:
    found = seen("tls-renegotiation", pki, pki.context(), port)
    assert (found.state, found.found) == (State.OK, "refused")


def test_a_server_that_refuses_after_some_times_is_right_and_says_how_many(pki: Pki) -> None:
    tls = pki.context()
    tls.options |= ALLOWED
    with SmtpStandin(tls) as server:
        world = context(target(host(SUBMISSION)), {587: server.port}, pki, seconds=20)
        look("starttls", world)
        look("tls-features", world)
        at_most(tls, 4)
        found = only("tls-renegotiation", world)
    assert (found.state, found.found) == (State.OK, "refused after 3")


def test_a_server_with_tls_1_3_only_has_nothing_to_negotiate_again(pki: Pki) -> None:
    tls = pki.context()
    tls.minimum_version = ssl.TLSVersion.TLSv1_3
    found = seen("tls-renegotiation", pki, tls, 587)
    assert (found.state, found.found) == (State.OK, "no TLS 1.2, and TLS 1.3 has no renegotiation")


def test_a_server_that_says_nothing_to_it_is_unknown_in_bounded_time(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstack.verify.tls_limits.STEP_SECONDS", 0.3)
    tls = pki.context()
    tls.options |= ALLOWED
    with SmtpStandin(tls, implicit=True) as server:
        world = context(target(host(TLS_SUBMISSION)), {465: server.port}, pki, seconds=20)
        look("starttls", world)
        look("tls-features", world)
        handshakes = 0

        def think(*_: object) -> None:
            """Take longer for the second handshake than anybody waits."""
            nonlocal handshakes
            handshakes += 1
            if handshakes > 1:
                time.sleep(1)

        tls.sni_callback = think
        found = only("tls-renegotiation", world)
    assert (found.state, found.found[:19]) == (State.UNKNOWN, "TLS 1.2: no answer ")


# --- 0-RTT ---


@contextlib.contextmanager
def s_server(pki: Pki, folder: Path, *options: str) -> Iterator[int]:
    """Run `openssl s_server` with TLS 1.3; what it gets it shows nobody, what it says is an SMTP greeting."""
    chain = folder / "chain.pem"
    pki.certificate().private_key_and_cert_chain_pem.write_to_path(str(chain))
    port = free_port()
    command = ["openssl", "s_server", "-accept", f"{LOOPBACK}:{port}", "-cert", str(chain), "-key", str(chain)]
    with subprocess.Popen(
        [*command, "-quiet", *options], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as server:
        try:
            for _ in range(100):
                with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
                    break
                time.sleep(0.02)
            yield port
        finally:
            server.kill()


@contextlib.contextmanager
def behind_starttls(port: int) -> Iterator[int]:
    """Speak SMTP up to STARTTLS, then pass everything on to ``port``."""
    listener = socket.create_server((LOOPBACK, 0))

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def serve(client: socket.socket) -> None:
        with contextlib.suppress(OSError), client, client.makefile("rb") as lines:
            client.sendall(f"220 {HOST} ESMTP\r\n".encode())
            while line := lines.readline():
                if line.upper().startswith(b"STARTTLS"):
                    client.sendall(b"220 go on\r\n")
                    with socket.create_connection((LOOPBACK, port)) as server:
                        back = threading.Thread(target=pump, args=(server, client), daemon=True)
                        back.start()
                        pump(client, server)
                        back.join()
                    return
                client.sendall(
                    f"250-{HOST}\r\n250 STARTTLS\r\n".encode() if line[:4].upper() == b"EHLO" else b"530 no\r\n"
                )

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.close()


def web(pki: Pki, port: int) -> Finding:
    return only("tls-early-data", context(target(host(WEB), mx=()), {443: port}, pki, seconds=20))


def test_0_rtt_that_a_web_server_accepts_is_told(pki: Pki, tmp_path: Path) -> None:
    with s_server(pki, tmp_path, "-tls1_3", "-early_data") as port:
        found = web(pki, port)
    assert (found.state, found.found) == (State.WARN, "0-RTT is accepted, up to 16384 bytes")


def test_0_rtt_behind_starttls_is_told_too(pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstack.verify.reaching.REPLY_SECONDS", 0.5)  # s_server answers no EHLO
    with s_server(pki, tmp_path, "-tls1_3", "-early_data") as port, behind_starttls(port) as smtp:
        found = only("tls-early-data", context(target(host(MX)), {25: smtp}, pki, seconds=20))
    assert (found.state, found.found) == (State.WARN, "0-RTT is accepted, up to 16384 bytes")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-tls1_3",), "session tickets allow no 0-RTT"),
        (("-tls1_3", "-num_tickets", "0"), "no session tickets, so no 0-RTT"),
        (("-tls1_2",), "TLSv1.2, and only TLS 1.3 has 0-RTT"),
    ],
    ids=["tickets without it", "no tickets", "TLS 1.2"],
)
def test_a_server_without_0_rtt_is_right(
    pki: Pki, tmp_path: Path, options: tuple[str, ...], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailstack.verify.tls_limits.STEP_SECONDS", 0.5)  # s_server answers no request
    with s_server(pki, tmp_path, *options) as port:
        found = web(pki, port)
    assert (found.state, found.found) == (State.OK, words)


def test_a_server_that_promises_0_rtt_and_refuses_it_is_right(pki: Pki, tmp_path: Path) -> None:
    with s_server(pki, tmp_path, "-tls1_3", "-early_data") as one, s_server(pki, tmp_path, "-tls1_3") as other:
        # A load balancer before two that share no keys.
        visits = 0
        world = context(target(host(WEB), mx=()), {443: one}, pki, seconds=20)
        places = world.around.places

        class Turns(dict[tuple[str, int], tuple[str, int]]):
            def get(self, key: tuple[str, int], default: object = None) -> tuple[str, int] | None:  # type: ignore[override]
                nonlocal visits
                visits += 1
                return (LOOPBACK, other if visits > 2 else one) if key in places else None

        object.__setattr__(world.around, "places", Turns(places))
        found = only("tls-early-data", world)
    assert (found.state, found.found) == (State.OK, "0-RTT is refused, though tickets allow 16384 bytes")


@pytest.mark.parametrize("port", [587, 465])
def test_an_smtp_server_of_today_has_no_0_rtt(pki: Pki, port: int) -> None:
    found = seen("tls-early-data", pki, pki.context(), port)
    assert (found.state, found.found) == (State.OK, "session tickets allow no 0-RTT")


# --- without the program ---


@pytest.mark.parametrize("check", ["tls-renegotiation", "tls-early-data"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "openssl is not on PATH"),
        ("#!/bin/sh\necho LibreSSL 3.3.6\n", "is no OpenSSL 1.1.1 or newer: its version is 'LibreSSL 3.3.6'"),
        ("#!/bin/sh\necho OpenSSL 1.0.2k-fips  26 Jan 2017\n", "is no OpenSSL 1.1.1 or newer"),
    ],
    ids=["none", "another", "an old one"],
)
def test_without_openssl_it_is_unknown_and_why(
    check: str, text: str | None, words: str, pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if text is not None:
        (tmp_path / "openssl").write_text(text)
        (tmp_path / "openssl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path) if text is None else f"{tmp_path}:/bin:/usr/bin")
    found = seen(check, pki, pki.context(), 587)
    assert found.state is State.UNKNOWN
    assert words in found.found


def test_both_questions_of_a_listener_cost_it_one_connection_each(pki: Pki) -> None:
    tls = pki.context()
    tls.options |= ALLOWED
    with SmtpStandin(tls, secure_offers=("SIZE",)) as server:
        world = context(target(host(SUBMISSION)), {587: server.port}, pki, seconds=20)
        look("starttls", world)
        look("tls-features", world)
        before = server.connections
        assert only("tls-renegotiation", world).state is State.WARN
        assert only("tls-early-data", world).state is State.OK
        assert server.connections == before + 2


def test_the_name_we_give_ourselves_is_ours_and_not_that_of_openssl(pki: Pki) -> None:
    with SmtpStandin(pki.context(), secure_offers=("SIZE",)) as server:
        where = around({587: server.port}, pki, helo="look.example.net")
        for check in ("tls-renegotiation", "tls-early-data"):
            only(check, context(target(host(SUBMISSION)), around=where, seconds=20))
        hellos = {said.split()[-1] for said in server.said if said.upper().startswith("EHLO")}
    assert hellos == {"look.example.net"}
