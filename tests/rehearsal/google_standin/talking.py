"""A client that shows every byte, certificates, and what the tests of the stand-in have in common."""

import contextlib
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

from rehearsal import waiting
from rehearsal.google_standin import GoogleStandin
from rehearsal.pki import PrivateCa, ServerPki, make_server_pki

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


def wait_for(condition: Callable[[], object], seconds: float = 3.0) -> None:
    assert waiting.wait_for(condition, seconds, pause=0.01), "did not happen in time"
