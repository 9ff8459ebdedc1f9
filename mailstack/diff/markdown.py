"""The answer as Markdown, for a comment on a pull request: what could cost mail first, details folded away."""

from collections.abc import Iterator, Sequence

from mailstack.diff.document import Document
from mailstack.diff.facts import SECTIONS
from mailstack.diff.risks import LEVELS
from mailstack.diff.words import MAYBE, OPERATIONS, SIGNS, grouped, headline, notes, summary, value_of
from mailstack.markdown import code, plain

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
        text += f"\nToo long for a comment, so left out: {plain(', '.join(left_out))}.\n"
    return text


def _head(found: Document) -> Iterator[str]:
    yield f"## mailstack diff: {plain(headline(found))}"
    yield ""
    yield f"**{plain(summary(found))}**"
    if found.kind == "change":
        yield ""
        yield "From the declarations alone: no secret was opened, and no host, engine or network was asked."
    for sentence in notes(found):
        yield ""
        yield f"> {_told(sentence)}"


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
        yield f"- {LEVEL_SIGNS[risk.level]} **{risk.level}**{perhaps} {'; '.join(map(_told, risk.whats))}"
        yield f"  - why: {_told(risk.reason)}"
        yield f"  - do: {_told(risk.advice)}"
    yield ""
    yield " · ".join(f"{LEVEL_SIGNS[level]} {level}: {words}" for level, words in LEVELS.items())


def _runs(found: Document) -> Iterator[str]:
    roles = [one for one in found.resources if one.what.startswith("role ")]
    if roles:
        rows = [
            (
                one.name,
                one.what.removeprefix("role "),
                one.host or "",
                _operation(one.operation, one.certain),
                ", ".join(one.because),
            )
            for one in roles
        ]
        yield ""
        yield "### Roles that run"
        yield ""
        yield from _table(("Resource", "Role", "Host", "Run", "Because of"), rows)
    if found.restarts:
        restarts = [
            (one.what, one.how + ("" if one.certain else f" ({MAYBE})"), one.where, one.means) for one in found.restarts
        ]
        yield ""
        yield "### What restarts"
        yield ""
        yield from _table(("What", "How", "Where", "Means"), restarts)


def _operation(word: str, certain: bool) -> str:
    words = {"update": "again", "create": "first time", "replace": "on another host", "delete": "removal"}
    return words[word] + ("" if certain else f" ({MAYBE})")


def _settings(found: Document) -> Iterator[str]:
    if found.kind != "environments":
        return
    looked = [(one.path, one.before or "not set", one.after or "not set") for one in found.settings if not one.expected]
    before, after = (side.stack if side is not None else "" for side in (found.before, found.after))
    yield ""
    yield f"### Differs, and {plain(before)} did not prove it for {plain(after)}"
    yield ""
    yield from (_table(("Setting", before, after), looked) if looked else ["Nothing."])
    rest = [
        (one.path, one.before or "not set", one.after or "not set", one.expected)
        for one in found.settings
        if one.expected
    ]
    if rest:
        yield from _folded(f"{len(rest)} that each has for itself", _table(("Setting", before, after, "Why"), rest))


def _secrets(found: Document) -> Iterator[str]:
    if not found.secrets:
        return
    yield ""
    yield "### Encrypted values"
    yield ""
    yield from (f"- `{SIGNS[one.change]}` {code(one.place)}: {plain(one.known)}" for one in found.secrets)


def _changes(found: Document, section: str, title: str) -> Iterator[str]:
    rows = [
        (
            SIGNS[one.change] + ("" if one.certain else " ?"),
            one.subject,
            one.name,
            value_of(one.before, secret=one.secret),
            value_of(one.after, secret=one.secret),
        )
        for one in found.changes
        if one.section == section
    ]
    if rows:
        yield from _folded(f"{title}: {len(rows)}", _table(("", "Of", "Name", "Before", "After"), rows))


def _resources(found: Document) -> Iterator[str]:
    rows = [
        (one.name, one.what, OPERATIONS[one.operation] + ("" if one.certain else f" ({MAYBE})"), ", ".join(one.because))
        for one in found.resources
        if not one.what.startswith("role ")
    ]
    if rows:
        yield from _folded(f"Other resources: {len(rows)}", _table(("Resource", "What", "", "Because of"), rows))


def _folded(title: str, table: Iterator[str]) -> Iterator[str]:
    yield ""
    yield f"<details><summary>{_html(title)}</summary>"
    yield ""
    yield from table
    yield ""
    yield "</details>"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield "| " + " | ".join(plain(head) for head in heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in rows[:MOST_ROWS]:
        # A pipe ends a cell even in code (GFM, tables).
        yield "| " + " | ".join(code(_short(cell)).replace("|", "\\|") for cell in row) + " |"
    if len(rows) > MOST_ROWS:
        yield f"| {len(rows) - MOST_ROWS} more | " + " | ".join("" for _ in heads[1:]) + " |"


def _short(text: str) -> str:
    line = " ⏎ ".join(text.split("\n"))
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"


def _told(sentence: str) -> str:
    """Return a sentence of ours, commands in it as code."""
    parts = sentence.split("`")
    if len(parts) % 2 == 0:
        return plain(sentence)
    return "".join(code(part) if number % 2 else plain(part) for number, part in enumerate(parts))


def _html(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
