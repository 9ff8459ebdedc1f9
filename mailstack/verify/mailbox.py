"""Where a test message is read back. IMAP with the standard library's imaplib, over TLS that is verified."""

import contextlib
import imaplib
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mailstack.verify.tls import strict

__all__ = ["ImapMailbox", "Mailbox", "MailboxError"]

SECONDS = 15.0
LOOK_AGAIN_SECONDS = 2.0


class MailboxError(RuntimeError):
    """The mailbox could not be read; the text says why."""


class Mailbox(Protocol):
    """A mailbox that test messages arrive in."""

    def wait_for(self, subject: str, seconds: float) -> bytes | None:
        """Return the message with that subject as it arrived, headers and body; None where none came in time.

        Raises MailboxError.
        """


@dataclass(frozen=True, kw_only=True)
class ImapMailbox:
    """A folder of an IMAP account. Messages stay there, unread."""

    host: str
    username: str
    password: str = field(repr=False)
    port: int = 993
    folder: str = "INBOX"
    authorities: Path | None = None

    def wait_for(self, subject: str, seconds: float) -> bytes | None:
        """Look for the message until it is there, or until the time is over."""
        deadline = time.monotonic() + seconds
        trust = strict(self.authorities)
        try:
            with contextlib.ExitStack() as stack:
                box = imaplib.IMAP4_SSL(self.host, self.port, ssl_context=trust, timeout=SECONDS)
                stack.callback(_leave, box)
                box.login(self.username, self.password)
                status, said = box.select(f'"{self.folder}"', readonly=True)
                if status != "OK":
                    raise MailboxError(f"folder {self.folder}: {said!r}")
                while True:
                    found = _found(box, subject)
                    left = deadline - time.monotonic()
                    if found is not None or left <= 0:
                        return found
                    time.sleep(min(LOOK_AGAIN_SECONDS, left))
                    box.noop()
        except (imaplib.IMAP4.error, OSError) as error:
            raise MailboxError(f"{self.username} at {self.host}:{self.port}: {error}") from None


def _found(box: imaplib.IMAP4, subject: str) -> bytes | None:
    _, (numbers, *_) = box.search(None, "SUBJECT", f'"{subject}"')
    if not numbers:
        return None
    _, parts = box.fetch(numbers.split()[-1].decode(), "(BODY.PEEK[])")
    return next((bytes(part[1]) for part in parts if isinstance(part, tuple)), None)


def _leave(box: imaplib.IMAP4) -> None:
    with contextlib.suppress(imaplib.IMAP4.error, OSError):
        box.logout()
