"""What is remembered of runs, and what counts as a change."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.verify.history import changes, file_name, past_of, read_history, remember
from mailstack.verify.model import State, fail, ok
from mailstack.verify.run import Report
from mailstack.verify.target import DomainTarget, HostTarget, Target
from tests.unit.verify_examples import STARTED, a_finding, example_report, made_up_checks, only_these

states = st.lists(st.sampled_from(State), max_size=6)


@pytest.fixture(autouse=True)
def _checks() -> Iterator[None]:
    with only_these(*made_up_checks()):
        yield


def run(*found: State) -> Report:
    """Return a run in which subject 0, 1, … is in these states."""
    findings = [
        a_finding("example-mx", replace(ok(f"d{number}", "x"), state=state)) for number, state in enumerate(found)
    ]
    return replace(example_report(), findings=tuple(findings))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "prod.jsonl"
    remember(path, example_report())
    [past] = read_history(path)
    assert past == replace(past_of(example_report()), seconds=1.234)


def test_only_the_last_runs_are_kept_oldest_first(tmp_path: Path) -> None:
    path = tmp_path / "prod.jsonl"
    for hour in range(7):
        remember(path, example_report(STARTED + timedelta(hours=hour)), keep=3)
    assert [past.started - STARTED for past in read_history(path)] == [timedelta(hours=hour) for hour in (4, 5, 6)]
    assert [one.name for one in tmp_path.iterdir()] == ["prod.jsonl"], "nothing is left behind"


def test_a_line_that_was_cut_does_not_end_the_series(tmp_path: Path) -> None:
    path = tmp_path / "prod.jsonl"
    remember(path, example_report())
    good = path.read_text()
    path.write_text(f'{{"started": "2026-\n[]\n{json.dumps({"started": 3})}\n{good}')
    assert len(read_history(path)) == 1
    assert read_history(tmp_path / "nothing.jsonl") == ()


def test_the_first_run_tells_what_is_not_well() -> None:
    found = changes(None, example_report())
    assert [change.finding.state for change in found if change.finding] == [
        State.FAIL, State.FAIL, State.WARN, State.UNKNOWN,
    ]  # fmt: skip
    assert {change.before for change in found} == {None}


@given(states)
def test_the_same_again_is_no_change(found: list[State]) -> None:
    assert changes(past_of(run(*found)), run(*found)) == ()


@given(states, states)
def test_every_difference_is_a_change_and_nothing_else(before: list[State], after: list[State]) -> None:
    quiet = {State.OK, State.NOT_APPLICABLE}
    expected = set()
    for number in range(max(len(before), len(after))):
        old = before[number] if number < len(before) else None
        new = after[number] if number < len(after) else None
        if old is not new and not ((old is None and new in quiet) or (new is None and old in quiet)):
            expected.add((f"d{number}", old, new))
    told = changes(past_of(run(*before)), run(*after))
    assert {(one.subject, one.before, one.finding and one.finding.state) for one in told} == expected


def test_of_several_findings_about_one_subject_the_worst_is_remembered() -> None:
    both = replace(
        run(),
        findings=(
            a_finding("example-mx", ok("d0", "fine")),
            a_finding("example-mx", fail("d0", "wrong", expected="", fix="")),
        ),
    )
    assert past_of(both).states == {("example-mx", "d0"): State.FAIL}
    [change] = changes(past_of(run(State.OK)), both)
    assert change.finding is not None
    assert change.finding.found == "wrong", "what is told is what got worse"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (Target(stack="prod"), "prod.jsonl"),
        (Target(stack="acme/mailstack/prod"), "acme-mailstack-prod.jsonl"),
        (Target(domains=(DomainTarget(name="example.com"),)), "example.com.jsonl"),
        (Target(hosts=(HostTarget(name="mail.example.com"),)), "mail.example.com.jsonl"),
        (Target(stack="../../etc/passwd"), "etc-passwd.jsonl"),
        (Target(stack="..."), "target.jsonl"),
    ],
)
def test_a_history_has_a_plain_name(target: Target, name: str) -> None:
    assert file_name(target) == name


def test_other_domains_have_another_history() -> None:
    def of(*names: str) -> str:
        return file_name(Target(domains=tuple(DomainTarget(name=name) for name in names)))

    assert of("example.com", "example.org") != of("example.com", "example.net")
    assert of("example.com", "example.org") == of("example.org", "example.com")
