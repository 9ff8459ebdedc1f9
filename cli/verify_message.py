"""The test message of `mailstack verify --message`: by a stack's own way, or by the way that flags describe."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from cli.verify_options import option, wrong_call

if TYPE_CHECKING:
    from mailstack.plan import Plan
    from mailstack.verify.around import Around
    from mailstack.verify.message import MessagePath

__all__ = [
    "FromOption",
    "ImapOption",
    "MessageFlags",
    "MessageOption",
    "SmtpOption",
    "SmtpTlsOption",
    "ToOption",
    "message_flags",
    "message_path_of",
]

PANEL = "The test message"
IMAP_PASSWORD, SMTP_PASSWORD = "MAILSTACK_IMAP_PASSWORD", "MAILSTACK_SMTP_PASSWORD"
IMAPS, SMTPS = 993, 465
Tls = Literal["starttls", "implicit", "none"]
MessageFlags = dict[str, str | None]

MessageOption = Annotated[
    bool, option("--message", about="send a test message and read it back, as verify.message says", panel=PANEL)
]
FromOption = Annotated[
    str | None, option("--message-from", about="without a stack: its sender", panel=PANEL, metavar="ADDRESS")
]
ToOption = Annotated[
    str | None, option("--message-to", about="without a stack: its recipient", panel=PANEL, metavar="ADDRESS")
]
SmtpOption = Annotated[
    str | None,
    option(
        "--smtp",
        about=f"without a stack: who takes it; a user's password from {SMTP_PASSWORD} or asked for",
        panel=PANEL,
        metavar="[USER@]HOST:PORT",
    ),
]
SmtpTlsOption = Annotated[
    str | None,
    option("--smtp-tls", about="starttls, implicit or none [starttls, 465: implicit]", panel=PANEL, metavar="TLS"),
]
ImapOption = Annotated[
    str | None,
    option(
        "--imap",
        about=f"without a stack: where it arrives; the password from {IMAP_PASSWORD} or asked for",
        panel=PANEL,
        metavar="USER@HOST[:PORT][/FOLDER]",
    ),
]


def message_flags(
    sender: str | None, recipient: str | None, smtp: str | None, smtp_tls: str | None, imap: str | None
) -> MessageFlags:
    """Return the flags that describe a way, by their names."""
    return {"--message-from": sender, "--message-to": recipient, "--smtp": smtp, "--imap": imap, "--smtp-tls": smtp_tls}


def message_path_of(
    flags: MessageFlags, around: "Around", *, wanted: bool, plan: "Callable[[], Plan] | None", stack: str | None
) -> "MessagePath | None":
    """Return the way of the test message, and say on standard error which it is; None where none is ``wanted``.

    ``plan`` makes the stack's plan with its secrets. A way that is not told in full is a wrong call.
    """
    given = [flag for flag, value in flags.items() if value is not None]
    if not wanted:
        if given:
            raise wrong_call(f"{given[0]} goes with --message")
        return None
    if plan is not None:
        if given:
            raise wrong_call(f"{given[0]} goes with --domain alone: verify.message of stack {stack} says it")
        path = _declared(plan(), around, stack)
    else:
        path = _described(flags, around)
    sys.stderr.write(f"the test message from {path.sender} to {path.recipient} goes by {path.told}\n")
    return path


def _declared(plan: "Plan", around: "Around", stack: str | None) -> "MessagePath":
    from mailstack.plan.message_path import message_path

    path = message_path(plan, around)
    if path is None:
        raise wrong_call(
            f"--message: stack {stack} declares none; write verify.message (docs/how-to/verify-connections.md), or "
            "describe the way with --domain, --message-from, --message-to, --smtp and --imap"
        )
    return path


def _described(flags: MessageFlags, around: "Around") -> "MessagePath":
    from mailstack.verify.mailbox import ImapMailbox
    from mailstack.verify.message import MessagePath, SmtpSubmission

    missing = [flag for flag in ("--message-from", "--message-to", "--smtp", "--imap") if not flags[flag]]
    if missing:
        raise wrong_call(f"--message without --stack needs {', '.join(missing)}")
    sender, recipient = (_mail_address(flag, flags[flag] or "") for flag in ("--message-from", "--message-to"))
    user, smtp_host, smtp_port, _ = _place("--smtp", flags["--smtp"] or "", None)
    owner, host, port, folder = _place("--imap", flags["--imap"] or "", IMAPS)
    if owner is None:
        raise wrong_call(f"--imap {flags['--imap']!r}: whose mailbox? Write USER@HOST[:PORT][/FOLDER]")
    tls = flags["--smtp-tls"] or ("implicit" if smtp_port == SMTPS else "starttls")
    if tls not in {"starttls", "implicit", "none"}:
        raise wrong_call(f"--smtp-tls {tls!r}: use starttls, implicit or none")
    if user is not None and tls == "none":
        raise wrong_call("--smtp-tls none: a password is not sent without TLS")
    return MessagePath(
        sender=sender,
        recipient=recipient,
        submission=SmtpSubmission(
            host=smtp_host,
            port=smtp_port,
            tls=cast("Tls", tls),
            username=user,
            password=None if user is None else _password(SMTP_PASSWORD, f"password of {user} at {smtp_host}"),
            authorities=around.authorities,
            helo=around.helo or None,
        ),
        mailbox=ImapMailbox(
            host=host,
            port=port,
            username=owner,
            password=_password(IMAP_PASSWORD, f"password of {owner} at {host}"),
            folder=folder or "INBOX",
            authorities=around.authorities,
        ),
        told=f"{smtp_host}:{smtp_port}" + (f", logged in as {user}" if user else " without login"),
    )


def _mail_address(flag: str, text: str) -> str:
    local, at, domain = text.rpartition("@")
    if not (local and at and domain) or any(one.isspace() or one in "<>" for one in text):
        raise wrong_call(f"{flag} {text!r}: must be a mail address, such as probe@example.com")
    return text


def _place(flag: str, text: str, usual: int | None) -> tuple[str | None, str, int, str | None]:
    """Return user, host, port and what follows a slash. A user may be a mail address: the last @ counts."""
    user, at, rest = text.rpartition("@")
    rest, slash, folder = rest.partition("/")
    if rest.startswith("["):
        host, _, end = rest[1:].partition("]")
        port = end.removeprefix(":")
    else:
        host, _, port = rest.partition(":")
    number = int(port) if port.isdecimal() else usual if not port else None
    if not host or number is None or not 0 < number < 65536:
        raise wrong_call(f"{flag} {text!r}: must name a host and a port, such as mail.example.com:{usual or 587}")
    return (user if at else None), host, number, (folder if slash else None)


def _password(variable: str, what: str) -> str:
    """Return a password from the environment, else from a person. Never from an argument: everybody can read those."""
    found = os.environ.get(variable)
    if found:
        return found
    if not sys.stdin.isatty():
        raise wrong_call(f"the {what} is not known: set {variable}")
    return str(typer.prompt(what, hide_input=True, err=True))
