"""What the day-2 commands share: their options, the way into the stack, and how they ask before they do."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import ROOT, tell
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from mailstack.reach.entry import Entry

__all__ = [
    "HostOption",
    "IdentityOption",
    "NotAgreedError",
    "PodOption",
    "SinceOption",
    "YesOption",
    "address",
    "agree",
    "duration",
    "entry_of",
]

PUBLIC_KEY = re.compile(r"\s*(ssh|ecdsa|sk-ssh|sk-ecdsa)-\S+ AAAA")
HostOption = Annotated[str | None, typer.Option("--host", help="only this host of the stack", show_default=False)]
PodOption = Annotated[str | None, typer.Option("--pod", help="only this pod", show_default=False)]
IdentityOption = Annotated[
    Path | None,
    typer.Option(
        "--identity",
        help="file with a private key for SSH, instead of the stack's own; without either, the SSH agent",
        show_default=False,
    ),
]
YesOption = Annotated[bool, typer.Option("--yes", help="do not ask: do what is said")]
SinceOption = Annotated[
    str | None, typer.Option("--since", help="how far back, such as 90s, 15m, 6h or 2d", show_default=False)
]


def entry_of(stack: str, identity: Path | None = None, *, told: object = None) -> "Entry":
    """Return the ways into a stack, from its outputs; ``told`` is output ``operations`` where it was read already.

    Raises OutputError where it tells none.
    """
    from mailstack.reach.entry import Entry
    from mailstack.reach.operations import parse_operations, read_operations

    key = None
    if identity is not None:
        try:
            key = identity.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise wrong_call(f"--identity {identity} cannot be read: {error}") from None
        if PUBLIC_KEY.match(key):
            raise wrong_call(f"--identity {identity} is the public half of a key: name the other file, without .pub")
    operations = read_operations(stack, ROOT) if told is None else parse_operations(told, stack)
    return Entry(operations=operations, stack=stack, folder=ROOT, identity=key)


def address(flag: str, text: str) -> str:
    """Return a mail address, its domain as DNS has it; what is none is a wrong call, and nothing was asked of anybody.

    What stands before the @ has to be ASCII: nothing is sent here by SMTPUTF8, which few receivers take.
    """
    from pydantic import TypeAdapter, ValidationError

    from mailstack.settings.types import EmailAddress

    try:
        return str(TypeAdapter(EmailAddress).validate_python(text))
    except ValidationError:
        plain = "" if text.rpartition("@")[0].isascii() else ", with ASCII letters alone before the @"
        raise wrong_call(f"{flag} {text!r} is no mail address: write it as name@example.com{plain}") from None


def duration(flag: str, text: str | None) -> float | None:
    """Return the seconds of an option such as ``15m``; a wrong one is a wrong call."""
    from mailstack.operate.relay import seconds_of

    if text is None:
        return None
    try:
        return seconds_of(text)
    except ValueError as error:
        raise wrong_call(f"{flag} {error}") from None


class NotAgreedError(RuntimeError):
    """A person said no, or left at the question."""


def agree(told: Sequence[str], *, yes: bool, word: str | None = None) -> None:
    """Say what goes, and return only when a person, or ``--yes``, agrees. Without a terminal and ``--yes``: refuse.

    ``word`` has to be typed where a mere y is too little. Raises a wrong call for a refusal by the rules,
    NotAgreedError for a person's no.
    """
    for line in told:
        tell(line)
    if yes:
        return
    if not sys.stdin.isatty():
        raise wrong_call("nobody is here to be asked, and nothing was done: say --yes")
    try:
        if word is None:
            agreed = typer.confirm("Go on?", default=False, err=True)
        else:
            typed = str(typer.prompt(f"Type {word!r} to go on", err=True, default="", show_default=False))
            agreed = typed.strip() == word
    except typer.Abort:  # Ctrl-C or Ctrl-D, which end no line
        tell("")
        agreed = False
    if not agreed:
        raise NotAgreedError("nothing was done")
