"""`mailstack send`: one message by the way that the stack's applications have."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.common import ROOT, JsonOption, StackOption, named, print_json, say, tell
from cli.operate_options import (
    HostOption,
    IdentityOption,
    PodOption,
    address,
    duration,
    entry_of,
)
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from mailstack.operate.sending import Sent

__all__ = ["EPILOG", "send"]

EPILOG = (
    "Passwords and keys come from the stack's secret outputs, never from an argument. "
    "Exit codes: 0 it was taken (with --wait: delivered); 1 it was not, with cause and fix; 2 wrong call."
)
STYLES = {"accepted": "green", "delivered": "green", "sent": "green", "waiting": "yellow", "deferred": "yellow"}


class Via(StrEnum):
    """Ways in."""

    SMTP = "smtp"
    API = "api"
    RELAY = "relay"


def send(
    stack: StackOption,
    sender: Annotated[str, typer.Option("--from", help="sender", show_default=False)],
    to: Annotated[list[str], typer.Option("--to", help="recipient; may be repeated", show_default=False)],
    *,
    via: Annotated[
        Via | None,
        typer.Option("--via", help="Postal by SMTP or HTTP API, or the relay (default: smtp; without Postal: relay)"),
    ] = None,
    server: Annotated[
        str | None,
        typer.Option(
            "--server", help="mail server of Postal, such as company/apps (default: the sender's)", show_default=False
        ),
    ] = None,
    credential: Annotated[
        str | None, typer.Option("--credential", help="which of its keys (default: the first)", show_default=False)
    ] = None,
    subject: Annotated[str, typer.Option("--subject")] = "Test message",
    body: Annotated[str, typer.Option("--body")] = "mailstack send sent this message.",
    eml: Annotated[
        Path | None, typer.Option("--eml", help="a whole message instead of --subject and --body", show_default=False)
    ] = None,
    wait: Annotated[
        str, typer.Option("--wait", help="api: ask what became of it, relay: follow it, for so long")
    ] = "60s",
    ca: Annotated[
        Path | None, typer.Option("--ca", help="PEM file of an authority that signed the certificates, too")
    ] = None,
    host: HostOption = None,
    pod: PodOption = None,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a message by the stack's own way and tell what became of it."""
    from mailstack.operate.sending import compose, in_lines
    from mailstack.reach.environment import resolving

    seconds = duration("--wait", wait) or 0.0
    sender, to = address("--from", sender), [address("--to", one) for one in to]
    if len(subject.splitlines()) > 1:
        raise wrong_call("--subject is one line")
    for flag, text in (("--subject", subject), ("--body", body)):
        # What a terminal of another encoding hands over comes as half characters.
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise wrong_call(f"{flag} is no UTF-8: use a terminal that is, or a file with --eml")
    if ca is not None:
        _readable(ca)
    if via is None:
        via = Via.RELAY if entry_of(stack).operations.postal is None else Via.SMTP
    if eml is not None:
        try:
            message = in_lines(eml.read_bytes())
        except OSError as error:
            raise wrong_call(f"--eml {eml} cannot be read: {error}") from None
    else:
        message = compose(sender, to, subject, body + "\n")
    if via is Via.RELAY:
        told = _by_relay(stack, sender, to, message, seconds, host=host, pod=pod, identity=identity)
    else:
        with resolving(os.environ):
            sent = _by_postal(stack, via, sender, to, message, seconds, server, credential, ca)
        told = [_document(one, via) for one in sent]
    if as_json:
        print_json(named(told, stack))
    else:
        _show(told, stack)
    raise typer.Exit(0 if all(one["fine"] for one in told) else 1)


def _readable(authorities: Path) -> None:
    """Refuse a file with no certificate in it before anything is sent: each way would fail at it in its own words."""
    import ssl

    try:
        ssl.create_default_context().load_verify_locations(cafile=authorities)
    except OSError as error:
        why = "no certificate (PEM) is in it" if isinstance(error, ssl.SSLError) else error.strerror
        raise wrong_call(f"--ca {authorities} cannot be read: {why}") from None


