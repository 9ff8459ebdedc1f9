"""What all forms of a report share: the order, the words, and that no byte of a stranger's does harm."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from mailstack.verify.model import CHECKS, GROUPS, Check, Finding, State
from mailstack.verify.run import Report

__all__ = ["ORDER", "WORDS", "Row", "counts", "grouped", "rows", "shown", "stamp", "subject_of", "title_of", "what_of"]

# What needs a person comes first.
ORDER = (State.FAIL, State.WARN, State.UNKNOWN, State.OK, State.NOT_APPLICABLE)
WORDS: Mapping[State, str] = {**{state: state.value for state in State}, State.NOT_APPLICABLE: "n/a"}


@dataclass(frozen=True, kw_only=True)
class Row:
    """A finding with the check that made it; all text is safe to show (``shown``). ``place`` is its place in all."""

    place: int
    check: Check
    finding: Finding


def shown(text: str) -> str:
    r"""Return text in which everything that does not print is an escape such as ``\x1b``.

    Evidence holds what strangers publish: control characters would move a terminal's cursor, are forbidden in XML,
    and half of a surrogate pair cannot be written at all.
    """
    return "".join(char if char.isprintable() else _escape(char) for char in text)


def _escape(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def rows(report: Report) -> tuple[Row, ...]:
    """Return all findings in the order of the checks' numbers; of one check, what needs a person first."""
    found = sorted(((CHECKS[finding.check], _safe(finding)) for finding in report.findings), key=_order)
    return tuple(Row(place=place, check=check, finding=finding) for place, (check, finding) in enumerate(found))


def _order(one: tuple[Check, Finding]) -> tuple[str, int, str, int, str]:
    check, finding = one
    return check.group, check.number, check.name, ORDER.index(finding.state), finding.subject


def _safe(finding: Finding) -> Finding:
    return Finding(
        state=finding.state,
        subject=shown(finding.subject),
        found=shown(finding.found),
        expected=shown(finding.expected),
        fix=shown(finding.fix),
        details=tuple(shown(line) for line in finding.details),
        check=finding.check,
    )


def grouped(report: Report) -> dict[str, list[Row]]:
    """Return the rows by group, groups in their order; those without a finding are left out."""
    found: dict[str, list[Row]] = {}
    for row in rows(report):
        found.setdefault(row.check.group, []).append(row)
    return {group: found[group] for group in GROUPS if group in found}


def counts(report: Report) -> dict[State, int]:
    """Return how many findings are in each state, all states, in the order of ``ORDER``."""
    return {state: sum(finding.state is state for finding in report.findings) for state in ORDER}


def title_of(report: Report) -> str:
    """Return what was looked at, in a few words."""
    target = report.target
    if target.stack:
        return f"stack {shown(target.stack)}"
    names = [part.name for part in target.domains] or [part.name for part in target.hosts]
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{shown(names[0])}{more}" if names else "nothing"


def what_of(report: Report) -> str:
    """Return how much was looked at."""
    parts = ((len(report.target.domains), "domain"), (len(report.target.hosts), "host"))
    return ", ".join(f"{number} {word}{'' if number == 1 else 's'}" for number, word in parts if number)


def subject_of(row: Row) -> str:
    """Return whom a finding is about; a finding without a subject is about everything."""
    return row.finding.subject or "all"


def stamp(moment: datetime) -> str:
    """Return a moment as ``2026-11-29T08:00:00Z``."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
