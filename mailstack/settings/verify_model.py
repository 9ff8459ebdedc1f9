"""The shape of ``verify``: whether `pulumi up` ends with a look from outside."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mailstack.settings.section import Section
from mailstack.settings.types import EmailAddress, HostName, OneLineSecret, Port, ShortText

__all__ = ["MessageMailbox", "Verify", "VerifyMessage"]


def _off(value: Any) -> Any:
    """Take YAML 1.1's word for false as the text it looks like: PyYAML reads ``off`` so, the engine does not."""
    return "off" if value is False else value


class MessageMailbox(Section):
    """The mailbox that a test message is read back from: IMAP within TLS. What is read stays there, unread."""

    host: HostName = Field(description="IMAP server; its certificate is verified for this name.")
    port: Port = Field(default=993, description="Its port; TLS from the first byte.")
    username: ShortText = Field(description="Login name.")
    password: OneLineSecret = Field(description="Password; of the mailbox's owner, or one for this program alone.")
    folder: ShortText = Field(default="INBOX", description="Folder that the message arrives in.")


class VerifyMessage(Section):
    """A message that `mailstack verify --message` sends by the stack's own way, and waits for."""

    sender: EmailAddress = Field(description="From; its domain is one of `domains` that sends.")
    recipient: EmailAddress = Field(description="To: the address of the mailbox, better at another provider.")
    imap: MessageMailbox = Field(description="Where it is read back.")


class Verify(Section):
    """The checks of `mailstack verify` at the end of `pulumi up`; see docs/how-to/verify.md."""

    after_up: Annotated[Literal["off", "warn", "fail"], BeforeValidator(_off)] = Field(
        default="off",
        description="off: nobody looks. warn: what is wrong is told. fail: the update ends with an error, "
        "once everything else was made.",
    )
    seconds: int = Field(
        default=60, ge=5, le=600, description="Time for all checks; what is not seen by then is unknown."
    )
    checks: tuple[str, ...] = Field(default=(), description="Names or groups (A to G) of checks. Empty: all of them.")
    message: VerifyMessage | None = Field(
        default=None, description="A test message, for `mailstack verify --message` and for `after_up`."
    )
