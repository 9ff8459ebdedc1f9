"""How the answers of the day-2 commands look to people."""

import sys
from collections.abc import Mapping, Sequence
from io import StringIO, TextIOBase
from typing import TYPE_CHECKING, Any, TextIO

from mailstack.operate.ages import age

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from mailstack.operate.relay import QueueView, Tried

__all__ = ["PIPE_WIDTH", "console_of", "plain_text", "show_configurations", "show_queue", "show_tried", "table_of"]

COUNTS = (("by_queue", "queue"), ("by_age", "age"), ("by_domain", "recipient's domain"), ("by_reason", "reason"))
MOST_COUNTS = 10
# Who reads by a program gets each cell on one line: no reason and no path is as long as this.
PIPE_WIDTH = 10_000
STATES = {"sent": "green", "deferred": "yellow", "unknown": "magenta"}


class _Unfilled(TextIOBase):
    """A stream without the spaces that fill the lines of a table up to its width."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    @property
    def encoding(self) -> str:  # type: ignore[override] # the stream's own
        """Return what decides which characters may be shown."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write whole lines."""
        return self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))

    def flush(self) -> None:
        """Let who waits see it."""
        self._stream.flush()


def console_of(*, soft_wrap: bool = False) -> "Console":
    """Return where people read: as wide as their terminal; in a pipe or a file no line is broken."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(soft_wrap=soft_wrap)
    return Console(file=_Unfilled(sys.stdout), width=PIPE_WIDTH)  # type: ignore[arg-type] # all that rich calls


def plain_text(shown: "RenderableType") -> str:
    """Return what is shown as a file has it: no colours, no line broken."""
    from rich.console import Console

    text = StringIO()
    Console(file=text, width=PIPE_WIDTH, force_terminal=False, color_system=None).print(shown)
    return "".join(f"{line.rstrip()}\n" for line in text.getvalue().splitlines())


def table_of(*columns: str) -> "Table":
    """Return an empty table in the one style."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show_queue(view: "QueueView", limit: int) -> None:
    """Print counts, then messages."""
    from rich.text import Text

    console, total = console_of(), view.total()
    for name, why in view.unseen.items():
        console.print(Text(f"{name} could not be asked: {why}", style="red"))
    if view.unseen and not view.summaries:
        return
    if not view.count:
        console.print("nothing waits in the queue" + (f" of {', '.join(view.summaries)}" if view.summaries else ""))
        return
    places = ", ".join(f"{name} {one['messages']}" for name, one in view.summaries.items())
    head = f"{view.count} messages, {total['bytes'] / 1024:.0f} KB, the oldest {age(total['oldest_seconds'])} old"
    console.print(Text(f"{head} ({places})", style="bold"))
    for key, title in COUNTS:
        table = table_of("number", title)
        for name, count in list(total[key].items())[:MOST_COUNTS]:
            table.add_row(str(count), Text(name))
        console.print()
        console.print(table)
    table = table_of("id", "queue", "age", "from", "to", "reason")
    for messages in view.messages.values():
        for message in messages[:limit]:
            first = message["recipients"][0]
            more = len(message["recipients"]) - 1
            table.add_row(
                message["id"], message["queue"], age(message["age_seconds"]), Text(message["sender"] or "<>"),
                Text(first["address"] + (f" and {more} more" if more else "")), Text(first["reason"]),
            )  # fmt: skip
    console.print()
    console.print(table)


def show_tried(tried: "Sequence[Tried]", stack: str) -> None:
    """Print what became of each test message."""
    from rich.text import Text

    console = console_of()
    for one in tried:
        line = Text(f"{one.place}: ").append(one.state, style=STATES.get(one.state, "red"))
        line.append(f" after {one.seconds:.1f} s" + (f", {one.queue_id}" if one.queue_id else ""))
        console.print(line)
        if one.reply:
            by = "the relay: " if one.state == "refused" else f"{one.relay or 'the upstream'}: "
            console.print(Text(f"  {'' if one.state in {'unreachable', 'unknown'} else by}{one.reply}"))
        if one.cause is not None:
            console.print(Text(f"  cause: {one.cause.cause}"))
            console.print(Text(f"  fix: {one.cause.fix}".replace("<stack>", stack)))
        if one.state == "deferred":
            console.print(f"  it stays in the queue and is tried again; take it out: "
                          f"mailstack relay queue delete --stack {stack} --id {one.queue_id}")  # fmt: skip
        if one.state == "unknown":
            console.print(
                "  no outcome stands in the log yet; look again: "
                f"mailstack relay logs --stack {stack} --id {one.queue_id}"
            )
        for text in one.lines if one.state != "sent" else ():
            console.print(Text(f"    {text}", style="dim"))


def show_configurations(found: Sequence[Mapping[str, Any]], stack: str) -> None:
    """Print main.cf of each place as postconf -n does, then what is not as declared."""
    from rich.text import Text

    console = console_of()
    for one in found:
        if one["error"]:
            console.print(Text(f"# {one['place']} could not be asked: {one['error']}", style="red"))
            continue
        console.print(Text(f"# {one['place']}, Postfix {one['postfix']}", style="bold"))
        for name, value in one["configuration"].items():
            console.print(Text(f"{name} = {value}"), soft_wrap=True)
        differences = one["differences"]
        if differences is None:
            continue
        if not differences:
            console.print(Text("# as declared", style="green"))
            continue
        for each in differences:
            console.print(Text(f"# {each['parameter']} is not as declared", style="red"))
            console.print(Text(f"#   declared: {_value(each['declared'])}"), soft_wrap=True)
            console.print(Text(f"#   there:    {_value(each['effective'])}"), soft_wrap=True)
        told = f"mailstack drift --stack {stack} --repair brings them back"
        console.print(Text(f"# {told}", style="dim"), soft_wrap=True)


def _value(text: str | None) -> str:
    return "not set" if text is None else text
