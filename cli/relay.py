"""Commands about a running relay: relay show-config, test, logs, and relay queue list, flush, hold, release, delete."""

import re
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import JsonOption, StackOption, in_dns, named, print_json, say, tell
from cli.following import follow_all
from cli.operate_options import (
    HostOption,
    IdentityOption,
    PodOption,
    YesOption,
    address,
    agree,
    duration,
    entry_of,
)
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mailstack.operate.relay import Operation, QueueView
    from mailstack.plan import Plan
    from mailstack.postfix.queue_view import Choice
    from mailstack.reach.entry import Entry
    from mailstack.reach.place import Place

__all__ = ["relay"]

relay = typer.Typer(
    help="The running relay: its configuration, queue and log, and a test message.", no_args_is_help=True
)
queue = typer.Typer(
    help="The relay's queue: what waits, since when and why, and what to do with it.", no_args_is_help=True
)
relay.add_typer(queue, name="queue")

IdOption = Annotated[list[str] | None, typer.Option("--id", help="queue id; may be repeated", show_default=False)]
SenderOption = Annotated[
    list[str] | None,
    typer.Option("--sender", help="envelope sender, @example.com for a domain, <> for bounces", show_default=False),
]
RecipientOption = Annotated[
    list[str] | None, typer.Option("--recipient", help="recipient, @example.com for a domain", show_default=False)
]
OlderOption = Annotated[
    str | None, typer.Option("--older-than", help="at least so old: 90s, 15m, 6h or 2d", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="every message")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, max=1000, help="how many messages to show")]
# Without the mark of its queue that `postqueue -p` puts behind it; without a pattern's star before a domain.
QUEUE_ID = re.compile(r"[0-9A-Za-z]+")
MAIL_ADDRESS = re.compile(r"(?!\*@)[^\s]*@[^\s@]+")
FIRST_SHOWN = 5
LOG_SECONDS = 86400.0


