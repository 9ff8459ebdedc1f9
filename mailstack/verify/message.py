"""A test message: how it is written, and the ways it is sent by. Reading it back is ``mailbox``'s.

SMTP with the standard library's smtplib; Postal's HTTP API with requests.
"""

import base64
import contextlib
import secrets
import smtplib
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from pathlib import Path
from typing import Literal, Protocol

import requests

from mailstack.verify.mailbox import Mailbox
from mailstack.verify.tls import strict

__all__ = ["ApiSubmission", "MessagePath", "SmtpSubmission", "Submission", "SubmissionError", "written"]

SECONDS = 30.0


class SubmissionError(RuntimeError):
    """The message was not taken. ``refused``: the server said no; else it was not reached, or did not answer."""

    def __init__(self, why: str, *, refused: bool) -> None:
        """``why`` is for people."""
        super().__init__(why)
        self.refused = refused


class Submission(Protocol):
    """A way to hand a message over."""

    def submit(self, sender: str, recipient: str, message: bytes) -> str:
        """Return what the server said. Raises SubmissionError."""


@dataclass(frozen=True, kw_only=True)
class MessagePath:
    """Who writes to whom, how it is handed over, and where it arrives. ``seconds`` is how long it may be on its way.

    ``authserv_id`` names the server whose Authentication-Results count; None: the topmost that arrived. ``told`` says
    which way it goes, for people.
    """

    sender: str
    recipient: str
    submission: Submission
    mailbox: Mailbox
    seconds: float = 120.0
    authserv_id: str | None = None
    told: str = ""


def written(sender: str, recipient: str, token: str) -> bytes:
    """Return the test message; ``token`` is its subject and in its Message-ID."""
    message = EmailMessage(policy=SMTP)
    message["From"], message["To"], message["Subject"] = sender, recipient, token
    message["Date"] = formatdate()
    message["Message-ID"] = f"<{token}@{sender.rpartition('@')[2]}>"
    message["List-Unsubscribe"] = f"<mailto:{sender}?subject=unsubscribe>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice is to come back
    message.set_content(
        f"mailstack verify sent this message to see how mail arrives here.\nYou may delete it.\n{token}\n"
    )
    return message.as_bytes()


def new_token() -> str:
    """Return what tells one test message from any other."""
    return f"mailstack-verify-{secrets.token_hex(8)}"


@dataclass(frozen=True, kw_only=True)
class SmtpSubmission:
    """SMTP. ``tls`` is ``starttls``, ``implicit`` or ``none``; a name and password are only sent within TLS.

    ``authorities`` is a PEM file of further trusted authorities.
    """

    host: str
    port: int = 587
    tls: Literal["starttls", "implicit", "none"] = "starttls"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    authorities: Path | None = None
    helo: str | None = None

    def submit(self, sender: str, recipient: str, message: bytes) -> str:
        """Send it to one recipient."""
        trust = strict(self.authorities)
        try:
            with self._conversation(trust) as client:
                if self.tls == "starttls":
                    client.starttls(context=trust)
                if self.username is not None:
                    if self.tls == "none":
                        raise SubmissionError("a password is not sent without TLS", refused=False)
                    client.login(self.username, self.password or "")
                client.ehlo_or_helo_if_needed()
                for code, text in (client.mail(sender), client.rcpt(recipient), client.data(message)):
                    said = f"{code} {' '.join(text.decode('utf-8', 'replace').split())}"
                    if not 200 <= code < 300:
                        raise SubmissionError(said, refused=True)
                return said
        except smtplib.SMTPResponseException as error:
            said = error.smtp_error.decode("utf-8", "replace") if isinstance(error.smtp_error, bytes) else ""
            raise SubmissionError(f"{error.smtp_code} {said}", refused=True) from None
        except (smtplib.SMTPException, OSError) as error:
            raise SubmissionError(f"{self.host}:{self.port}: {error}", refused=False) from None

    @contextlib.contextmanager
    def _conversation(self, trust: ssl.SSLContext) -> Iterator[smtplib.SMTP]:
        client = self._connected(trust)
        try:
            yield client
        finally:
            # What the server has taken or refused stays so, whatever it says to the farewell.
            with contextlib.suppress(smtplib.SMTPException, OSError):
                client.quit()

    def _connected(self, trust: ssl.SSLContext) -> smtplib.SMTP:
        if self.tls == "implicit":
            return smtplib.SMTP_SSL(self.host, self.port, self.helo, timeout=SECONDS, context=trust)
        return smtplib.SMTP(self.host, self.port, self.helo, timeout=SECONDS)


@dataclass(frozen=True, kw_only=True)
class ApiSubmission:
    """Postal's HTTP API, ``/api/v1/send/raw`` (its legacy API; the key is that of an API credential)."""

    url: str
    key: str = field(repr=False)
    authorities: Path | None = None

    def submit(self, sender: str, recipient: str, message: bytes) -> str:
        """Send it to one recipient."""
        body = {"mail_from": sender, "rcpt_to": [recipient], "data": base64.b64encode(message).decode()}
        try:
            reply = requests.post(
                f"{self.url.rstrip('/')}/api/v1/send/raw",
                json=body,
                headers={"X-Server-API-Key": self.key},
                timeout=SECONDS,
                verify=True if self.authorities is None else str(self.authorities),
            )
        except requests.RequestException as error:
            raise SubmissionError(f"{self.url}: {type(error).__name__}", refused=False) from None
        try:
            status = str(reply.json()["status"])
        except (ValueError, KeyError, TypeError):
            status = "no answer of Postal's API"
        if status != "success":
            raise SubmissionError(f"{self.url}: HTTP {reply.status_code}, {status}", refused=True)
        return f"{self.url}: {status}"
