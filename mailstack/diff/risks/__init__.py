"""What could lose or delay mail when one declaration takes the place of another."""

from collections.abc import Mapping, Sequence
from itertools import chain

from mailstack.diff.operations import Operation
from mailstack.diff.risks.hosts import host_risks
from mailstack.diff.risks.logins import login_risks
from mailstack.diff.risks.model import LEVELS, Level, Risk, listed
from mailstack.diff.risks.postal import postal_risks
from mailstack.diff.risks.records import record_risks
from mailstack.diff.risks.relay import relay_risks
from mailstack.plan import Plan
from mailstack.settings.environments import ENVIRONMENTS, Environment

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
VOLUME = "volume"


def risks(
    before: Plan | None, after: Plan | None, done: Mapping[str, Operation], beside: Sequence[str] = ()
) -> tuple[Risk, ...]:
    """Return them, the worst first. A stack that is new loses nothing.

    ``beside`` are stacks whose files go where this one is new, or are new where this one goes.
    """
    if before is None:
        return (_renamed(beside, "goes"),) if beside else ()
    if after is None:
        return (_renamed(beside, "is new"),) if beside else (REMOVED,)
    found = chain(
        _environment(before.settings.environment, after.settings.environment),
        relay_risks(before, after),
        postal_risks(before, after),
        login_risks(before, after),
        record_risks(before, after),
        host_risks(before, after),
    )
    unique = dict.fromkeys(
        [*found, *_replaced(done), *_emptied(done), *_namespaces(done, after), *_warnings(before, after)]
    )
    levels = list(LEVELS)
    return tuple(sorted(unique, key=lambda risk: levels.index(risk.level)))


def _environment(old: Environment, new: Environment) -> list[Risk]:
    if ENVIRONMENTS.index(new) >= ENVIRONMENTS.index(old):
        return []
    return [
        Risk(
            level="medium",
            rule="environment-weaker",
            what=f"environment: {old} becomes {new}",
            reason=f"rules and policies that hold in {old} alone hold no more: pinned SSH keys, DMARC, images by "
            "digest, and what else guards live mail",
            advice=f"keep `{old}` for a stack that sends live mail; a stack file of its own for another environment",
        )
    ]


def _renamed(beside: Sequence[str], what: str) -> Risk:
    return Risk(
        level="high",
        rule="stack-renamed",
        what=f"in the same change the stack file of {listed(beside)} {what}",
        reason="to Pulumi another name is another stack: `pulumi up` would make everything once more, on hosts and "
        "records that the old one still holds",
        advice="where it is the same stack with another name, `pulumi stack rename` first: the preview then changes "
        "nothing",
    )


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


def _emptied(done: Mapping[str, Operation]) -> list[Risk]:
    """Return the risk of each volume that is deleted with what is in it."""
    return [
        Risk(
            level="high",
            rule="queue-volume-deleted",
            what=f"{one.before.what} is deleted with the mail in it",
            reason="keep_queue is false: the engine removes the volume, and nobody sends what is queued there",
            advice="set keep_queue: true and update once before this change, or empty the queue first",
        )
        for one in done.values()
        if one.before is not None
        and one.before.type == VOLUME
        and not one.before.stays
        and one.word in {"delete", "replace"}
    ]


def _namespaces(done: Mapping[str, Operation], after: Plan) -> list[Risk]:
    """Return the risk of each namespace that is deleted while something of the stack goes on in it."""
    relay, postal = after.relay.kubernetes, None if after.postal is None else after.postal.kubernetes
    used = [] if relay is None else [relay.relay.namespace]
    used += [] if postal is None else [postal.postal.namespace]
    names = [f"Namespace {name}" for name in used]
    return [
        Risk(
            level="high",
            rule="namespace-deleted",
            what=f"{one.resource.what} is deleted, and the cluster deletes all that is in it",
            reason="create_namespace: false lets the engine delete what it made: pods, services and Secrets there end, "
            "though they are declared as before",
            advice="set on_destroy: keep and update once before this change: the namespace is then only forgotten",
        )
        for one in done.values()
        if one.word == "delete" and not one.stays and one.resource.what in names
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
