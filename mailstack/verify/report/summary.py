"""A run in one line, and what is wrong in a few: for logs."""

from mailstack.verify.model import State
from mailstack.verify.report.rows import WORDS, counts, rows, subject_of
from mailstack.verify.run import Report

__all__ = ["sentences", "summary_line"]

SHOWN_SENTENCES = 20


def summary_line(report: Report) -> str:
    """Return how many findings are in each state, in one line."""
    parts = [f"{number} {WORDS[state]}" for state, number in counts(report).items() if number]
    return f"{', '.join(parts) or 'nothing was looked at'} ({report.seconds:.1f} s)"


def sentences(report: Report, states: tuple[State, ...] = (State.FAIL, State.WARN)) -> list[str]:
    """Return a line for each finding in one of ``states``, the first ones, and how many there are besides."""
    found = [row for state in states for row in rows(report) if row.finding.state is state]
    lines = []
    for row in found[:SHOWN_SENTENCES]:
        fix = f". Fix: {row.finding.fix}" if row.finding.fix else ""
        lines.append(f"{WORDS[row.finding.state]}: {row.check.name}, {subject_of(row)}: {row.finding.found}{fix}")
    rest = len(found) - SHOWN_SENTENCES
    return [*lines, f"and {rest} more"] if rest > 0 else lines
