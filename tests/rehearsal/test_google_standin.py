"""The stand-in for smtp-relay.gmail.com keeps its promises: it accepts and refuses as Google's relay does."""

import contextlib
import hashlib
import json
import logging
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import pytest

from rehearsal.google_standin import (
    REPLIES,
    ConfigError,
    ControlError,
    GoogleStandin,
    GoogleStandinClient,
    RelayRule,
    Stage,
    StandinConfig,
)
from rehearsal.google_standin.policy import LimitTracker
from rehearsal.pki import PrivateCa, ServerPki, make_server_pki
from rehearsal.standins import GOOGLE_STANDIN

RELAY = "smtp-relay.gmail.com"
EHLO = "mail.example.com"
SENDER = "app@example.com"
RECIPIENT = "somebody@example.org"
UNLISTED_IP = "127.0.0.2"  # loopback, but not in the rule's address list
BODY = b"Subject: hello\r\nFrom: app@example.com\r\n\r\nBody\r\n"
PASSWORD = "abcd efgh ijkl mnop"

RULE: dict[str, Any] = {
    "domains": ["example.com", "example.de"],
    "allowed_ips": ["127.0.0.1/32"],
    "allowed_senders": "domain-addresses",
}


# -- fixtures and a client that shows every byte ----------------------------------------------------------


class Files:
    """Certificates on disk, and a client context that trusts the private CA only."""

    def __init__(self, directory: Path) -> None:
        self.client_ca = PrivateCa("clients")
        self.pki: ServerPki = make_server_pki(RELAY, "127.0.0.1", "::1")
        self.directory = directory
        self.server = self.pki.server.write(directory, "server")
        self.faulty = {name: pair.write(directory, name) for name, pair in self.pki.faulty.items()}
        self.client_ca_file = directory / "client-ca.pem"
        self.client_ca_file.write_text(self.client_ca.certificate)

    def context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=self.pki.ca_certificate)

    def document(self, **changes: Any) -> dict[str, Any]:
        document: dict[str, Any] = {
            "listeners": [
                {"host": "127.0.0.1", "port": 0, "tls": "starttls"},
                {"host": "127.0.0.1", "port": 0, "tls": "implicit"},
            ],
            "control": {"host": "127.0.0.1", "port": 0},
            "tls": {
                "certificate": str(self.server[0]),
                "key": str(self.server[1]),
                "faulty": {
                    name: {"certificate": str(paths[0]), "key": str(paths[1])} for name, paths in self.faulty.items()
                },
            },
            "rule": RULE,
        }
        document.update(changes)
        return document


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def running(files: Files) -> Iterator[GoogleStandin]:
    with GoogleStandin(StandinConfig.from_json(files.document())) as standin:
        yield standin


@pytest.fixture
def standin(running: GoogleStandin) -> GoogleStandin:
    """The shared stand-in, as new."""
    running.set_rule(RelayRule.from_json(RULE))
    running.reset()
    return running


@pytest.fixture
def control(standin: GoogleStandin) -> GoogleStandinClient:
    return GoogleStandinClient(standin.control_url)


class Talk:
    """A raw SMTP client: one reply at a time, multi-line replies joined."""

    def __init__(self, port: int, *, source: str = "127.0.0.1") -> None:
        self.socket: socket.socket = socket.create_connection(
            ("127.0.0.1", port), timeout=5, source_address=(source, 0)
        )
        self.buffer = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def reply(self) -> str:
        lines: list[str] = []
        while True:
            while b"\r\n" not in self.buffer:
                chunk = self.socket.recv(4096)
                if not chunk:
                    raise EOFError
                self.buffer += chunk
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            lines.append(line.decode())
            if line[3:4] == b" ":
                return "\n".join(lines)

    def ask(self, line: str) -> str:
        self.send(line.encode() + b"\r\n")
        return self.reply()

    def starttls(self, context: ssl.SSLContext, *, session: ssl.SSLSession | None = None) -> None:
        assert self.ask("STARTTLS").startswith("220 ")
        self.socket = context.wrap_socket(self.socket, server_hostname=RELAY, session=session)

    def is_closed(self) -> bool:
        try:
            return self.socket.recv(1) == b""
        except ConnectionError:
            return True


@contextlib.contextmanager
def talk(standin: GoogleStandin, files: Files, *, ehlo: str = EHLO, source: str = "127.0.0.1") -> Iterator[Talk]:
    """A session past its second EHLO, inside verified TLS."""
    with Talk(standin.port(), source=source) as session:
        assert session.reply().startswith(f"220 {RELAY} ")
        assert session.ask(f"EHLO {ehlo}").startswith("250-")
        session.starttls(files.context())
        assert session.ask(f"EHLO {ehlo}").startswith("250-")
        yield session


@contextlib.contextmanager
def client(
    standin: GoogleStandin, files: Files, *, ehlo: str = EHLO, source: str = "127.0.0.1"
) -> Iterator[smtplib.SMTP]:
    """An smtplib session inside verified TLS."""
    with smtplib.SMTP(
        "127.0.0.1", standin.port(), local_hostname=ehlo, timeout=5, source_address=(source, 0)
    ) as session:
        session.starttls(context=files.context())
        session.ehlo()
        yield session


def envelope(session: Talk, sender: str = SENDER, recipient: str = RECIPIENT) -> list[str]:
    return [session.ask(f"MAIL FROM:<{sender}>"), session.ask(f"RCPT TO:<{recipient}>"), session.ask("DATA")]


def first_refusal(session: Talk, sender: str = SENDER) -> str:
    return next(answer for answer in envelope(session, sender) if answer[0] in "45")


