"""``mailstack drift``: each way of looking in its turn, what all of them found, and hosts brought back."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cli.common import print_json, say, tell
from cli.operate_options import agree
from mailstack.settings.stackfile import StackFileError

if TYPE_CHECKING:
    from mailstack.plan import Plan

__all__ = ["EXIT_DRIFT", "Looked", "Repaired", "look", "repaired", "show"]

# The exit code of a role's --check too.
EXIT_DRIFT = 2
NAMES = {"engine": "the engine's preview with a refresh", "hosts": "hosts, containers, objects and records"}


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What each look found, in sentences ``resource: what``, and what could not be looked at, with the reason."""

    found: Mapping[str, list[str]]
    not_seen: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What each role has changed, by its resource, and why there was no more."""

    changed: Mapping[str, list[str]]
    failed: str | None = None


def look(looks: Mapping[str, Callable[[], list[str]]], *, unseen: Mapping[str, str]) -> Looked:
    """Take every look; one that fails does not keep the others from being taken.

    ``unseen`` is what single hosts and others could not tell, by name, once the looks are taken.
    """
    found: dict[str, list[str]] = {}
    not_seen: dict[str, str] = {}
    for source, one in looks.items():
        tell(f"looking: {NAMES[source]}")
        try:
            found[source] = one()
        except (RuntimeError, StackFileError) as error:  # each says what could not be looked at, and why
            not_seen[source] = str(error)
    return Looked(found=found, not_seen={**not_seen, **unseen})


def repaired(plan: "Plan", looked: Looked, *, yes: bool) -> Repaired:
    """Run each role whose host differs once more, when a person agrees; each undoes what others have changed there.

    Refused, in ``failed``, where the engine did not look or something is declared that was not brought up: the run
    would bring that up, too, beside the engine and without its order.
    """
    from mailstack.reach.drift import repair
    from mailstack.reach.engine_drift import NOT_BROUGHT_UP

    if "engine" not in looked.found:
        return Repaired(changed={}, failed=f"the engine has not looked: {looked.not_seen['engine']}")
    new = [sentence for sentence in looked.found["engine"] if sentence.endswith(NOT_BROUGHT_UP)]
    if new:
        return Repaired(changed={}, failed=f"{new[0]}. It runs these roles as well")
    differing = {sentence.partition(": ")[0] for sentence in looked.found.get("hosts", ())}
    runs = {run.name: run.host for run in plan.runs() if run.name in differing}
    if not runs:
        return Repaired(changed={})
    for sentence in looked.found["hosts"]:
        tell(f"drift: {sentence}")
    told = [f"{name} runs again on {host}, as an update runs it: services may restart" for name, host in runs.items()]
    agree(told, yes=yes)
    changed: dict[str, list[str]] = {}
    try:
        changed.update(repair(plan, runs, tell))
    except RuntimeError as error:
        return Repaired(changed=changed, failed=str(error))
    return Repaired(changed=changed)


def show(stack: str, looked: Looked, repaired: Repaired | None = None, *, as_json: bool) -> int:
    """Tell people or machines.

    Returns 2 where something differs, else 1 where something was not seen or not repaired, else 0. What was repaired
    differs no more.
    """
    done = {} if repaired is None else repaired.changed
    failed = None if repaired is None else repaired.failed
    left = [
        (source, resource if what else None, what or resource)
        for source, sentences in looked.found.items()
        for resource, _, what in (sentence.partition(": ") for sentence in sentences)
        if source != "hosts" or resource not in done
    ]
    if as_json:
        document: dict[str, object] = {
            "stack": stack,
            "looked": {source: source in looked.found for source in NAMES},
            "not_seen": looked.not_seen,
            "differences": [dict(zip(("source", "resource", "what"), one, strict=True)) for one in left],
        }
        if repaired is not None:
            document |= {"repaired": done, "not_repaired": failed}
        print_json(document)
    else:
        for name, changes in done.items():
            say(f"repaired: {name}: {'; '.join(changes) or 'nothing was left to change'}")
        for _, resource, what in left:
            say(f"drift: {what}" if resource is None else f"drift: {resource}: {what}")
        for source, why in looked.not_seen.items():
            say(f"not seen: {NAMES.get(source, source)}: {why}")
        if failed is not None:
            say(f"not repaired: {failed}")
        if left or not (looked.not_seen or failed):
            say(f"{len(left)} differences" if left else "hosts, objects and records are as declared")
    return EXIT_DRIFT if left else int(bool(looked.not_seen or failed))
