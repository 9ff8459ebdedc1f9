"""Tries a login at an upstream, from here: whether it takes user name and password. No message is sent."""

import smtplib
import ssl
from dataclasses import dataclass
from typing import Literal

from mailstack.upstreams import IMPLICIT_TLS_PORTS

__all__ = ["Login", "try_login"]

SECONDS = 20.0
# RFC 4954 §6: the credentials are wrong, or this user may not log in this way.
REFUSED = frozenset({530, 534, 535, 538})


@dataclass(frozen=True, kw_only=True)
class Login:
    """What came of it: ``taken``, ``refused`` by the service's own word, or ``unknown`` where it came to no answer."""

    state: Literal["taken", "refused", "unknown"]
    said: str


def try_login(host: str, port: int, username: str, password: str, *, context: ssl.SSLContext | None = None) -> Login:
    """Log in with TLS that is verified, and leave. The password goes nowhere else."""
    secured = context or ssl.create_default_context()
    try:
        with _connected(host, port, secured) as client:
            client.login(username, password)
    except smtplib.SMTPAuthenticationError as error:
        return Login(state="refused" if error.smtp_code in REFUSED else "unknown", said=_words(error))
    except (smtplib.SMTPException, OSError) as error:
        return Login(state="unknown", said=f"{host} port {port}: {error}")
    return Login(state="taken", said=f"{host} port {port} takes it")


def _connected(host: str, port: int, context: ssl.SSLContext) -> smtplib.SMTP:
    if port in IMPLICIT_TLS_PORTS:
        return smtplib.SMTP_SSL(host, port, timeout=SECONDS, context=context)
    client = smtplib.SMTP(host, port, timeout=SECONDS)
    try:
        client.starttls(context=context)
    except (smtplib.SMTPException, OSError):
        client.close()
        raise
    return client


def _words(error: smtplib.SMTPAuthenticationError) -> str:
    text = error.smtp_error
    words = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return f"{error.smtp_code} {' '.join(words.split())}"