def wait_for(condition: Any, seconds: float = 3.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.01)


# -- the way in that works --------------------------------------------------------------------------------


def test_message_over_verified_starttls_is_accepted_and_listed_with_its_facts(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT, "second@example.net"], BODY)
        session.sendmail("other@example.de", [RECIPIENT], BODY)
    first, second = control.messages()
    assert (first.mail_from, first.rcpt_to) == (SENDER, (RECIPIENT, "second@example.net"))
    assert (first.ehlo, first.peer_ip, first.port) == (EHLO, "127.0.0.1", standin.port())
    assert first.tls is not None
    assert first.tls.version in {"TLSv1.2", "TLSv1.3"}
    assert first.tls.bits >= 128
    assert (first.tls.resumed, first.tls.client_certificate, first.auth_user) == (False, None, None)
    assert first.size == len(BODY)
    assert first.header("subject") == "hello"
    assert first.header("x-relaying-domain") == "example.com"
    assert second.header("X-Relaying-Domain") == "example.de"
    assert control.raw(second.id) == b"X-Relaying-Domain: example.de\r\n" + BODY
    assert control.messages(since=first.id) == [second]


def test_message_over_implicit_tls_is_accepted(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with smtplib.SMTP_SSL(
        "127.0.0.1", standin.port(1), local_hostname=EHLO, context=files.context(), timeout=5
    ) as session:
        assert session.has_extn("auth") is False
        session.ehlo()
        assert session.has_extn("auth")
        assert not session.has_extn("starttls")
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].port == standin.port(1)


def test_extensions_are_those_of_google_before_and_inside_tls(standin: GoogleStandin, files: Files) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        clear = session.ask(f"EHLO {EHLO}")
        session.starttls(files.context())
        inside = session.ask(f"EHLO {EHLO}")
    assert clear.split("\n")[0] == f"250-{RELAY} at your service, [127.0.0.1]"
    assert "250-SIZE 26214400" in clear
    assert "STARTTLS" in clear
    assert "AUTH" not in clear
    assert "250-AUTH LOGIN PLAIN" in inside
    assert "STARTTLS" not in inside
    for extension in ("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SMTPUTF8"):
        assert extension in clear
        assert extension in inside


def test_pipelined_commands_are_answered_in_order(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        session.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nRCPT TO:<nobody>\r\nDATA\r\n".encode())
        assert [session.reply()[:9] for _ in range(4)] == ["250 2.1.0", "250 2.1.5", "553 5.1.3", "354 Go ah"]
        session.send(BODY + b".\r\nNOOP\r\nQUIT\r\n")
        assert [session.reply()[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
        assert session.is_closed()
    assert control.counters().messages_accepted == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"", b""),
        (b"..\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n", b"a\r\n.b\r\n..\r\n"),
        (b"8-bit \xc3\xa4\xff\r\n", b"8-bit \xc3\xa4\xff\r\n"),
        (b"a\n.\nb\r\n", b"a\n.\nb\r\n"),
        (b"a\n.\r\nb\r\n", b"a\n.\r\nb\r\n"),
        (b"a\r\n.\nb\r\n", b"a\r\n\nb\r\n"),
        ((b"x" * 997 + b"\r\n") * 300 + b"..end\r\n", (b"x" * 997 + b"\r\n") * 300 + b".end\r\n"),
    ],
    ids=["empty", "one-dot", "dots", "8-bit", "lf-dot-lf", "lf-dot-crlf", "crlf-dot-lf", "300-kB"],
)
def test_only_crlf_dot_crlf_ends_a_message_and_dots_are_unstuffed(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, sent: bytes, kept: bytes
) -> None:
    with talk(standin, files) as session:
        envelope(session)
        session.send(sent + b".\r\n")
        assert session.reply().startswith("250 2.0.0 OK ")
    (message,) = control.messages()
    assert control.raw(message.id) == b"X-Relaying-Domain: example.com\r\n" + kept
    assert message.size == len(kept)


