"""The answer for people at a terminal, with rich."""

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mailstack.diff.document import Document
from mailstack.diff.facts import SECTIONS
from mailstack.diff.words import MAYBE, ROLE, SIGNS, done_to, grouped, headline, notes, short, summary, values_of

__all__ = ["show"]

STYLES = {"+": "green", "-": "red", "~": "yellow", "high": "bold red", "medium": "yellow", "low": "cyan"}
LONGEST = 300
Cell = str | Text


def show(found: Document, console: Console, *, everything: bool = False) -> None:
    """Print the document. ``everything``: also what is expected to differ between environments, and what follows."""
    console.print(Text(headline(found), style="bold"))
    console.print(Text(summary(found)))
    for sentence in notes(found):
        console.print(Text(f"! {sentence}", style="yellow"))
    _risks(found, console)
    _runs(found, console)
    _settings(found, console, everything=everything)
    _secrets(found, console)
    if found.kind == "change" or everything:
        _changes(found, console)
        _resources(found, console)
    elif found.changes:
        line = f"{len(found.changes)} facts of the plans differ as a consequence; --all lists them"
        console.print(Text(f"\n{line}", style="dim"))


def _title(console: Console, text: str) -> None:
    console.print(Text(f"\n{text}", style="bold"))


def _perhaps(text: str, certain: bool) -> str:
    return text if certain else f"{text} ({MAYBE})"


def _risks(found: Document, console: Console) -> None:
    if not found.risks:
        return
    _title(console, "What could lose or delay mail")
    for risk in grouped(found):
        line = Text(_perhaps(risk.level, risk.certain), style=STYLES[risk.level])
        line.append(f"  {risk.whats[0]}\n", style="default")
        for what in risk.whats[1:]:
            line.append(f"      {what}\n", style="default")
        line.append(f"    why: {risk.reason}\n    do:  {risk.advice}", style="default")
        console.print(line)


def _runs(found: Document, console: Console) -> None:
    roles = [one for one in found.resources if one.what.startswith(ROLE)]
    if roles:
        _title(console, "Roles that run")
        _table(
            console,
            ("resource", "role", "host", "run", "because of"),
            (
                (
                    one.name,
                    one.what.removeprefix(ROLE),
                    one.host or "",
                    _perhaps(done_to(one.what, one.operation, stays=one.stays), one.certain),
                    ", ".join(one.because),
                )
                for one in roles
            ),
        )
    if found.restarts:
        _title(console, "What restarts")
        rows = ((one.what, _perhaps(one.how, one.certain), one.where, one.means) for one in found.restarts)
        # A role that runs twice on a host, before others and after them, is one line.
        _table(console, ("what", "how", "where", "means"), dict.fromkeys(rows))


def _settings(found: Document, console: Console, *, everything: bool) -> None:
    if found.kind != "environments":
        return
    before, after = (side.stack if side is not None else "" for side in (found.before, found.after))
    looked = [one for one in found.settings if not one.expected]
    _title(console, f"Differs, and {before} did not prove it for {after}")
    if looked:
        rows = ((one.path, one.before or "not set", one.after or "not set") for one in looked)
        _table(console, ("setting", before, after), rows)
    else:
        console.print(Text("nothing"))
    rest = [one for one in found.settings if one.expected]
    if rest and everything:
        _title(console, "Each environment has this for itself")
        _table(
            console,
            ("setting", before, after, "why"),
            ((one.path, one.before or "not set", one.after or "not set", one.expected) for one in rest),
        )
    elif rest:
        line = f"{len(rest)} settings that each environment has for itself differ, as expected; --all lists them"
        console.print(Text(f"\n{line}", style="dim"))


def _secrets(found: Document, console: Console) -> None:
    if not found.secrets:
        return
    _title(console, "Encrypted values")
    for one in found.secrets:
        sign = SIGNS[one.change]
        console.print(Text.assemble((f"{sign} ", STYLES[sign]), f"{one.place}: {one.known}"))


def _changes(found: Document, console: Console) -> None:
    for section, title in SECTIONS.items():
        rows = [one for one in found.changes if one.section == section]
        if not rows:
            continue
        _title(console, title)
        subject = None
        for one in rows:
            if one.subject != subject:
                subject = one.subject
                console.print(Text(f"  {subject}", style="dim"))
            sign = SIGNS[one.change]
            before, after = values_of(one.before, one.after, secret=one.secret, longest=LONGEST)
            value = {"+": after, "-": before, "~": f"{before} → {after}" if not one.secret else "changes"}[sign]
            maybe = "" if one.certain else f" ({MAYBE})"
            console.print(Text.assemble((f"  {sign} ", STYLES[sign]), f"{one.name}: {value}{maybe}"))


def _resources(found: Document, console: Console) -> None:
    rows = [one for one in found.resources if not one.what.startswith(ROLE)]
    if not rows:
        return
    _title(console, "Other resources")
    _table(
        console,
        ("resource", "what", "", "because of"),
        (
            (
                one.name,
                one.what,
                _perhaps(done_to(one.what, one.operation, stays=one.stays), one.certain),
                ", ".join(one.because),
            )
            for one in rows
        ),
    )


def _table(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim", pad_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*(Text(short(cell, LONGEST)) for cell in row))
    console.print(table)
