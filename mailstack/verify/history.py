"""The last runs, kept as JSON lines: what changed since, and what a chart shows."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mailstack.reach.files import write_whole
from mailstack.verify.model import Finding, State
from mailstack.verify.report.rows import counts, shown
from mailstack.verify.run import Report
from mailstack.verify.target import Target

__all__ = ["KEPT_RUNS", "Change", "Past", "changes", "file_name", "past_of", "read_history", "remember"]

KEPT_RUNS = 50
# Of several findings about one subject the worst one is remembered.
WORST_FIRST = (State.FAIL, State.WARN, State.UNKNOWN, State.OK, State.NOT_APPLICABLE)
Key = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Past:
    """A run of before: when it started (UTC), how long it took, how many findings were in each state, and each one's
    state by check and subject.
    """

    started: datetime
    seconds: float
    counts: Mapping[State, int]
    states: Mapping[Key, State]


@dataclass(frozen=True, kw_only=True)
class Change:
    """What is otherwise than last time. ``before`` None: there was no such finding; ``finding`` None: it is gone."""

    check: str
    subject: str
    before: State | None
    finding: Finding | None


def past_of(report: Report) -> Past:
    """Return what is remembered of a run."""
    found: dict[Key, State] = {}
    for finding in report.findings:
        key = (finding.check, shown(finding.subject))
        found[key] = min(found.get(key, finding.state), finding.state, key=WORST_FIRST.index)
    return Past(started=report.started, seconds=report.seconds, counts=counts(report), states=found)


def changes(before: Past | None, report: Report) -> tuple[Change, ...]:
    """Return what changed since ``before``, what got worse first. Without a run of before: all that is not well."""
    after = past_of(report).states
    quiet = {State.OK, State.NOT_APPLICABLE}
    findings: dict[Key, Finding] = {}
    for finding in report.findings:
        key = (finding.check, shown(finding.subject))
        if finding.state is after[key]:
            findings.setdefault(key, finding)
    then = {} if before is None else before.states
    found = [
        Change(check=key[0], subject=key[1], before=then.get(key), finding=findings[key])
        for key, state in after.items()
        if then.get(key) is not state and not (key not in then and state in quiet)
    ]
    found += [
        Change(check=key[0], subject=key[1], before=state, finding=None)
        for key, state in then.items()
        if key not in after and state not in quiet
    ]
    return tuple(sorted(found, key=_urgency))


def _urgency(change: Change) -> tuple[int, str, str]:
    state = State.OK if change.finding is None else change.finding.state
    return WORST_FIRST.index(state), change.check, change.subject


def file_name(target: Target) -> str:
    """Return the name of a target's history: its stack, or its domains, hosts where it has none."""
    domains, hosts = [domain.name for domain in target.domains], [host.name for host in target.hosts]
    names = sorted(set(domains or hosts))
    words = target.stack or "-".join(names[:1]) or "nothing"
    plain = re.sub(r"[^a-z0-9.-]+", "-", words.lower()).strip(".-")[:60] or "target"
    if target.stack or len(names) < 2:
        return f"{plain}.jsonl"
    return f"{plain}-{hashlib.sha256(' '.join(names).encode()).hexdigest()[:8]}.jsonl"


def read_history(path: Path) -> tuple[Past, ...]:
    """Return the runs in a file, oldest first. A line that cannot be read is left out: a cut one ends no series.

    No file, or one of somebody else, is none: what is seen now counts, whatever was before.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    return tuple(past for line in lines for past in _read(line))


def _read(line: str) -> Iterator[Past]:
    try:
        raw = json.loads(line)
        yield Past(
            started=datetime.fromisoformat(raw["started"]),
            seconds=float(raw["seconds"]),
            counts={State(word): int(number) for word, number in raw["counts"].items()},
            states={(str(check), str(subject)): State(word) for check, subject, word in raw["states"]},
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return


def remember(path: Path, report: Report, *, keep: int = KEPT_RUNS) -> None:
    """Add a run to a file and drop all but the last ``keep``. Readers see the old file or the new one."""
    past = past_of(report)
    line = {
        "started": past.started.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round(past.seconds, 3),
        "counts": {state.value: number for state, number in past.counts.items()},
        "states": [[check, subject, state.value] for (check, subject), state in past.states.items()],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    write_whole(path, "\n".join([*kept, json.dumps(line)][-keep:]) + "\n")
