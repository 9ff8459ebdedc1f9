"""The DMARC ramp: no stage is left out or hurried, and going back is always possible."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.dns.dmarc_ramp import STAGE_DAYS, STAGES, Policy, Stage, next_stage, ramp_faults

DAY = date(2026, 6, 1)
TODAY = date(2026, 11, 29)


def ramp(*stages: tuple[Policy, int]) -> list[Stage]:
    return [Stage(policy=policy, since=DAY + timedelta(days=number)) for policy, number in stages]


@pytest.mark.parametrize(
    "stages",
    [
        ramp(("none", 0)),
        ramp(("none", 0), ("quarantine", 14), ("reject", 28)),
        ramp(("none", 0), ("quarantine", 20), ("none", 21), ("quarantine", 35)),
        ramp(("none", 0), ("quarantine", 20), ("reject", 40), ("none", 40)),
    ],
)
def test_a_ramp_that_keeps_the_times_is_accepted(stages: list[Stage]) -> None:
    assert list(ramp_faults(stages, TODAY)) == []


@pytest.mark.parametrize(
    ("stages", "index", "rule", "fix"),
    [
        (ramp(("quarantine", 0)), 0, "a ramp begins with none", "add the stage none"),
        (ramp(("none", 0), ("reject", 50)), 1, "leaves a stage out", "enter quarantine first"),
        (ramp(("none", 0), ("quarantine", 13)), 1, "too early", "2026-06-15"),
        (ramp(("none", 0), ("quarantine", 20), ("none", 22), ("quarantine", 30)), 3, "too early", "2026-07-07"),
        (ramp(("none", 20), ("quarantine", 0)), 1, "follows", "in the order"),
        (ramp(("none", 0), ("none", 30)), 1, "follows", "once"),
        (ramp(("none", 500)), 0, "has not come yet", "mailstack dmarc report"),
    ],
)
def test_a_stage_out_of_turn_is_told(stages: list[Stage], index: int, rule: str, fix: str) -> None:
    (fault,) = ramp_faults(stages, TODAY)
    assert fault.index == index
    assert rule in fault.rule
    assert fix in fault.fix


def test_the_next_stage_is_told_with_its_first_day() -> None:
    assert next_stage(ramp(("none", 0))) == Stage(policy="quarantine", since=DAY + timedelta(days=STAGE_DAYS))
    assert next_stage(ramp(("none", 0), ("quarantine", 20), ("reject", 40))) is None


@given(waits=st.lists(st.integers(0, 30), max_size=6))
def test_entering_each_stage_when_it_is_told_is_never_a_fault(waits: list[int]) -> None:
    stages = ramp(("none", 0))
    for wait in waits:
        following = next_stage(stages)
        if following is None:
            break
        stages.append(Stage(policy=following.policy, since=following.since + timedelta(days=wait)))
    assert list(ramp_faults(stages, date(2030, 1, 1))) == []
    assert [stage.policy for stage in stages] == list(STAGES[: len(stages)])