def _by_postal(
    stack: str, via: Via, sender: str, to: list[str], message: bytes, seconds: float, server: str | None,
    credential: str | None, ca: Path | None,
) -> "list[Sent]":  # fmt: skip
    from mailstack.operate.sending import Sending, choose
    from mailstack.operate.sending import send as send_by
    from mailstack.reach.outputs import mail_servers

    servers = mail_servers(stack, ROOT)
    way = choose(servers, "api" if via is Via.API else "smtp", sender, server, credential)
    tell(f"by {via.value.upper()}: mail server {way.server}, credential {way.credential}")
    what = Sending(sender=sender, recipients=to, message=message)
    return send_by(way, what, wait_seconds=seconds, authorities=ca)


def _document(one: "Sent", via: Via) -> dict[str, Any]:
    return {
        "via": via.value, "outcome": one.outcome, "fine": one.fine, "recipient": one.recipient,
        "message_id": one.message_id, "number": one.number, "said": one.said, "cause": one.cause, "fix": one.fix,
    }  # fmt: skip


def _by_relay(
    stack: str, sender: str, to: list[str], message: bytes, seconds: float, *, host: str | None, pod: str | None,
    identity: Path | None,
) -> list[dict[str, Any]]:  # fmt: skip
    from mailstack.operate.relay import deliver
    from mailstack.operate.sending import message_id_of

    entry = entry_of(stack, identity)
    place = entry.relay(host=host, pod=pod)[0]
    at = entry.operations.relay
    if at is None:
        raise wrong_call(f"stack {stack} has no relay")
    text = message.decode("utf-8", "surrogateescape")
    found = []
    for recipient in to:
        one = deliver(
            place, at, sender=sender, recipient=recipient, seconds=seconds, content=text, say=tell
        )  # fmt: skip
        # Who does not wait asks no more than whether it is taken.
        outcome = "accepted" if one.state == "unknown" and seconds == 0 else one.state
        cause, fix = (one.cause.cause, one.cause.fix) if one.cause is not None else _open(outcome, one.queue_id)
        found.append(
            {
                "via": "relay", "outcome": outcome, "fine": outcome in {"sent", "accepted"}, "recipient": recipient,
                "message_id": message_id_of(message), "number": one.queue_id, "said": one.reply,
                "cause": cause, "fix": fix,
            }
        )  # fmt: skip
    return found


def _open(outcome: str, queue_id: str | None) -> tuple[str | None, str | None]:
    """Return cause and fix where no reply tells them."""
    if outcome == "unknown":
        look = f"`mailstack relay logs --stack <stack> --id {queue_id}` tells what became of it"
        return "the relay has it, and its log tells no outcome yet", f"do not send it again: {look}"
    if outcome == "unreachable":
        look = "`mailstack status --stack <stack>` shows what answers"
        return "no answer came from beside the relay", f"{look}; --host or --pod takes another"
    return None, None


def _show(told: list[dict[str, Any]], stack: str) -> None:
    from rich.text import Text

    from cli.operate_show import console_of

    console = console_of()
    for one in told:
        line = Text(f"{one['recipient']}: ").append(one["outcome"], style=STYLES.get(one["outcome"], "red"))
        line.append(f", {one['message_id']}" + (f", message {one['number']}" if one["number"] else ""))
        console.print(line, soft_wrap=True)
        if one["said"]:
            console.print(Text(f"  {one['said']}"), soft_wrap=True)
        for name in ("cause", "fix"):
            if one[name]:
                console.print(Text(f"  {name}: {one[name]}".replace("<stack>", stack)), soft_wrap=True)
    if any(one["outcome"] == "accepted" for one in told):
        say(f"what becomes of it: mailstack postal queue --stack {stack}, mailstack relay logs --stack {stack}")
