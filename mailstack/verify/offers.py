"""What each listener would agree to: versions, cipher suites, features. One short connection for each question."""

import contextlib
import smtplib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mailstack.verify.context import Context
from mailstack.verify.hello import (
    ANY_SIGNATURE,
    CBC,
    FORWARD_SECRET,
    SHA_1,
    STATIC_RSA,
    TLS_1_1,
    TLS_1_2,
    WEAK,
    ServerHello,
    say_hello,
)
from mailstack.verify.listeners import Endpoint
from mailstack.verify.reaching import Unreached, connect
from mailstack.verify.smtp import STARTTLS, Client, words

__all__ = ["CIPHERS", "Unasked", "forward_secret", "old_version", "signed_with_sha_1", "static_rsa", "weak"]

CIPHERS = {**FORWARD_SECRET, **CBC, **STATIC_RSA, **WEAK}


@dataclass(frozen=True)
class Unasked:
    """There was no answer to this question, and why."""

    why: str


Said = ServerHello | None | Unasked
"""What was chosen, None where the server declined."""


def old_version(context: Context, place: Endpoint) -> Said:
    """Offer TLS 1.1 at most."""
    return _say(context, place, TLS_1_1, (*CBC, *STATIC_RSA, 0xC012, 0x000A))


def weak(context: Context, place: Endpoint) -> Said:
    """Offer nothing but NULL, EXPORT, RC4, DES and 3DES."""
    return _say(context, place, TLS_1_2, tuple(WEAK))


def static_rsa(context: Context, place: Endpoint) -> Said:
    """Offer nothing with forward secrecy."""
    return _say(context, place, TLS_1_2, tuple(STATIC_RSA))


def forward_secret(context: Context, place: Endpoint) -> Said:
    """Offer forward secrecy, the worse ciphers first: a server with an order of its own takes a better one."""
    return _say(context, place, TLS_1_2, (*CBC, *FORWARD_SECRET))


def signed_with_sha_1(context: Context, place: Endpoint) -> Said:
    """Offer forward secrecy, with key exchanges that are signed with SHA-1 and no others."""
    return _say(context, place, TLS_1_2, tuple(FORWARD_SECRET), SHA_1)


def _say(
    context: Context,
    place: Endpoint,
    version: int,
    ciphers: Sequence[int],
    signatures: Sequence[int] = ANY_SIGNATURE,
) -> Said:
    def ask() -> Said:
        try:
            with _before_tls(context, place) as connection:
                return say_hello(connection, place.certificate_name, version, ciphers, signatures)
        except Unreached as error:
            return Unasked(str(error))
        except TimeoutError:
            return Unasked("no answer in time")
        except (smtplib.SMTPException, OSError) as error:
            return Unasked(f"no SMTP: {words(error)}")

    return context.once(("hello", place, version, ciphers, signatures), ask)


@contextlib.contextmanager
def _before_tls(context: Context, place: Endpoint) -> Iterator[socket.socket]:
    """Come to where the server waits for a ClientHello."""
    with contextlib.closing(connect(context, place.host, place.address, place.port)) as connection:
        if place.tls == STARTTLS:
            client = Client(connection, place.certificate_name, context.around.helo)
            client.greeted()
            code, text = client.say("STARTTLS")
            if code != 220:
                raise Unreached(f"STARTTLS: {code} {text}")
        yield connection
