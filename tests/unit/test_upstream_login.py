"""A login is tried with TLS that is verified; only the service's own word makes a password wrong."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword

from mailstack.reach.upstream_login import try_login


class Handler:
    """Takes nothing."""


def authenticator(_server: SMTP, _session: Any, _envelope: Any, _mechanism: str, data: Any) -> AuthResult:
    right = isinstance(data, LoginPassword) and data.password == b"right"
    return AuthResult(success=right, handled=not right) if right else AuthResult(success=False, handled=False)


@contextmanager
def upstream(authority: trustme.CA, name: str = "localhost") -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    class WithTls(Controller):
        def factory(self) -> SMTP:
            return SMTP(self.handler, tls_context=context, authenticator=authenticator, auth_required=True)

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server = WithTls(Handler(), hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield port
    finally:
        server.stop()


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.mark.parametrize(("password", "state"), [("right", "taken"), ("wrong", "refused")])
def test_the_service_says_whether_it_takes_the_password(password: str, state: str, authority: trustme.CA) -> None:
    with upstream(authority) as port:
        tried = try_login("localhost", port, "apikey", password, context=trusting(authority))
    assert tried.state == state, tried.said
    assert password not in tried.said


def test_a_certificate_of_another_gets_no_password(authority: trustme.CA) -> None:
    with upstream(authority, "other.example") as port:
        tried = try_login("localhost", port, "apikey", "right", context=trusting(authority))
    assert tried.state == "unknown"
    assert "ertificate" in tried.said


def test_nobody_there_is_unknown(authority: trustme.CA) -> None:
    with upstream(authority) as port:
        pass
    assert try_login("localhost", port, "apikey", "right", context=trusting(authority)).state == "unknown"
