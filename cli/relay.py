"""Commands about a running relay: relay show-config, test, logs, and relay queue list, flush, hold, release, delete."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.common import JsonOption, StackOption, say, tell
from cli.operate_options import (
    HostOption,
    IdentityOption,
    PodOption,
    YesOption,
    agree,
    duration,
    entry_of,
    print_json,
)
from cli.verify_options import wrong_call

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mailstack.operate.relay import Operation, QueueView
    from mailstack.postfix.log_search import LogChoice
    from mailstack.postfix.queue_view import Choice
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
FIRST_SHOWN = 5
CLEARING_SECONDS = 5
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
    """Print what Postfix runs by (postconf -n), and what differs from the declaration. Exits with 2 on a difference."""
    from cli.operate_show import show_configurations
    from mailstack.operate.relay import configurations

    entry = entry_of(stack, identity)
    found = configurations(entry.relay(host=host, pod=pod), entry.plan)
    print_json(found) if as_json else show_configurations(found, stack)
    raise typer.Exit(2 if any(one["differences"] for one in found) else 0)


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
    entry = entry_of(stack, identity)
    places = entry.relay(host=host, pod=pod)
    at = entry.operations.relay
    if at is None:
        raise wrong_call(f"stack {stack} has no relay")
    tried = [
        deliver(place, at, sender=sender or at.sender, recipient=to, seconds=seconds, say=tell) for place in places
    ]
    if as_json:
        print_json([one.document() for one in tried])
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
    """Print the relay's log: all of it, or every line of the messages that are chosen."""
    from mailstack.operate import relay as relays
    from mailstack.postfix.log_search import LogChoice

    choice = LogChoice(ids=tuple(ids or ()), senders=tuple(sender or ()), recipients=tuple(recipient or ()))
    seconds = duration("--since", since)
    if seconds is None:
        seconds = 0.0 if follow else LOG_SECONDS
    if follow and as_json:
        raise wrong_call("--json is one document, and a log that is followed has no end: leave out one of them")
    places = entry_of(stack, identity).relay(host=host, pod=pod)
    if follow:
        _follow(places, choice, seconds)
        return
    found = {place.name: relays.logs(place, choice, since=seconds, limit=lines) for place in places}
    if as_json:
        print_json(found)
        return
    for name, told in found.items():
        for line in told:
            say(f"{name}  {line}" if len(found) > 1 else line)
    if not any(found.values()):
        tell("no line of the log is about that" if not choice.everything else "the log is empty")


def _follow(places: "list[Place]", choice: "LogChoice", seconds: float) -> None:
    import os
    from concurrent.futures import ThreadPoolExecutor, wait
    from functools import partial

    from mailstack.operate.relay import follow

    def show(name: str, line: str) -> None:
        say(f"{name}  {line}" if len(places) > 1 else line)

    with ThreadPoolExecutor(max_workers=len(places)) as pool:
        running = [pool.submit(follow, place, choice, partial(show, place.name), since=seconds) for place in places]
        try:
            for one in running:
                one.result()
        except KeyboardInterrupt:
            # The ssh programs were interrupted too and are given time to clear away what they logged in with. What
            # still reads in other threads would keep the process: its connections end with it.
            wait(running, timeout=CLEARING_SECONDS)
            os._exit(130)


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

    return Choice(
        ids=tuple(ids or ()),
        senders=tuple(senders or ()),
        recipients=tuple(recipients or ()),
        older_than=duration("--older-than", older_than),
        everything=everything,
    )


def _act(places: "list[Place]", operation: "Operation", choice: "Choice", *, yes: bool, as_json: bool) -> None:
    from mailstack.operate.relay import act, trial

    if choice.empty:
        raise wrong_call(
            f"which messages? Say --id, --sender, --recipient or --older-than, or --all to {operation} all"
        )
    if choice.everything and not _alone(choice):
        raise wrong_call("--all means every message: leave it out, or leave out what chooses some of them")
    found = trial(places, operation, choice)
    if found.count:
        word = f"delete {found.count}" if operation == "delete" and choice.everything else None
        agree(_told(operation, found), yes=yes or operation == "flush", word=word)
    done = act(places, operation, choice, found) if found.count else None
    if as_json:
        places_done = {place.name: {"done": 0, "not_done": []} for place in places}
        print_json(done.document() if done else {"operation": operation, "done": 0, "places": places_done})
        return
    if done is None:
        say("no such message is in the queue")
        return
    say(f"{PAST[operation]} {_messages(sum(done.done.values()))}")
    for name, left in done.not_done.items():
        if left:
            say(f"{name}: {_messages(len(left))} had left the queue meanwhile: {', '.join(left[:FIRST_SHOWN])}")


PAST = {"flush": "tried", "hold": "held", "release": "released", "delete": "deleted"}
WILL = {
    "flush": "will be tried now",
    "hold": "will be kept until they are released",
    "release": "will be released and tried now",
    "delete": "will be deleted: nobody gets them, and their senders are not told",
}


def _alone(choice: "Choice") -> bool:
    return not (choice.ids or choice.senders or choice.recipients or choice.older_than is not None)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"


def _told(operation: str, found: "QueueView") -> list[str]:
    from cli.operate_show import age

    lines = [f"{_messages(found.count)} {WILL[operation]}:"]
    for name, messages in found.messages.items():
        whole = int(found.summaries[name]["messages"])
        for message in messages[:FIRST_SHOWN]:
            to = ", ".join(one["address"] for one in message["recipients"][:3])
            sender = message["sender"] or "<>"
            lines.append(f"  {name}  {message['id']}  {age(message['age_seconds'])} old  {sender} to {to}")
        if whole > FIRST_SHOWN:
            lines.append(f"  {name}  and {whole - FIRST_SHOWN} more")
    return lines