def test_end_of_data_is_found_however_the_bytes_are_cut(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        for _ in range(2):
            envelope(session)
            for byte in b"..a\r\n.\r\n":
                session.send(bytes([byte]))
            assert session.reply().startswith("250 2.0.0")
    assert [message.size for message in control.messages()] == [4, 4]


def test_twenty_sessions_at_once_lose_and_double_nothing(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    together = threading.Barrier(20)

    def send(number: int) -> None:
        with client(standin, files) as session:
            together.wait(timeout=10)
            for item in range(5):
                session.sendmail(SENDER, [f"r{number}-{item}@example.org"], BODY)
            together.wait(timeout=10)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    got = sorted(message.rcpt_to[0] for message in control.messages())
    assert got == sorted(f"r{number}-{item}@example.org" for number in range(20) for item in range(5))
    assert control.counters().peak_open_connections == 20


# -- TLS --------------------------------------------------------------------------------------------------


def test_nothing_is_accepted_in_clear_when_the_rule_requires_tls(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        assert [answer[:9] for answer in envelope(session)] == ["530 5.7.0", "503 5.5.1", "503 5.5.1"]
        assert session.ask("AUTH PLAIN AGEAYg==").startswith("530 5.7.0 Must issue a STARTTLS command first.")
        assert session.ask("HELO mail.example.com").startswith("250 ")
        assert envelope(session)[0].startswith("530 5.7.0")
    counters = control.counters()
    assert (counters.messages_accepted, counters.transactions, counters.tls_sessions) == (0, 0, 0)
    assert counters.refused["starttls-required"] == 3


def test_clear_text_is_accepted_only_when_the_rule_allows_it_and_is_recorded_as_such(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    with smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].tls is None


def test_what_was_said_in_clear_is_forgotten_after_starttls(standin: GoogleStandin, files: Files) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        session.starttls(files.context())
        assert session.ask(f"MAIL FROM:<{SENDER}>").startswith("503 5.5.1 EHLO/HELO first.")


def test_commands_sent_in_clear_behind_starttls_end_the_session(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        session.send(b"STARTTLS\r\nMAIL FROM:<app@example.com>\r\n")
        assert session.reply().startswith("454-4.5.0 SMTP protocol violation")
        assert session.is_closed()
    assert control.counters().refused == {"pipelined-after-starttls": 1}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_older_than_1_2_is_refused(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    context = files.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            session.starttls(context)
    wait_for(lambda: control.counters().handshake_failures == 1)
    assert control.counters().tls_sessions == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_resumed_tls_sessions_are_told_from_full_handshakes(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, version: ssl.TLSVersion
) -> None:
    context = files.context()
    context.minimum_version = context.maximum_version = version
    session_id: ssl.SSLSession | None = None
    for _ in range(2):
        with Talk(standin.port()) as session:
            session.reply()
            session.ask(f"EHLO {EHLO}")
            session.starttls(context, session=session_id)
            session.ask(f"EHLO {EHLO}")
            envelope(session)
            session.send(BODY + b".\r\n")
            session.reply()
            assert isinstance(session.socket, ssl.SSLSocket)
            session_id = session.socket.session
    counters = control.counters()
    assert (counters.tls_sessions, counters.tls_full_handshakes, counters.tls_resumed_handshakes) == (2, 1, 1)
    assert [message.tls and message.tls.resumed for message in control.messages()] == [False, True]
    assert [(item.tls, item.resumed) for item in counters.per_connection] == [(True, False), (True, True)]


def test_the_server_name_a_client_asks_for_is_recorded(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        session.reply()
    message = control.messages()[0]
    assert message.tls is not None
    assert message.tls.sni == RELAY


def test_client_certificate_is_asked_for_and_described(files: Files, tmp_path: Path) -> None:
    document = files.document()
    document["tls"]["client_ca"] = str(files.client_ca_file)
    pair = files.client_ca.issue("relay.example.com")
    paths = pair.write(tmp_path, "client")
    der = ssl.PEM_cert_to_DER_cert(pair.certificate)
    stranger = PrivateCa("stranger").issue("relay.example.com").write(tmp_path, "stranger")
    with GoogleStandin(StandinConfig.from_json(document)) as standin:
        control = GoogleStandinClient(standin.control_url)
        for certificate in (paths, None):
            context = files.context()
            if certificate:
                context.load_cert_chain(*certificate)
            with smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5) as session:
                session.starttls(context=context)
                session.sendmail(SENDER, [RECIPIENT], BODY)
        with_it, without = control.messages()
        assert with_it.tls is not None
        facts = with_it.tls.client_certificate
        assert facts is not None
        assert "commonName=relay.example.com" in facts.subject
        assert "organizationName=clients" in facts.issuer
        assert facts.sha256 == hashlib.sha256(der).hexdigest()
        assert facts.verified
        assert facts.chain_length in {1, None}
        assert without.tls is not None
        assert without.tls.client_certificate is None

        context = files.context()
        context.load_cert_chain(*stranger)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            session.starttls(context=context)
        session.close()
        wait_for(lambda: control.counters().handshake_failures == 1)


# -- EHLO policy ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST",
        "localhost.localdomain",
        "smtp-relay.gmail.com",
        "mailserver",
        "9e409ec3e672",
        "9e409ec3e672.example.com",
        hashlib.sha256(b"container").hexdigest(),
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "192.0.2.1",
        "2001:db8::1",
        "under score.example.com",
        "-bad.example.com",
        "bad..example.com",
    ],
)
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_generic_ehlo_name_is_answered_421_and_the_connection_closes(
    standin: GoogleStandin, control: GoogleStandinClient, verb: str, name: str
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        answer = session.ask(f"{verb} {name}")
        assert answer.startswith("421 4.7.0 Try again later, closing connection. (EHLO) ")
        assert answer.endswith(" - gsmtp")
        assert session.is_closed()
    assert control.counters().refused == {"ehlo-refused": 1}


@pytest.mark.parametrize("name", ["mail.example.com", "example.com", "Mail.Example.COM", "mail.example.com."])
def test_fqdn_under_a_registered_domain_is_welcome(standin: GoogleStandin, files: Files, name: str) -> None:
    with talk(standin, files, ehlo=name) as session:
        assert envelope(session, "")[2].startswith("354 ")


# -- who may relay ----------------------------------------------------------------------------------------


def test_unlisted_address_with_unknown_domains_is_denied_with_the_names_google_tried(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files, ehlo="host.dept.example.net", source=UNLISTED_IP) as session:
        mail, rcpt, data = envelope(session, "someone@example.info")
        assert mail.startswith("250 2.1.0")
        assert rcpt.startswith(f"550-5.7.0 Mail relay denied [{UNLISTED_IP}]. Invalid credentials for relay for\n")
        assert "in: example.net, dept.example.net, host.dept.example.net, example.info (as\n" in rcpt
        assert rcpt.split("\n")[-1].startswith("550 5.7.0 ")
        assert data.startswith("503 ")
    assert control.counters().refused["mail-relay-denied"] == 1


def test_unlisted_address_with_a_known_domain_is_refused(standin: GoogleStandin, files: Files) -> None:
    with talk(standin, files, source=UNLISTED_IP) as session:
        assert first_refusal(session).startswith(
            f"550-5.7.1 Invalid credentials for relay [{UNLISTED_IP}]. The IP address you've\n"
        )


def test_listed_address_with_unknown_domains_is_refused(standin: GoogleStandin, files: Files) -> None:
    with talk(standin, files, ehlo="mail.example.net") as session:
        assert first_refusal(session, "someone@example.net").startswith("550-5.7.1 Invalid credentials")


def test_the_sender_domain_alone_identifies_the_customer(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files, ehlo="mail.example.net") as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].relaying_domain == "example.com"


@pytest.mark.parametrize(("stage", "position"), [("mail", 0), ("rcpt", 1), ("data", 2)])
def test_the_rule_says_at_which_command_relay_is_denied(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, stage: str, position: int
) -> None:
    control.put_rule({**RULE, "refuse_relay_at": stage})
    with talk(standin, files, source=UNLISTED_IP) as session:
        answers = [answer[:9] for answer in envelope(session)]
    assert answers[position] == "550-5.7.1"
    assert all(answer[0] in "23" for answer in answers[:position])
    assert control.counters().messages_accepted == 0


def test_null_sender_passes_only_when_ehlo_identifies_the_customer(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files) as session:
        session.sendmail("", [RECIPIENT], BODY)
    with talk(standin, files, ehlo="mail.example.net") as session:
        assert first_refusal(session, "").startswith("550-5.7.1 Invalid credentials for relay")
    (message,) = control.messages()
    assert (message.mail_from, message.relaying_domain) == ("", "example.com")


@pytest.mark.parametrize(
    ("allowed", "sender", "accepted"),
    [
        ("domain-addresses", "anyone@example.com", True),
        ("domain-addresses", "Anyone@EXAMPLE.com", True),
        ("domain-addresses", "someone@example.net", False),
        ("domain-addresses", "someone@sub.example.com", False),
        ("registered-users", "alice@example.com", True),
        ("registered-users", "ALICE@example.com", True),
        ("registered-users", "bob@example.com", False),
        ("registered-users", "", True),
        ("any-address", "someone@example.net", True),
    ],
)
def test_allowed_senders_decides_on_the_envelope_sender(
    standin: GoogleStandin,
    control: GoogleStandinClient,
    files: Files,
    allowed: str,
    sender: str,
    accepted: bool,
) -> None:
    control.put_rule({**RULE, "allowed_senders": allowed, "registered_users": ["alice@example.com"]})
    with talk(standin, files) as session:
        answers = envelope(session, sender)
    if accepted:
        assert answers[2].startswith("354 ")
    else:
        assert answers[1].startswith("550 5.7.0 Mail sending denied")
        assert control.counters().refused["mail-sending-denied"] == 1


def test_ipv6_client_is_matched_against_ipv6_ranges(files: Files) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    document = files.document(listeners=[{"host": "::", "port": 0, "tls": "starttls"}])
    document["rule"] = {**RULE, "allowed_ips": ["::1/128"]}
    with GoogleStandin(StandinConfig.from_json(document)) as standin:
        control = GoogleStandinClient(standin.control_url)
        with smtplib.SMTP("::1", standin.port(), local_hostname=EHLO, timeout=5) as session:
            session.starttls(context=files.context())
            session.sendmail(SENDER, [RECIPIENT], BODY)
        with talk(standin, files) as raw:
            assert first_refusal(raw).startswith("550-5.7.1 Invalid credentials for relay [127.0.0.1]")
        assert [message.peer_ip for message in control.messages()] == ["::1"]


def test_changed_rule_counts_from_the_next_command_on(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        control.put_rule({**RULE, "domains": ["example.net"]})
        assert first_refusal(session).startswith("550-5.7.1")
        session.ask("RSET")
        control.put_rule(RULE)
        assert envelope(session)[2].startswith("354 ")


# -- SMTP AUTH --------------------------------------------------------------------------------------------

AUTH_RULE = {
    **RULE,
    "allowed_ips": [],
    "require_smtp_auth": True,
    "smtp_auth_users": {"Relay@example.com": PASSWORD},
}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False], ids=["initial-response", "challenge"])
def test_right_password_lets_an_unknown_address_relay(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, mechanism: str, initial: bool
) -> None:
    control.put_rule({**AUTH_RULE, "allowed_senders": "any-address"})
    with client(standin, files, ehlo="mail.example.net", source=UNLISTED_IP) as session:
        session.user, session.password = "relay@example.com", PASSWORD
        action = session.auth_plain if mechanism == "PLAIN" else session.auth_login
        session.auth(mechanism, action, initial_response_ok=initial)
        session.sendmail("someone@example.info", [RECIPIENT], BODY)
    (message,) = control.messages()
    assert (message.auth_user, message.relaying_domain) == ("relay@example.com", "example.com")


def test_session_without_auth_is_refused_when_the_rule_requires_it(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule(AUTH_RULE)
    with talk(standin, files) as session:
        answers = envelope(session)
    assert answers[0].startswith("530-5.5.1 Authentication Required.")
    assert answers[2].startswith("503 ")
    assert control.counters().refused["auth-required"] == 1


@pytest.mark.parametrize(
    ("user", "password"),
    [("relay@example.com", "wrong"), ("relay@example.com", ""), ("nobody@example.com", PASSWORD)],
)
def test_wrong_credentials_are_refused_and_do_not_authenticate(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, user: str, password: str
) -> None:
    control.put_rule(AUTH_RULE)
    with client(standin, files) as session:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            session.login(user, password)
        assert caught.value.smtp_code == 535
        assert "5.7.8 Username and Password not accepted." in str(caught.value)
        with pytest.raises(smtplib.SMTPSenderRefused):
            session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.counters().messages_accepted == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AUTH XOAUTH2 eA==", "504 5.7.4 Unrecognized Authentication Type"),
        ("AUTH CRAM-MD5", "504 5.7.4"),
        ("AUTH PLAIN !!!", "501 5.5.2"),
        ("AUTH PLAIN eA==", "501 5.5.2"),
        ("AUTH PLAIN /w==", "501 5.5.2"),
    ],
)
def test_unusable_auth_command_is_refused(standin: GoogleStandin, files: Files, command: str, answer: str) -> None:
    with talk(standin, files) as session:
        assert session.ask(command).startswith(answer)


def test_cancelled_and_repeated_auth_are_refused(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule(AUTH_RULE)
    with talk(standin, files) as session:
        assert session.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert session.ask("*").startswith("501 5.5.2")
    with client(standin, files) as smtp:
        smtp.login("relay@example.com", PASSWORD)
        assert smtp.docmd("AUTH", "PLAIN")[0] == 503


def test_password_appears_neither_in_answers_nor_in_logs_nor_in_reprs(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    control.put_rule(AUTH_RULE)
    with client(standin, files) as session:
        session.login("relay@example.com", PASSWORD)
        session.sendmail(SENDER, [RECIPIENT], BODY)
    with client(standin, files) as session, contextlib.suppress(smtplib.SMTPAuthenticationError):
        session.login("relay@example.com", PASSWORD + "x")
    answers = json.dumps([control.rule(), [item.to_json() for item in control.messages()]])
    assert control.rule()["smtp_auth_users"] == ["relay@example.com"]
    assert "message 1" in caplog.text
    for text in (answers, caplog.text, repr(standin.rule()), repr(standin.config)):
        assert PASSWORD not in text


# -- sizes and limits -------------------------------------------------------------------------------------


def test_recipient_101_is_refused_and_the_first_100_are_delivered(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        session.ask(f"MAIL FROM:<{SENDER}>")
        answers = [session.ask(f"RCPT TO:<r{number}@example.org>") for number in range(101)]
        assert all(answer.startswith("250 2.1.5") for answer in answers[:100])
        assert answers[100].startswith("452-4.5.3 Your message has too many recipients.")
        assert session.ask("DATA").startswith("354 ")
        session.send(BODY + b".\r\n")
        assert session.reply().startswith("250 ")
    assert len(control.messages()[0].rcpt_to) == 100
    counters = control.counters()
    assert (counters.recipients_accepted, counters.refused) == (100, {"too-many-recipients": 1})


def test_message_larger_than_advertised_is_refused_by_declaration_and_by_count(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"message_size_bytes": 1000}})
    with talk(standin, files) as session:
        assert session.ask(f"MAIL FROM:<{SENDER}> BODY=8BITMIME SIZE=1001").startswith("552-5.3.4 ")
        for length, expected in ((1001, "552-5.3.4 "), (300_000, "552-5.3.4 "), (1000, "250 2.0.0")):
            assert envelope(session)[2].startswith("354 ")
            session.send(b"x" * (length - 2) + b"\r\n.\r\n")
            assert session.reply().startswith(expected)
    assert [message.size for message in control.messages()] == [1000]
    assert control.counters().refused == {"message-too-large": 3}


def test_customer_over_the_daily_limit_gets_the_permanent_code_at_data(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_day": 2}})
    with talk(standin, files) as session:
        for _ in range(2):
            envelope(session)
            session.send(BODY + b".\r\n")
            session.reply()
        refused = envelope(session)[2]
    assert refused.split("\n")[0] == ("550-5.7.1 Daily SMTP relay limit exceeded for customer. For more information on")
    assert refused.split("\n")[-1].startswith("550 5.7.1 ")
    assert control.counters().messages_accepted == 2


def test_user_limit_counts_registered_envelope_senders_only(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    rule = {**RULE, "registered_users": ["alice@example.com"], "limits": {"user_messages_per_day": 1}}
    control.put_rule(rule)
    with talk(standin, files) as session:
        for sender in ("alice@example.com", "service@example.com", "service@example.com"):
            assert envelope(session, sender)[2].startswith("354 ")
            session.send(BODY + b".\r\n")
            session.reply()
        refused = envelope(session, "Alice@example.com")[2]
    assert refused.split("\n")[0].startswith("550-5.4.5 Daily SMTP relay limit exceeded for user.")
    assert control.counters().refused == {"daily-limit-user": 1}


def test_ten_minute_peak_is_answered_temporarily(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_10_minutes": 1}})
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        session.reply()
        refused = envelope(session)[2]
    assert refused.startswith("450-4.2.1 Peak SMTP relay limit exceeded for customer.")
    assert control.counters().refused == {"peak-limit-customer": 1}


def test_limits_clear_when_their_window_has_passed() -> None:
    now = [0.0]
    tracker = LimitTracker(clock=lambda: now[0])
    rule = RelayRule.from_json(
        {
            **RULE,
            "registered_users": ["alice@example.com"],
            "limits": {
                "customer_recipients_per_day": 6,
                "customer_recipients_per_10_minutes": 3,
                "user_unique_recipients_per_day": 2,
            },
        }
    )
    two = ["a@example.org", "b@example.org"]
    assert tracker.refusal(rule, SENDER, two) is None
    tracker.record(SENDER, two)
    assert tracker.refusal(rule, SENDER, two) == "peak-limit-customer"
    now[0] = 601.0
    assert tracker.refusal(rule, SENDER, two) is None
    tracker.record("alice@example.com", [*two, "A@example.org"])
    now[0] = 1300.0
    assert tracker.refusal(rule, "alice@example.com", ["A@example.org"]) is None
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) == "daily-limit-user"
    assert tracker.refusal(rule, SENDER, ["c@example.org"] * 3) == "daily-limit-customer"
    now[0] = 24 * 3600.0 + 1
    assert tracker.refusal(rule, SENDER, ["c@example.org"] * 3) is None
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) == "daily-limit-user"
    now[0] = 24 * 3600.0 + 602
    assert tracker.refusal(rule, "alice@example.com", ["c@example.org"]) is None


# -- the reply table and the faults -----------------------------------------------------------------------


def test_table_holds_every_documented_refusal() -> None:
    have = {(reply.code, reply.enhanced) for reply in REPLIES.values()}
    documented = """
        421 4.7.0, 421 4.3.0, 421 4.4.5, 421 4.7.28, 450 4.2.1, 451 4.3.0, 451 4.4.2, 452 4.2.2, 452 4.5.3,
        454 4.7.0, 530 5.7.0, 530 5.5.1, 535 5.7.8, 535 5.7.1, 550 5.7.0, 550 5.7.1, 550 5.4.5, 550 5.7.28
    """
    for item in documented.split(","):
        code, enhanced = item.split()
        assert (int(code), enhanced) in have
    texts = {reply.text.split("\n")[0] for reply in REPLIES.values()}
    for phrase in (
        "IP not in whitelist for RCPT domain",
        "TLS required for RCPT domain",
        "Daily SMTP relay limit exceeded for customer.",
        "Daily SMTP relay limit exceeded for user.",
    ):
        assert any(text.startswith(phrase) for text in texts)


def drive_to(session: Talk, stage: str) -> str:
    """The answer at one stage of a session that is otherwise fine."""
    if stage == "connect":
        return session.reply()
    assert session.reply().startswith("220 ")
    for name, line in (
        ("ehlo", f"EHLO {EHLO}"),
        ("starttls", "STARTTLS"),
        ("auth", "AUTH PLAIN AGEAYg=="),
        ("mail", f"MAIL FROM:<{SENDER}>"),
        ("rcpt", f"RCPT TO:<{RECIPIENT}>"),
        ("data", "DATA"),
        ("end-of-data", BODY.decode() + "."),
    ):
        if name in {"starttls", "auth"} and name != stage:
            continue
        answer = session.ask(line)
        if name == stage:
            return answer
        assert answer[0] in "23"
    raise AssertionError(stage)


@pytest.mark.parametrize("name", list(REPLIES))
def test_every_reply_of_the_table_can_be_switched_on_at_its_stage(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, name: str
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    reply = REPLIES[name]
    fault = control.refuse(name)
    stage = str(fault.stage)
    assert stage == ("mail" if reply.stage is Stage.ANY else reply.stage.value)
    with Talk(standin.port()) as session:
        if stage == "auth":
            assert session.reply().startswith("220 ")
            session.ask(f"EHLO {EHLO}")
            session.starttls(files.context())
            session.ask(f"EHLO {EHLO}")
            answer = session.ask("AUTH PLAIN AGEAYg==")
        else:
            answer = drive_to(session, stage)
        lines = answer.split("\n")
        assert all(line[:3] == str(reply.code) and line[4:].startswith(f"{reply.enhanced} ") for line in lines)
        assert reply.text.split("\n")[0].split("{")[0] in lines[0]
        assert lines[-1].endswith(" - gsmtp")
        if reply.closes:
            assert session.is_closed()
        elif stage not in {"connect", "ehlo", "starttls"}:
            assert session.ask("NOOP").startswith("250 ")
    assert control.counters().refused == {name: 1}
    assert control.messages() == []
    assert control.faults()[0].used == 1


@pytest.mark.parametrize("stage", [item.value for item in Stage if item not in {Stage.ANY, Stage.AUTH}])
def test_a_reply_can_be_moved_to_another_stage(
    standin: GoogleStandin, control: GoogleStandinClient, stage: str
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    control.refuse("mail-temporarily-rejected", stage=stage)
    with Talk(standin.port()) as session:
        assert drive_to(session, stage).startswith("451 4.3.0 Mail server temporarily rejected message.")


def test_counted_fault_ends_after_so_many_transactions(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.refuse("mailbox-full", count=2)
    with talk(standin, files) as session:
        session.ask(f"MAIL FROM:<{SENDER}>")
        # Both recipients of one transaction: still one use.
        assert session.ask(f"RCPT TO:<{RECIPIENT}>").startswith("452 4.2.2")
        assert session.ask("RCPT TO:<second@example.org>").startswith("452 4.2.2")
        session.ask("RSET")
        assert control.faults()[0].remaining == 1
        assert first_refusal(session).startswith("452 4.2.2")
        session.ask("RSET")
        assert envelope(session)[2].startswith("354 ")
    assert (control.faults()[0].remaining, control.faults()[0].used) == (0, 2)


@pytest.mark.parametrize(("scope", "code"), [("customer", "550-5.7.1 Daily"), ("user", "550-5.4.5 Daily")])
def test_quota_fault_gives_the_daily_limit_reply_and_the_message_passes_later(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, scope: str, code: str
) -> None:
    control.exceed_quota(scope, count=1)
    with talk(standin, files) as session:
        assert first_refusal(session).startswith(code)
        session.ask("RSET")
        envelope(session)
        session.send(BODY + b".\r\n")
        assert session.reply().startswith("250 ")
    assert control.counters().messages_accepted == 1


def test_message_refused_after_its_data_is_not_kept(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.refuse("unusual-rate", count=1)
    with client(standin, files) as session:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            session.sendmail(SENDER, [RECIPIENT], BODY)
        assert caught.value.smtp_code == 550
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_dropped_connection_gives_no_answer(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    control.drop("end-of-data", count=1)
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        assert session.is_closed()
    assert control.messages() == []
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_while_down_ports_are_closed_and_open_sessions_end_and_later_the_same_ports_serve_again(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    ports = [standin.port(0), standin.port(1)]
    with talk(standin, files) as session:
        control.take_down()
        assert session.is_closed()
    assert not control.is_healthy()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
    control.clear_faults()
    assert control.is_healthy()
    assert [standin.port(0), standin.port(1)] == ports
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_slow_delays_each_reply(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    with talk(standin, files) as session:
        fault = control.slow_down(0.15)
        for _ in range(2):
            started = time.monotonic()
            session.ask("NOOP")
            assert time.monotonic() - started >= 0.15
        control.remove_fault(fault.id)
        started = time.monotonic()
        session.ask("NOOP")
        assert time.monotonic() - started < 0.15


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong-name", "certificate is not valid for"),
        ("unknown-ca", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
def test_wrong_certificate_is_served_and_a_verifying_client_sends_nothing(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, kind: str, reason: str
) -> None:
    control.serve_certificate(kind)
    session = smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        session.starttls(context=files.context())
    session.close()
    wait_for(lambda: control.counters().handshake_failures == 1)
    assert control.counters().tls_sessions == 0
    assert control.messages() == []
    control.clear_faults()
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ({"kind": "explode"}, "kind"),
        ([], "kind"),
        ({"kind": "down", "count": 1}, "unknown key count"),
        ({"kind": "slow"}, "seconds"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "reply", "reply": "no-such"}, "no-such"),
        ({"kind": "reply", "reply": "mailbox-full", "stage": "any"}, "stage"),
        ({"kind": "reply", "reply": "mailbox-full", "count": 0}, "count"),
        ({"kind": "quota", "scope": "planet"}, "planet"),
        ({"kind": "drop"}, "stage"),
        ({"kind": "certificate", "certificate": "golden"}, "golden"),
    ],
)
def test_wrong_fault_description_is_refused(standin: GoogleStandin, description: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        standin.add_fault(description)
    assert standin.faults.active() == ()


# -- protocol order ---------------------------------------------------------------------------------------


def test_commands_out_of_order_are_refused(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    with talk(standin, files) as session:
        for line, answer in (
            ("RCPT TO:<a@example.org>", "503 5.5.1 MAIL first."),
            ("DATA", "503 5.5.1 MAIL first."),
            ("MAIL app@example.com", "555 5.5.2"),
            ("MAIL FROM:<nodomain>", "555 5.5.2"),
            (f"MAIL FROM:<{SENDER}>", "250 2.1.0"),
            (f"MAIL FROM:<{SENDER}>", "503 5.5.1 Sender already given."),
            ("DATA", "503 5.5.1 RCPT first."),
            ("RCPT a@example.org", "555 5.5.2"),
            ("RCPT TO:<a@example.org>", "250 2.1.5"),
            ("RSET", "250 2.1.5 Flushed"),
            ("DATA", "503 5.5.1 MAIL first."),
            ("STARTTLS", "503 5.5.1"),
            ("BDAT 5 LAST", "502 5.5.1 Unrecognized command."),
            ("VRFY somebody", "252 2.1.5"),
            ("noop", "250 2.0.0"),
        ):
            assert session.ask(line).startswith(answer), line
    with Talk(standin.port()) as session:
        session.reply()
        assert session.ask(f"MAIL FROM:<{SENDER}>").startswith("503 5.5.1 EHLO/HELO first.")
        assert session.ask("AUTH PLAIN").startswith("503 5.5.1 EHLO/HELO first.")
        assert session.ask("EHLO").startswith("501 5.5.4")
        assert session.is_closed()
    assert control.counters().messages_accepted == 0


def test_endless_line_ends_the_session(standin: GoogleStandin) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.send(b"x" * 20_000)
        assert session.reply().startswith("500 5.5.1 Line too long.")


def test_idle_session_is_told_so_and_closed(files: Files) -> None:
    document = files.document(idle_timeout_seconds=0.2)
    with (
        GoogleStandin(StandinConfig.from_json(document)) as standin,
        Talk(standin.port()) as session,
    ):
        session.reply()
        assert session.reply().startswith("451 4.4.2 Timeout - closing connection.")
        assert session.is_closed()


# -- counters and the control API -------------------------------------------------------------------------


def test_messages_are_counted_per_connection(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    for messages in (3, 0, 1):
        with client(standin, files) as session:
            for _ in range(messages):
                session.sendmail(SENDER, [RECIPIENT, "b@example.org"], BODY)
    counters = control.counters()
    assert [item.messages for item in counters.per_connection] == [3, 0, 1]
    assert (counters.connections, counters.transactions, counters.messages_accepted) == (3, 4, 4)
    assert counters.recipients_accepted == 8
    assert counters.tls_sessions == 3
    wait_for(lambda: control.counters().open_connections == 0)


def test_reset_forgets_messages_counters_limits_and_faults_but_not_the_rule(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_day": 1}})
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    control.refuse("mailbox-full")
    wait_for(lambda: control.counters().open_connections == 0)
    control.reset()
    empty = control.counters()
    assert (empty.connections, empty.messages_accepted, empty.refused, empty.per_connection) == (0, 0, {}, ())
    assert (control.messages(), control.faults()) == ([], [])
    assert control.rule()["limits"]["customer_recipients_per_day"] == 1
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)


def test_waiting_for_messages_gives_up_with_the_number_that_came(control: GoogleStandinClient) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 messages"):
        control.wait_for_messages(1, timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/messages/1", None, 404),
        ("GET", "/messages/x", None, 400),
        ("GET", "/messages?since=-1", None, 400),
        ("POST", "/messages", None, 405),
        ("POST", "/counters", None, 405),
        ("PUT", "/faults", {}, 405),
        ("DELETE", "/faults/77", None, 404),
        ("POST", "/faults", {"kind": "explode"}, 400),
        ("PUT", "/rule", {"domains": []}, 400),
    ],
)
def test_wrong_control_request_is_answered_with_a_reason(
    control: GoogleStandinClient, method: str, path: str, body: object, status: int
) -> None:
    with pytest.raises(ControlError) as caught:
        control._call(method, path, body)
    assert caught.value.status == status
    assert len(str(caught.value)) > len("404: ")


def test_reply_table_is_readable_over_the_control_api(control: GoogleStandinClient) -> None:
    table = control._json("GET", "/replies")["replies"]
    assert [item["name"] for item in table] == list(REPLIES)
    assert all(item["meaning"] and item["evidence"] for item in table)


# -- configuration ----------------------------------------------------------------------------------------


def test_all_configuration_problems_are_reported_together(files: Files) -> None:
    document = files.document(hostnam="x", idle_timeout_seconds=0, listeners=[{"tls": "none"}])
    document["tls"].pop("key")
    document["rule"] = {
        "domains": [],
        "allowed_ips": ["127.0.0.1/8", "x"],
        "allowed_senders": "everyone",
        "limits": {"message_size_bytes": -1, "colour": 1},
    }
    with pytest.raises(ConfigError) as caught:
        StandinConfig.from_json(document)
    for place in (
        "config.hostnam: unknown key",
        "config.idle_timeout_seconds:",
        "listeners[0].tls: 'none'",
        "tls.key:",
        "rule.domains:",
        "rule.allowed_ips: 127.0.0.1/8 has host bits set",
        "rule.allowed_ips: 'x'",
        "rule.allowed_senders: 'everyone' is not one of registered-users, domain-addresses, any-address",
        "rule.limits.message_size_bytes:",
        "rule.limits.colour: unknown key",
    ):
        assert any(problem.startswith(place) for problem in caught.value.problems), place


def test_rule_that_lets_anybody_relay_is_refused() -> None:
    with pytest.raises(ConfigError, match="anybody could relay"):
        RelayRule.from_json({"domains": ["example.com"], "allowed_ips": []})


def test_bad_rule_leaves_the_old_one_in_force(standin: GoogleStandin, control: GoogleStandinClient) -> None:
    before = control.rule()
    with pytest.raises(ControlError, match="unknown key"):
        control.put_rule({**RULE, "colour": "red"})
    assert control.rule() == before
    assert standin.rule().domains == ("example.com", "example.de")


def test_taken_port_is_an_error_and_leaves_nothing_open(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        document = files.document()
        document["listeners"][1]["port"] = taken.getsockname()[1]
        config = StandinConfig.from_json(document)
        standin = GoogleStandin(config)
        with pytest.raises(OSError, match="in use"):
            standin.start()
        first = standin.port(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), timeout=2)


def test_key_of_another_certificate_is_an_error(files: Files) -> None:
    config = StandinConfig.from_json(files.document())
    mixed = replace(config.certificate, key=files.faulty["expired"][1])
    with pytest.raises(ssl.SSLError):
        GoogleStandin(replace(config, certificate=mixed))


# -- as a program -----------------------------------------------------------------------------------------


def program(directory: Path, config: Path) -> "subprocess.Popen[str]":
    # -I would ignore PYTHONPATH; -S drops site-packages, as in a container that has only python3.
    return subprocess.Popen(
        [sys.executable, "-S", "-m", "rehearsal.google_standin", "--config", str(config)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What a container gets, elsewhere."""
    (tmp_path / "rehearsal").mkdir()
    for name in GOOGLE_STANDIN:
        source, target = Path(__file__).parents[2] / "rehearsal" / name, tmp_path / "rehearsal" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_copied_package_runs_with_the_standard_library_alone_and_stops_on_sigterm(files: Files, copied: Path) -> None:
    ports = {"smtp": free_port(), "control": free_port()}
    document = files.document(
        listeners=[{"host": "127.0.0.1", "port": ports["smtp"], "tls": "starttls"}],
        control={"host": "127.0.0.1", "port": ports["control"]},
    )
    config = copied / "config.json"
    config.write_text(json.dumps(document))
    process = program(copied, config)
    try:
        control = GoogleStandinClient(f"http://127.0.0.1:{ports['control']}")
        control.wait_until_healthy(10)
        with smtplib.SMTP("127.0.0.1", ports["smtp"], local_hostname=EHLO, timeout=5) as session:
            session.starttls(context=files.context())
            session.sendmail(SENDER, [RECIPIENT], BODY)
        assert control.wait_for_messages(1)[0].mail_from == SENDER
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "message 1, 1 recipients" in log


def test_program_names_every_problem_of_its_configuration(copied: Path) -> None:
    config = copied / "config.json"
    config.write_text('{"listeners": [], "colour": 1}')
    process = program(copied, config)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 1
    for problem in ("config.listeners", "config.colour: unknown key", "tls.certificate", "rule"):
        assert problem in log
