"""The report as Markdown, for a comment on a pull request: what needs a person first, the rest folded away."""

from collections.abc import Iterable, Iterator

from mailstack.markdown import code, row, sentence
from mailstack.verify.model import GROUPS, State
from mailstack.verify.report.rows import ORDER, WORDS, Row, counts, grouped, stamp, subject_of, title_of, what_of
from mailstack.verify.run import Report

__all__ = ["markdown_report"]

URGENT = (State.FAIL, State.WARN, State.UNKNOWN)
SIGNS = {State.FAIL: "❌", State.WARN: "⚠️", State.UNKNOWN: "❔", State.OK: "✅", State.NOT_APPLICABLE: "▫️"}


def markdown_report(report: Report) -> str:
    """Return the report as GitHub's Markdown with a final newline."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    found = counts(report)
    yield f"## {SIGNS[report.worst]} mailstack verify: {sentence(title_of(report))}"
    yield ""
    yield (
        " · ".join(f"{SIGNS[state]} {found[state]} {WORDS[state]}" for state in ORDER if found[state])
        or "Nothing was looked at."
    )
    yield ""
    yield f"{what_of(report)}, {stamp(report.started)}, {report.seconds:.1f} s".removeprefix(", ")
    for group, all_rows in grouped(report).items():
        urgent = [row for state in URGENT for row in all_rows if row.finding.state is state]
        if urgent:
            yield ""
            yield f"### {group}. {GROUPS[group]}"
            yield ""
            yield from _urgent(urgent)
    rest = [row for group in grouped(report).values() for row in group if row.finding.state not in URGENT]
    if rest:
        yield ""
        yield f"<details><summary>{len(rest)} more that are well or do not apply</summary>"
        yield ""
        yield from _table(rest)
        yield ""
        yield "</details>"


def _urgent(found: Iterable[Row]) -> Iterator[str]:
    for one in found:
        finding = one.finding
        about = f"`{one.check.name}` {sentence(subject_of(one))}"
        yield f"- {SIGNS[finding.state]} **{WORDS[finding.state]}** {about}: {code(finding.found)}"
        if finding.expected:
            yield f"  - expected: {sentence(finding.expected)}"
        if finding.fix:
            yield f"  - fix: {sentence(finding.fix)}"
        yield from (f"  - {code(line)}" for line in finding.details)


def _table(found: Iterable[Row]) -> Iterator[str]:
    yield "| State | Check | Subject | Found |"
    yield "|---|---|---|---|"
    for one in found:
        yield row(
            (
                WORDS[one.finding.state],
                f"`{one.check.name}`",
                sentence(subject_of(one)),
                code(one.finding.found),
            )
        )
