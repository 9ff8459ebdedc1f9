"""The report for Prometheus, as the textfile collector of node_exporter reads it.

https://prometheus.io/docs/instrumenting/exposition_formats. Every check has a series for every state, so that an alert
can tell 0 from nothing.
"""

from collections.abc import Iterator

from mailstack.verify.model import State
from mailstack.verify.report.rows import ORDER, rows, shown
from mailstack.verify.run import Report

__all__ = ["prometheus_report"]


def prometheus_report(report: Report) -> str:
    """Return the report as text: findings by check and state, when the run started, and how long it took."""
    return "\n".join(_lines(report)) + "\n"


def _lines(report: Report) -> Iterator[str]:
    stack = _label(shown(report.target.stack))
    yield "# HELP mailstack_verify_findings Findings of a check that are in a state."
    yield "# TYPE mailstack_verify_findings gauge"
    found: dict[tuple[str, str], dict[State, int]] = {}
    for row in rows(report):
        states = found.setdefault((row.check.group, row.check.name), dict.fromkeys(ORDER, 0))
        states[row.finding.state] += 1
    for (group, name), states in found.items():
        for state, number in states.items():
            labels = f'stack="{stack}",group="{group}",check="{_label(name)}",state="{_word(state)}"'
            yield f"mailstack_verify_findings{{{labels}}} {number}"
    for name, about, value in (
        ("last_run_timestamp_seconds", "When the last run started.", f"{report.started.timestamp():.0f}"),
        ("duration_seconds", "How long it took.", f"{report.seconds:.3f}"),
    ):
        yield f"# HELP mailstack_verify_{name} {about}"
        yield f"# TYPE mailstack_verify_{name} gauge"
        yield f'mailstack_verify_{name}{{stack="{stack}"}} {value}'


def _word(state: State) -> str:
    return state.name.lower()


def _label(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
