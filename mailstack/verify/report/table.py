"""The report for people at a terminal: groups, a word for each state, and the fix below what is wrong."""

from collections.abc import Iterable, Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mailstack.verify.history import Change
from mailstack.verify.model import GROUPS, State
from mailstack.verify.report.rows import ORDER, WORDS, Row, counts, grouped, shown, stamp, subject_of, title_of, what_of
from mailstack.verify.run import Report

__all__ = ["STYLES", "changes_table", "rendered", "report_table"]

STYLES = {
    State.OK: "green",
    State.WARN: "yellow",
    State.FAIL: "bold red",
    State.UNKNOWN: "magenta",
    State.NOT_APPLICABLE: "dim",
}
# So much of a finding that is well is shown; everything of the others.
WELL_CHARACTERS = 100


def report_table(report: Report, *, verbose: bool = False) -> RenderableType:
    """Return the report as something rich prints. ``verbose``: what is well line by line, with all evidence."""
    parts: list[RenderableType] = [_heading(report)]
    for group, found in grouped(report).items():
        table = Table.grid(padding=(0, 2, 0, 0), expand=True)
        table.add_column(width=7, no_wrap=True)
        table.add_column(ratio=1, overflow="fold")
        for row in found if verbose else _condensed(found):
            table.add_row(*_cells(row, verbose=verbose))
        if not verbose:
            for cells in _folded(found):
                table.add_row(*cells)
        parts += [Text(f"\n{group}  {GROUPS[group]}", style="bold"), Padding(table, (0, 0, 0, 2))]
    return Group(*parts, Text(), rendered_counts(report))


def changes_table(changes: Iterable[Change]) -> RenderableType:
    """Return what changed since the last run."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1, overflow="fold")
    for change in changes:
        state = None if change.finding is None else change.finding.state
        before = "new" if change.before is None else WORDS[change.before]
        words = Text(f"{before} → {'gone' if state is None else WORDS[state]}", style=STYLES[state or State.OK])
        body = Text(f"{change.check}  ", style="bold").append(change.subject or "all", style="not bold")
        if change.finding is not None:
            body.append(f"\n{shown(change.finding.found)}", style="not bold")
            for label, text in (("expected", change.finding.expected), ("fix", change.finding.fix)):
                if text:
                    body.append(f"\n{label}: {shown(text)}", style="not bold")
        table.add_row(words, body)
    return table


def rendered_counts(report: Report) -> Text:
    """Return how many findings are in each state, each with its word."""
    line = Text()
    for state in ORDER:
        number = counts(report)[state]
        if number:
            line.append(f"{number} {WORDS[state]}", style=STYLES[state]).append("   ")
    return line.append(f"{report.seconds:.1f} s", style="dim")


def rendered(word: State) -> Text:
    """Return a state's word in its colour; capital letters where a person is needed, so that colour is not all."""
    text = WORDS[word].upper() if word in {State.FAIL, State.WARN} else WORDS[word]
    return Text(text, style=STYLES[word])


def _heading(report: Report) -> Text:
    line = Text("mailstack verify  ", style="bold").append(title_of(report), style="bold cyan")
    return line.append(f"\n{what_of(report)}  {stamp(report.started)}".replace("\n  ", "\n"), style="dim")


def _condensed(found: Iterable[Row]) -> Iterator[Row]:
    """Yield what a person has to see: everything but what is well several times over, and what does not apply."""
    several = _several(found)
    for row in found:
        if row.finding.state is State.NOT_APPLICABLE or (row.finding.state is State.OK and row.check.name in several):
            continue
        yield row


def _several(found: Iterable[Row]) -> dict[str, int]:
    names = [row.check.name for row in found if row.finding.state is State.OK]
    return {name: names.count(name) for name in names if names.count(name) > 1}


def _folded(found: Iterable[Row]) -> Iterator[tuple[Text, Text]]:
    """Yield a line for what is well for several subjects, and one for what does not apply."""
    for name, number in _several(found).items():
        subjects = [subject_of(row) for row in found if row.check.name == name and row.finding.state is State.OK]
        listed = ", ".join(dict.fromkeys(subjects[:3])) + (" …" if number > 3 else "")
        yield rendered(State.OK), Text(f"{name}  ", style="bold").append(f"{number} times: {listed}", style="not bold")
    names = dict.fromkeys(row.check.name for row in found if row.finding.state is State.NOT_APPLICABLE)
    if names:
        yield rendered(State.NOT_APPLICABLE), Text(", ".join(names), style="dim")


def _cells(row: Row, *, verbose: bool) -> tuple[Text, Text]:
    finding = row.finding
    body = Text(f"{row.check.name}  ", style="bold").append(subject_of(row), style="not bold cyan")
    if finding.state is State.OK and not verbose:
        found = finding.found if len(finding.found) <= WELL_CHARACTERS else finding.found[:WELL_CHARACTERS] + "…"
        return rendered(finding.state), body.append(f"\n{found}", style="not bold dim")
    body.append(f"\n{finding.found}", style="not bold")
    for label, text in (("expected", finding.expected), ("fix", finding.fix)):
        if text:
            body.append(f"\n{label}: ", style="bold").append(text, style="not bold")
    for line in finding.details:
        body.append(f"\n· {line}", style="not bold dim")
    if verbose:
        body.append(f"\n{row.check.title} ({row.check.source})", style="not bold dim")
    return rendered(finding.state), body
