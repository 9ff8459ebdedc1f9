"""What could lose or delay mail when one declaration takes the place of another."""

from collections.abc import Mapping
from itertools import chain

from mailstack.diff.operations import Operation
from mailstack.diff.risks.hosts import host_risks
from mailstack.diff.risks.model import LEVELS, Level, Risk
from mailstack.diff.risks.postal import postal_risks
from mailstack.diff.risks.records import record_risks
from mailstack.diff.risks.relay import relay_risks
from mailstack.plan import Plan

__all__ = ["LEVELS", "Level", "Risk", "risks"]

REMOVED = Risk(
    level="high",
    rule="stack-removed",
    what="the stack file goes",
    reason="nothing is destroyed by that: hosts, records and queues stay, and nobody looks after them any more",
    advice="`pulumi destroy` first, with empty queues; then remove the file",
)
# Made anew, these lose what they hold.
STATEFUL = ("volume", "network")


def risks(before: Plan | None, after: Plan | None, done: Mapping[str, Operation]) -> tuple[Risk, ...]:
    """Return them, the worst first. A stack that is new loses nothing."""
    if before is None:
        return ()
    if after is None:
        return (REMOVED,)
    found = chain(
        relay_risks(before, after), postal_risks(before, after), record_risks(before, after), host_risks(before, after)
    )
    unique = dict.fromkeys([*found, *_replaced(done), *_warnings(before, after)])
    levels = list(LEVELS)
    return tuple(sorted(unique, key=lambda risk: levels.index(risk.level)))


def _warnings(before: Plan, after: Plan) -> list[Risk]:
    """Return what the plan itself warns of, and did not before."""
    known = {*before.warnings, *before.dns.warnings}
    return [
        Risk(
            level="low",
            rule="new-warning",
            what=sentence,
            reason="every update reports it from now on",
            advice="see to it, or know why not",
        )
        for sentence in (*after.warnings, *after.dns.warnings)
        if sentence not in known
    ]


def _replaced(done: Mapping[str, Operation]) -> list[Risk]:
    """Return the risk of each resource with a state of its own that is made anew."""
    return [
        Risk(
            level="medium",
            rule="stateful-replaced",
            what=f"{one.resource.what} is made anew",
            reason="the old one is removed, or left behind, with what it holds; who is connected to it is cut off",
            advice="say with --target what is to be changed first, or keep its name and addresses",
        )
        for one in done.values()
        if one.word == "replace" and one.resource.type in STATEFUL
    ]
