"""The way to a strict DMARC policy in stages: none, quarantine, reject, each with the day it was entered.

A stage is entered by a commit, after reports showed who would break. Neither pct (gone with RFC 9989) nor t=y (readers
of RFC 7489 ignore it) is a way to go slowly. Pure: today is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

__all__ = ["STAGES", "STAGE_DAYS", "RampFault", "Stage", "next_stage", "ramp_faults"]

Policy = Literal["none", "quarantine", "reject"]
STAGES: tuple[Policy, ...] = ("none", "quarantine", "reject")
STAGE_DAYS = 14  # of reports before the next stage: two weeks hold every weekly sender twice


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A policy, and the day it was entered."""

    policy: Policy
    since: date


@dataclass(frozen=True, kw_only=True)
class RampFault:
    """What is wrong with one stage, by its place."""

    index: int
    rule: str
    fix: str


def next_stage(stages: Sequence[Stage]) -> Stage | None:
    """Return the stage after the last one, with the first day it may be entered; None at the end."""
    last = stages[-1]
    if last.policy == STAGES[-1]:
        return None
    return Stage(policy=STAGES[STAGES.index(last.policy) + 1], since=last.since + timedelta(days=STAGE_DAYS))


def ramp_faults(stages: Sequence[Stage], today: date) -> Iterator[RampFault]:
    """Yield what is wrong with a ramp. Going back is always allowed, and at once."""
    for index, stage in enumerate(stages):
        if stage.since > today:
            yield RampFault(
                index=index,
                rule=f"{stage.since} has not come yet: a stage is entered by a commit, never by the calendar",
                fix="add the stage on the day it is entered, after `mailstack dmarc report`",
            )
        if index == 0:
            if stage.policy != STAGES[0]:
                yield RampFault(
                    index=index,
                    rule=f"the first stage is {stage.policy}; a ramp begins with none",
                    fix="add the stage none, or write `policy` instead of a ramp for a domain that is past that",
                )
            continue
        yield from _step(index, stages[index - 1], stage)


def _step(index: int, before: Stage, stage: Stage) -> Iterator[RampFault]:
    steps = STAGES.index(stage.policy) - STAGES.index(before.policy)
    if stage.since < before.since or steps == 0:
        yield RampFault(
            index=index,
            rule=f"{stage.policy} since {stage.since} follows {before.policy} since {before.since}",
            fix="list each stage once, in the order of the days they were entered",
        )
    elif steps > 1:
        yield RampFault(
            index=index,
            rule=f"{before.policy} to {stage.policy} leaves a stage out",
            fix=f"enter {STAGES[STAGES.index(before.policy) + 1]} first, for {STAGE_DAYS} days of reports",
        )
    elif steps == 1 and stage.since < before.since + timedelta(days=STAGE_DAYS):
        yield RampFault(
            index=index,
            rule=f"{stage.policy} on {stage.since} is too early: {before.policy} needs {STAGE_DAYS} days of reports",
            fix=f"enter it on {before.since + timedelta(days=STAGE_DAYS)} or later",
        )
