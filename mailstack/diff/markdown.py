"""The answer as Markdown, for a comment on a pull request: what could cost mail first, details folded away."""

from collections.abc import Container, Iterator, Sequence

from mailstack.diff.document import Document
from mailstack.diff.facts import SECTIONS
from mailstack.diff.risks import LEVELS
from mailstack.diff.words import MAYBE, ROLE, SIGNS, done_to, grouped, headline, notes, short, summary, values_of
from mailstack.markdown import code, row, sentence

__all__ = ["markdown"]

LEVEL_SIGNS = {"high": "🔴", "medium": "🟠", "low": "🔵"}
LONGEST = 160
# GitHub refuses comments of more than 65,536 characters.
LONGEST_COMMENT = 60_000
MOST_ROWS = 120


def markdown(found: Document) -> str:
    """Return the document as GitHub's Markdown with a final newline; parts that do not fit into a comment are named."""
    text, left_out = "\n".join(_head(found)) + "\n", []
    for title, lines in _parts(found):
        part = "".join(f"{line}\n" for line in lines)
        if len(text) + len(part) > LONGEST_COMMENT:
            left_out.append(title)
        else:
            text += part
    if left_out:
        text += f"\nToo long for a comment, so left out: {sentence(', '.join(left_out))}.\n"
    return text


def _head(found: Document) -> Iterator[str]:
    yield f"## mailstack diff: {sentence(headline(found))}"
    yield ""
    yield f"**{sentence(summary(found))}**"
    if found.kind == "change":
        yield ""
        yield "From the declarations alone: no secret was opened, and no host, engine or network was asked."
    for note in notes(found):
        yield ""
        yield f"> {sentence(note)}"


def _parts(found: Document) -> Iterator[tuple[str, list[str]]]:
    """Yield title and lines of each part, the most important first."""
    yield "risks", list(_risks(found))
    yield "roles and restarts", list(_runs(found))
    yield "settings", list(_settings(found))
    yield "encrypted values", list(_secrets(found))
    for section, title in SECTIONS.items():
        yield title, list(_changes(found, section, title))
    yield "other resources", list(_resources(found))


def _risks(found: Document) -> Iterator[str]:
    if not found.risks:
        return
    yield ""
    yield "### What could lose or delay mail"
    yield ""
    for risk in grouped(found):
        perhaps = "" if risk.certain else f" ({MAYBE})"
        yield f"- {LEVEL_SIGNS[risk.level]} **{risk.level}**{perhaps} {'; '.join(map(sentence, risk.whats))}"
        yield f"  - why: {sentence(risk.reason)}"
        yield f"  - do: {sentence(risk.advice)}"
    yield ""
    yield " · ".join(f"{LEVEL_SIGNS[level]} {level}: {words}" for level, words in LEVELS.items())


def _runs(found: Document) -> Iterator[str]:
    roles = [one for one in found.resources if one.what.startswith(ROLE)]
    if roles:
        rows = [
            (
                one.name,
                one.what.removeprefix(ROLE),
                one.host or "",
                _perhaps(done_to(one.what, one.operation, stays=one.stays), one.certain),
                ", ".join(one.because),
            )
            for one in roles
        ]
        yield ""
        yield "### Roles that run"
        yield ""
        yield from _table(("Resource", "Role", "Host", "Run", "Because of"), rows, words=(3, 4))
    if found.restarts:
        restarts = [(one.what, _perhaps(one.how, one.certain), one.where, one.means) for one in found.restarts]
        yield ""
        yield "### What restarts"
        yield ""
        yield from _table(("What", "How", "Where", "Means"), list(dict.fromkeys(restarts)), words=range(4))


def _perhaps(text: str, certain: bool) -> str:
    return text if certain else f"{text} ({MAYBE})"


def _settings(found: Document) -> Iterator[str]:
    if found.kind != "environments":
        return
    looked = [(one.path, one.before or "not set", one.after or "not set") for one in found.settings if not one.expected]
    before, after = (side.stack if side is not None else "" for side in (found.before, found.after))
    yield ""
    yield f"### Differs, and {code(before)} did not prove it for {code(after)}"
    yield ""
    yield from (_table(("Setting", before, after), looked) if looked else ["Nothing."])
    rest = [
        (one.path, one.before or "not set", one.after or "not set", one.expected)
        for one in found.settings
        if one.expected
    ]
    if rest:
        yield from _folded(
            f"{len(rest)} that each has for itself", _table(("Setting", before, after, "Why"), rest, words=(3,))
        )


def _secrets(found: Document) -> Iterator[str]:
    if not found.secrets:
        return
    yield ""
    yield "### Encrypted values"
    yield ""
    yield from (f"- `{SIGNS[one.change]}` {code(one.place)}: {sentence(one.known)}" for one in found.secrets)


def _changes(found: Document, section: str, title: str) -> Iterator[str]:
    rows = [
        (
            SIGNS[one.change] + ("" if one.certain else " ?"),
            one.subject,
            one.name,
            *values_of(one.before, one.after, secret=one.secret, longest=LONGEST),
        )
        for one in found.changes
        if one.section == section
    ]
    if rows:
        yield from _folded(f"{title}: {len(rows)}", _table(("", "Of", "Name", "Before", "After"), rows))


def _resources(found: Document) -> Iterator[str]:
    rows = [
        (
            one.name,
            one.what,
            _perhaps(done_to(one.what, one.operation, stays=one.stays), one.certain),
            ", ".join(one.because),
        )
        for one in found.resources
        if not one.what.startswith(ROLE)
    ]
    if rows:
        yield from _folded(
            f"Other resources: {len(rows)}", _table(("Resource", "What", "", "Because of"), rows, words=(2,))
        )


def _folded(title: str, table: Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{_html(title)}</summary>"
    yield ""
    yield from table
    yield ""
    yield "</details>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], words: Container[int] = ()) -> Iterator[str]:
    """Yield the lines of a table; columns ``words`` hold sentences, the others values."""
    yield row(sentence(head) for head in heads)
    yield "|" + "---|" * len(heads)
    for cells in rows[:MOST_ROWS]:
        told = (short(cell, LONGEST) for cell in cells)
        yield row(sentence(cell) if number in words else code(cell) for number, cell in enumerate(told))
    if len(rows) > MOST_ROWS:
        yield f"| {len(rows) - MOST_ROWS} more | " + " | ".join("" for _ in heads[1:]) + " |"


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
