"""Words that every form of the answer for people shares."""

from collections.abc import Mapping
from dataclasses import dataclass

from mailstack.diff.document import Document
from mailstack.diff.operations import Word
from mailstack.diff.risks import LEVELS, Level

__all__ = [
    "MAYBE",
    "ROLE",
    "SIGNS",
    "Told",
    "count",
    "done_to",
    "grouped",
    "headline",
    "notes",
    "short",
    "summary",
    "values_of",
]

ROLE = "role "
SIGNS: Mapping[str, str] = {"added": "+", "removed": "-", "changed": "~"}
OPERATIONS: Mapping[str, str] = {
    "create": "is made",
    "update": "is changed",
    "replace": "is made anew",
    "delete": "goes",
}
# What becomes of a role on its host.
RUNS: Mapping[str, str] = {
    "update": "again",
    "create": "for the first time",
    "replace": "on another host",
    "delete": "is taken back",
}
STAYS = "is forgotten, and stays"
MAYBE = "perhaps"
MOST_WHATS = 8
SECRET = "[secret]"  # noqa: S105 - shown instead of one
BEFORE = 40
SAME_TO_SEE = "differs in what is not shown"


def headline(found: Document) -> str:
    """Return what was compared, in one line."""
    if found.kind == "environments" and found.before is not None and found.after is not None:
        return f"{found.before.stack} → {found.after.stack}"
    if found.before is None:
        stack = found.after.stack if found.after is not None else ""
        return f"{stack}: a new stack"
    if found.after is None:
        return f"{found.before.stack}: the stack file is gone (it was there at {found.before.where})"
    return f"{found.after.stack}: {found.after.where} against {found.before.where}"


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun."""
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def summary(found: Document) -> str:
    """Return what was found, in one line."""
    if not found.different:
        return "no difference"
    records = [one for one in found.changes if one.section == "records"]
    roles = [one for one in found.resources if one.what.startswith(ROLE) and not one.stays]
    if found.kind == "change" and not (found.changes or found.secrets or found.resources):
        return "the declaration is the same; code differs"
    parts = [count(found.counts.changes, "change")]
    if found.kind == "environments":
        looked = found.counts.settings
        rest = len(found.settings) - looked
        return ", ".join([f"{count(looked, 'setting')} to look at", f"{rest} that each environment has for itself"])
    parts += [count(len(records), "DNS record")] if records else []
    parts += [f"{count(len(roles), 'role')} to run"] if roles else []
    parts += [count(found.counts.restarts, "restart or reload", "restarts and reloads")] if found.restarts else []
    risks = [f"{number} {level}" for level in LEVELS if (number := getattr(found.counts, level))]
    return ", ".join([*parts, f"risks: {', '.join(risks) or 'none'}"])


@dataclass(frozen=True, kw_only=True)
class Told:
    """Risks of one rule with one reason: what they are about is told in a list."""

    level: Level
    certain: bool
    reason: str
    advice: str
    whats: tuple[str, ...]


def grouped(found: Document) -> list[Told]:
    """Return the risks, those that differ only in what they are about together: a thousand domains are one then."""
    told: dict[tuple[Level, bool, str, str], list[str]] = {}
    for risk in found.risks:
        told.setdefault((risk.level, risk.certain, risk.reason, risk.advice), []).append(risk.what)
    return [
        Told(level=level, certain=certain, reason=reason, advice=advice, whats=tuple(_few(whats)))
        for (level, certain, reason, advice), whats in told.items()
    ]


def _few(whats: list[str]) -> list[str]:
    more = len(whats) - MOST_WHATS
    return [*whats[:MOST_WHATS], f"and {more} more of the kind"] if more > 0 else whats


def done_to(what: str, operation: Word, *, stays: bool) -> str:
    """Return what becomes of a resource, or of a role on its host; ``what`` and the others as the document has them."""
    words = RUNS if what.startswith(ROLE) else OPERATIONS
    return STAYS if stays else words[operation]


def values_of(before: str | None, after: str | None, *, secret: bool, longest: int) -> tuple[str, str]:
    """Return both values as people see them, on one line, each at most about ``longest``: where they begin to differ.

    Where only what is hidden in them differs, the second says so.
    """
    if secret:
        return ("" if before is None else SECRET), ("" if after is None else SECRET)
    lines = [" ⏎ ".join((value or "").split("\n")) for value in (before, after)]
    if before is not None and after is not None and lines[0] == lines[1]:
        lines[1] = SAME_TO_SEE
    pairs = enumerate(zip(*lines, strict=False))
    first = next((number for number, (one, other) in pairs if one != other), min(map(len, lines)))
    return _seen(lines[0], longest, first), _seen(lines[1], longest, first)


def short(text: str, longest: int) -> str:
    """Return a text on one line, its end left out where it is too long."""
    return _seen(" ⏎ ".join(text.split("\n")), longest, 0)


def _seen(line: str, longest: int, first: int) -> str:
    if len(line) <= longest:
        return line
    # A little of what they share says where it is.
    start = max(0, first - BEFORE) if first > longest - BEFORE else 0
    return f"{'…' if start else ''}{line[start : start + longest]}{'…' if start + longest < len(line) else ''}"


def notes(found: Document) -> list[str]:
    """Return what a reader has to know first, in sentences: a file that goes, code that differs."""
    code, said = found.code, []
    if found.after is None:
        said.append(
            "Removing the file destroys nothing. Told is what the stack has, and what nobody would look after any more."
        )
    here = {one.what.removeprefix(ROLE) for one in found.resources if one.what.startswith(ROLE)}
    roles = [role for role in code.roles if role in here]
    if roles:
        said.append(f"The code of {', '.join(roles)} differs: these roles run again, and what they then do follows it.")
    if code.image:
        said.append("The relay's image is built of other files: where it is built here, its containers are replaced.")
    if code.renderers:
        said.append(
            f"{count(len(code.renderers), 'file')} that settings are turned into plans by differ. Both sides were "
            "planned by the code of the working tree, so what that code makes other is not told here: `pulumi preview` "
            "tells it."
        )
    return said
