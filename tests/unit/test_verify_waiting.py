"""Waiting until DNS shows what is right: for what may still come right, and no longer than said."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailstack.verify.model import State, ok
from mailstack.verify.run import Report
from mailstack.verify.verdict import FailOn
from mailstack.verify.waiting import CAN_PROPAGATE, LONGEST_PAUSE_SECONDS, merged, pending, wait_until_seen
from tests.unit.verify_examples import a_finding, example_report, made_up_checks, only_these


@pytest.fixture(autouse=True)
def _checks() -> Iterator[None]:
    with only_these(*made_up_checks()):
        yield


class Clock:
    """Time that passes only when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def run(**states: State) -> Report:
    """Return a run in which the checks called example-… are in these states."""
    findings = [
        a_finding(f"example-{name.replace('_', '-')}", replace(ok("example.com", "x"), state=state))
        for name, state in states.items()
    ]
    return replace(example_report(), findings=tuple(findings))


def test_what_dns_decides_is_waited_for_and_nothing_else() -> None:
    report = run(spf=State.FAIL, block_lists=State.FAIL, mx=State.OK, certificate=State.FAIL)
    assert pending(report) == ("example-spf",)
    assert {29, 41, 40, 26, 19} & CAN_PROPAGATE == set(), "no cache makes these come right"


def test_the_threshold_says_what_is_waited_for() -> None:
    report = run(spf=State.WARN, dkim=State.UNKNOWN)
    assert pending(report) == ()
    assert pending(report, FailOn.WARN) == ("example-spf",)
    assert pending(report, FailOn.UNKNOWN) == ("example-spf", "example-dkim")


def test_only_what_is_pending_is_looked_at_again_and_the_rest_stays() -> None:
    clock, asked = Clock(), list[tuple[str, ...]]()
    seen = [run(spf=State.FAIL, mx=State.OK), run(spf=State.OK), run(mx=State.OK)]

    def look(names: tuple[str, ...]) -> Report:
        asked.append(names)
        return seen[len(asked) - 1]

    first = run(spf=State.FAIL, mx=State.FAIL, block_lists=State.FAIL)
    last = wait_until_seen(first, look, seconds=600, clock=clock, sleep=clock.sleep)
    assert asked == [("example-spf", "example-mx"), ("example-spf",)]
    assert {finding.check: finding.state for finding in last.findings} == {
        "example-block-lists": State.FAIL, "example-mx": State.OK, "example-spf": State.OK,
    }  # fmt: skip


def test_nothing_is_waited_for_where_nothing_is_wrong() -> None:
    def never(_names: tuple[str, ...]) -> Report:
        raise AssertionError("nobody asked for it")

    report = run(spf=State.OK, block_lists=State.FAIL)
    assert wait_until_seen(report, never, seconds=600) is report


def test_the_deadline_ends_it_with_what_was_seen_last() -> None:
    clock = Clock()
    left: list[float] = []
    last = wait_until_seen(
        run(spf=State.FAIL),
        lambda _names: run(spf=State.FAIL),
        seconds=100,
        tell=lambda _names, _pause, rest: left.append(rest),
        clock=clock,
        sleep=clock.sleep,
    )
    assert pending(last) == ("example-spf",)
    assert clock.now == 1100.0, "to the second"
    assert left[0] == 100
    assert left == sorted(left, reverse=True)


def test_pauses_grow_so_that_nobody_is_asked_every_few_seconds() -> None:
    clock = Clock()
    wait_until_seen(run(spf=State.FAIL), lambda _: run(spf=State.FAIL), seconds=1000, clock=clock, sleep=clock.sleep)
    assert clock.pauses[:4] == [5, 10, 20, 40]
    assert max(clock.pauses) == LONGEST_PAUSE_SECONDS


def test_a_merged_report_has_each_check_once() -> None:
    both = merged(run(spf=State.FAIL, mx=State.OK), run(spf=State.OK), ["example-spf"])
    assert [(finding.check, finding.state) for finding in both.findings] == [
        ("example-mx", State.OK), ("example-spf", State.OK),
    ]  # fmt: skip
