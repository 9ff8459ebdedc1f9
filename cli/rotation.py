"""Commands of ``mailstack rotate`` beside ``dkim``: relay-password, postal-credential, certificate."""

import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import ROOT, JsonOption, StackOption, today
from cli.records import finish, rotate

if TYPE_CHECKING:
    from cli.rotate_secrets import Rotation

__all__ = ["rotate"]

CheckOption = Annotated[bool, typer.Option("--check", help="only say the step")]


class CredentialType(StrEnum):
    """Kinds of Postal's keys."""

    SMTP = "SMTP"
    API = "API"


def _rotation(stack: str, say: Callable[[str], None], *, check: bool) -> "Rotation":
    from cli.rotate_secrets import Rotation

    return Rotation(stack=stack, root=ROOT, today=today(), say=say, check=check)


def _typed(text: str) -> str:
    """Return a secret: typed unseen in a terminal, else the first line of standard input."""
    if sys.stdin.isatty():
        return str(typer.prompt(text, hide_input=True, err=True))
    return sys.stdin.readline().rstrip("\n")


@rotate.command("relay-password")
def relay_password(
    stack: StackOption,
    *,
    upstream: Annotated[
        str | None, typer.Option("--upstream", help="one of relay.upstreams; without it relay.upstream")
    ] = None,
    username: Annotated[
        str | None, typer.Option("--username", help="the new login, where that changes too (SES, Mailgun)")
    ] = None,
    untried: Annotated[
        bool, typer.Option("--untried", help="store it though the upstream could not be asked from here")
    ] = False,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Store a new password of the relay at its upstream, once the upstream has taken it.

    The password is asked for, or read from standard input. Exits with 2 where it is not proven.
    """
    from cli.rotate_secrets import relay_password as step

    def take(say: Callable[[str], None]) -> int:
        rotation = _rotation(stack, say, check=check)
        return step(rotation, upstream=upstream, username=username, ask=_typed, untried=untried)

    finish(stack, take, check=check, as_json=as_json)


@rotate.command("postal-credential")
def postal_credential(
    name: Annotated[str, typer.Argument(help="name of the key", metavar="NAME")],
    stack: StackOption,
    *,
    server: Annotated[
        str | None, typer.Option("--server", help="mail server, as company/apps, where several have such a key")
    ] = None,
    kind: Annotated[CredentialType | None, typer.Option("--type", help="where the name is that of two keys")] = None,
    quiet_hours: Annotated[
        int, typer.Option("--quiet-hours", min=1, help="how long the old key has to have rested")
    ] = 24,
    unseen: Annotated[
        bool, typer.Option("--unseen", help="do not ask Postal when the keys were last used: you answer for it")
    ] = False,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Add a second key beside one of Postal's, or remove the old one once nobody uses it.

    Exits with 2 where it is too early.
    """
    from cli.operate_options import entry_of
    from cli.rotate_secrets import postal_credential as step
    from mailstack.operate.postal import Postal

    def take(say: Callable[[str], None]) -> int:
        return step(
            _rotation(stack, say, check=check),
            name,
            server=server,
            kind=None if kind is None else kind.value,
            used=None if unseen else lambda: Postal(entry=entry_of(stack)).credentials(),
            quiet=timedelta(hours=quiet_hours),
            now=datetime.now(UTC),
        )

    finish(stack, take, check=check, as_json=as_json)


@rotate.command()
def certificate(
    name: Annotated[str, typer.Argument(help="a name the stack has a certificate for", metavar="NAME")],
    stack: StackOption,
    *,
    certificate_file: Annotated[
        Path | None,
        typer.Option("--certificate", exists=True, dir_okay=False, help="the new certificate and its chain (PEM)"),
    ] = None,
    key: Annotated[Path | None, typer.Option("--key", exists=True, dir_okay=False, help="its key (PEM)")] = None,
    check: CheckOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put a new certificate of your own in place, once it is fit; say how Caddy's are renewed.

    Exits with 2 where it is not fit.
    """
    from cli.rotate_secrets import certificate as step

    def take(say: Callable[[str], None]) -> int:
        rotation = _rotation(stack, say, check=check)
        return step(rotation, name, chain=certificate_file, key=key, now=datetime.now(UTC))

    finish(stack, take, check=check, as_json=as_json)
