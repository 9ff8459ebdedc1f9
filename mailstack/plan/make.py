"""From settings to the plan, in one pure step that reports every mistake at once."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mailstack.plan.caddy import plan_caddy
from mailstack.plan.cluster import plan_cluster
from mailstack.plan.dns import key_problems, plan_dns
from mailstack.plan.hosts import plan_host
from mailstack.plan.model import Plan
from mailstack.plan.postal import plan_postal
from mailstack.plan.relay import plan_relay
from mailstack.plan.relay_rule import checked_rule, plan_relay_rule
from mailstack.plan.weaknesses import weaknesses
from mailstack.settings.domains_file import with_domains_file
from mailstack.settings.load import Shape, read_shape
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, SettingsError
from mailstack.settings.rules import find_problems
from mailstack.settings.stackfile import PROJECT_FOLDER
from mailstack.settings.written import Written

__all__ = ["load_plan", "make_plan"]

Part = TypeVar("Part")


def load_plan(raw: Mapping[str, Any], folder: Path = PROJECT_FOLDER, *, written: Sequence[Written] = ()) -> Plan:
    """Return the plan of a stack from ``raw``: configuration key (without the project prefix) to value.

    ``folder`` is where a domains file is looked for, where ``raw`` names one; nothing else is read.
    ``written`` are the forms the configuration came in, held against what may not be in clear or too large.

    Raises SettingsError with every problem: the shape of each field, the rules that need several fields, and what the
    definitions find. The latter two are also tried on settings whose shape is wrong, with the wrong parts left out, so
    that one run shows everything; what they say about a part that was left out, or miss there, is dropped.
    """
    shape = read_shape(with_domains_file(raw, folder))
    problems = list(shape.problems)
    for form in written:
        problems += form.problems(shape.settings)
    if shape.settings is not None:
        try:
            plan = make_plan(shape.settings)
        except SettingsError as error:
            problems += [problem for problem in error.problems if not _follows(problem, shape)]
        else:
            if not problems:
                return plan
    raise SettingsError(problems)


def _follows(problem: Problem, shape: Shape) -> bool:
    """Tell whether a problem only follows from something that was left out."""
    return any(shape.left_out_touches(field) for field in (problem.field, problem.refers_to) if field)


def make_plan(settings: Settings) -> Plan:
    """Return the plan of settings whose shape is right. Raises SettingsError with every broken rule."""
    problems: list[Problem] = [*find_problems(settings), *key_problems(settings)]
    dns = _tried(lambda: plan_dns(settings), problems)
    rule = _tried(lambda: checked_rule(settings), problems)
    if problems:  # the definitions would only repeat, in other words, what is wrong already
        raise SettingsError(problems)
    relay = _tried(lambda: plan_relay(settings), problems)
    caddy = _tried(lambda: plan_caddy(settings), problems)
    postal = _tried(lambda: plan_postal(settings), problems)
    if problems or dns is None or relay is None:
        raise SettingsError(problems)
    return Plan(
        settings=settings,
        hosts={name: plan_host(settings, name) for name in settings.hosts},
        dns=dns,
        relay=relay,
        caddy=caddy,
        postal=postal,
        relay_rule=None if rule is None else plan_relay_rule(settings, rule),
        cluster=plan_cluster(settings),
        warnings=tuple(weaknesses(settings)),
    )


def _tried(part: Callable[[], Part], problems: list[Problem]) -> Part | None:
    try:
        return part()
    except SettingsError as error:
        problems += error.problems
        return None