@relay.command("show-config")
def show_config(
    stack: StackOption,
    *,
    host: HostOption = None,
    pod: PodOption = None,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print what Postfix runs by (postconf -n), and what differs from the declaration. Exits with 2 on a difference.

    Exits with 1 where a host or pod could not be asked.
    """
    from cli.operate_show import show_configurations
    from mailstack.operate.relay import configurations

    entry = entry_of(stack, identity)
    found = configurations(entry.relay(host=host, pod=pod), _declared(entry))
    print_json(found) if as_json else show_configurations(found, stack)
    if any(one["error"] for one in found):
        raise typer.Exit(1)
    raise typer.Exit(2 if any(one["differences"] for one in found) else 0)


def _declared(entry: "Entry") -> "Plan | None":
    """Return the plan; None for who has a key for SSH of their own, and not what opens the stack's configuration."""
    from mailstack.settings.stackfile import StackFileError

    try:
        return entry.plan
    except StackFileError as error:
        if entry.identity is None:
            raise
        tell(f"not compared with what is declared: {error}")
        return None


@relay.command("test")
def try_out(
    stack: StackOption,
    to: Annotated[str, typer.Option("--to", help="recipient", show_default=False)],
    *,
    sender: Annotated[
        str | None,
        typer.Option("--from", help="sender (default: the relay's own, output smtp_environment)", show_default=False),
    ] = None,
    deadline: Annotated[str, typer.Option("--deadline", help="how long it is followed")] = "2m",
    host: HostOption = None,
    pod: PodOption = None,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Send a test message through every host or pod of the relay and follow it to what becomes of it.

    Exits with 1 where it was not sent, and says the upstream's reply, its cause and the fix.
    """
    from cli.operate_show import show_tried
    from mailstack.operate.relay import deliver

    seconds = duration("--deadline", deadline) or 0.0
    to, sender = address("--to", to), None if sender is None else address("--from", sender)
    entry = entry_of(stack, identity)
    places = entry.relay(host=host, pod=pod)
    at = entry.operations.relay
    if at is None:
        raise wrong_call(f"stack {stack} has no relay")
    tried = [
        deliver(place, at, sender=sender or at.sender, recipient=to, seconds=seconds, say=tell) for place in places
    ]
    if as_json:
        print_json(named([one.document() for one in tried], stack))
    else:
        show_tried(tried, stack)
    raise typer.Exit(0 if all(one.state == "sent" for one in tried) else 1)


@relay.command("logs")
def logs(
    stack: StackOption,
    *,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="go on with what comes, until Ctrl-C")] = False,
    ids: IdOption = None,
    sender: SenderOption = None,
    recipient: RecipientOption = None,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", help="how far back, such as 15m or 6h (default: 1d; with --follow: now)", show_default=False
        ),
    ] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, max=100_000, help="at most so many, the last")] = 200,
    host: HostOption = None,
    pod: PodOption = None,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the relay's log: all of it, or every line of the messages that are chosen.

    Exits with 1 where a host or pod could not be asked.
    """
    from mailstack.operate import relay as relays
    from mailstack.postfix.log_search import LogChoice

    choice = LogChoice(*_named(ids, sender, recipient))
    seconds = duration("--since", since)
    if seconds is None:
        seconds = 0.0 if follow else LOG_SECONDS
    if follow and as_json:
        raise wrong_call("--json is one document, and a log that is followed has no end: leave out one of them")
    places = entry_of(stack, identity).relay(host=host, pod=pod)
    if follow:
        follow_all({place.name: partial(relays.follow, place, choice, since=seconds) for place in places})
        return
    found, unseen = relays.all_logs(places, choice, since=seconds, limit=lines)
    if not found:
        raise RuntimeError("\n".join(f"{name} could not be asked: {why}" for name, why in unseen.items()))
    for name, why in unseen.items():
        tell(f"{name} could not be asked: {why}")
    if as_json:
        print_json({"unseen": unseen, "places": found})
        raise typer.Exit(int(bool(unseen)))
    for name, told in found.items():
        for line in told:
            say(f"{name}  {line}" if len(places) > 1 else line)
    if not any(found.values()):
        tell("no line of the log is about that" if not choice.everything else "the log is empty")
    raise typer.Exit(int(bool(unseen)))


@queue.command("list")
def list_(
    stack: StackOption,
    *,
    ids: IdOption = None,
    sender: SenderOption = None,
    recipient: RecipientOption = None,
    older_than: OlderOption = None,
    limit: LimitOption = 20,
    host: HostOption = None,
    pod: PodOption = None,
    identity: IdentityOption = None,
    as_json: JsonOption = False,
) -> None:
    """List what waits: counts by queue, age, domain and reason, and the oldest messages.

    Exits with 1 where a host or pod could not be asked.
    """
    from cli.operate_show import show_queue
    from mailstack.operate.relay import queues

    choice = _choice(ids, sender, recipient, older_than, everything=False)
    found = queues(entry_of(stack, identity).relay(host=host, pod=pod), choice, limit)
    print_json(found.document()) if as_json else show_queue(found, limit)
    raise typer.Exit(1 if found.unseen else 0)


ABOUT: "Mapping[Operation, str]" = {
    "flush": "Try again now what waits, without waiting for its turn. What is on hold stays there.",
    "hold": "Keep messages in the queue until they are released: nothing is tried, nothing expires.",
    "release": "Let messages go that are on hold, and try them at once.",
    "delete": "Delete messages: nobody gets them, and their senders are not told.",
}


def _add(operation: "Operation", about: str) -> None:
    """Add a command of the queue: all of them choose messages, and ask, in the same way."""

    @queue.command(operation, help=about)
    def command(
        stack: StackOption,
        *,
        ids: IdOption = None,
        sender: SenderOption = None,
        recipient: RecipientOption = None,
        older_than: OlderOption = None,
        everything: AllOption = False,
        host: HostOption = None,
        pod: PodOption = None,
        identity: IdentityOption = None,
        yes: YesOption = False,
        as_json: JsonOption = False,
    ) -> None:
        choice = _choice(ids, sender, recipient, older_than, everything=everything)
        _some(operation, choice)
        _act(entry_of(stack, identity).relay(host=host, pod=pod), operation, choice, yes=yes, as_json=as_json)


for _operation, _about in ABOUT.items():
    _add(_operation, _about)


def _choice(
    ids: list[str] | None,
    senders: list[str] | None,
    recipients: list[str] | None,
    older_than: str | None,
    *,
    everything: bool,
) -> "Choice":
    from mailstack.postfix.queue_view import Choice

    known, who, to_whom = _named(ids, senders, recipients)
    return Choice(
        ids=known,
        senders=who,
        recipients=to_whom,
        older_than=duration("--older-than", older_than),
        everything=everything,
    )


def _named(
    ids: list[str] | None, senders: list[str] | None, recipients: list[str] | None
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    """Return what chooses messages. What no message can have is a wrong call: nobody is to read "none" from it.

    An empty text, of a variable that is not set, would be the null sender of every bounce.
    """
    for one in ids or ():
        if not QUEUE_ID.fullmatch(one):
            raise wrong_call(f"--id {one!r} is no queue id: write its letters and digits alone, such as 4bJxYz1234z5")
    for flag, texts in (("--sender", senders), ("--recipient", recipients)):
        for one in texts or ():
            if not (MAIL_ADDRESS.fullmatch(one) or (one == "<>" and flag == "--sender")):
                bounces = ", <> for bounces" if flag == "--sender" else ""
                raise wrong_call(f"{flag} {one!r}: write name@example.com, @example.com for a whole domain{bounces}")
    return tuple(ids or ()), _in_both_forms(senders or ()), _in_both_forms(recipients or ())


def _in_both_forms(addresses: "Iterable[str]") -> tuple[str, ...]:
    """Return addresses as they were given and, of an internationalised domain, as DNS has it: mail may have either."""
    parts = [one.rpartition("@") for one in addresses]
    forms = [(f"{local}{at}{domain}", f"{local}{at}{in_dns(domain)}") for local, at, domain in parts]
    return tuple(one for given, sent in forms for one in ((given,) if given.isascii() else (given, sent)))


def _some(operation: "Operation", choice: "Choice") -> None:
    if choice.empty:
        raise wrong_call(
            f"which messages? Say --id, --sender, --recipient or --older-than, or --all to {operation} all"
        )
    if choice.everything and not _alone(choice):
        raise wrong_call("--all means every message: leave it out, or leave out what chooses some of them")


def _act(places: "list[Place]", operation: "Operation", choice: "Choice", *, yes: bool, as_json: bool) -> None:
    from mailstack.operate.relay import act, trial

    places, left_out = _running(places)
    try:
        found = trial(places, operation, choice)
    except RuntimeError:
        tell("nothing was done anywhere, since one could not be asked; --host NAME, or --pod NAME, takes one alone")
        raise
    if found.count:
        word = f"delete {found.count}" if operation == "delete" and choice.everything else None
        agree(_told(operation, found), yes=yes or operation == "flush", word=word)
    done = act(places, operation, choice, found) if found.count else None
    if as_json:
        places_done = {place.name: {"done": 0, "not_done": []} for place in places}
        nothing = {"operation": operation, "done": 0, "failed": {}, "places": places_done}
        print_json({**(done.document() if done else nothing), "left_out": left_out})
        raise typer.Exit(int(bool(done and done.failed)))
    if done is None:
        say("no such message is in the queue")
        return
    say(f"{PAST[operation]} {_messages(sum(done.done.values()))}")
    for name, left in done.not_done.items():
        if left:
            say(f"{name}: {_messages(len(left))} had left the queue meanwhile: {', '.join(left[:FIRST_SHOWN])}")
    for name, why in done.failed.items():
        tell(f"{name}: nothing is known to have been done there: {why}")
    raise typer.Exit(int(bool(done.failed)))


PAST = {"flush": "tried", "hold": "held", "release": "released", "delete": "deleted"}
WILL = {
    "flush": ("will be tried now",) * 2,
    "hold": ("will be kept until it is released", "will be kept until they are released"),
    "release": ("will be released and tried now",) * 2,
    "delete": (
        "will be deleted: nobody gets it, and its sender is not told",
        "will be deleted: nobody gets them, and their senders are not told",
    ),
}


def _running(places: "list[Place]") -> "tuple[list[Place], dict[str, str]]":
    """Return the places that run and, with the reason, those that do not: nothing can be done there.

    Raises StoppedError where none runs.
    """
    from mailstack.reach.place import StoppedError, StoppedPlace

    stopped = [place for place in places if isinstance(place, StoppedPlace)]
    if len(stopped) == len(places):
        raise StoppedError("; ".join(f"{place.name} does not run: {place.why}" for place in stopped))
    for place in stopped:
        tell(f"{place.name} is left out, with what waits there: {place.why}")
    return [place for place in places if place not in stopped], {place.name: place.why for place in stopped}


def _alone(choice: "Choice") -> bool:
    return not (choice.ids or choice.senders or choice.recipients or choice.older_than is not None)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _told(operation: str, found: "QueueView") -> list[str]:
    from mailstack.operate.ages import age

    lines = [f"{_messages(found.count)} {WILL[operation][found.count > 1]}:"]
    for name, messages in found.messages.items():
        whole = int(found.summaries[name]["messages"])
        for message in messages[:FIRST_SHOWN]:
            to = ", ".join(one["address"] for one in message["recipients"][:3])
            sender = message["sender"] or "<>"
            lines.append(f"  {name}  {message['id']}  {age(message['age_seconds'])} old  {sender} to {to}")
        if whole > FIRST_SHOWN:
            lines.append(f"  {name}  and {whole - FIRST_SHOWN} more")
    return lines
