"""From settings to the plan, in one pure step that reports every mistake at once."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mailstack.plan.caddy import plan_caddy
from mailstack.plan.cluster import plan_cluster
from mailstack.plan.dated import dated_problems
from mailstack.plan.dkim_keys import key_problems
from mailstack.plan.dns import plan_dns
from mailstack.plan.flatten import flatten_problems, old_addresses, read_addresses
from mailstack.plan.hosts import plan_host
from mailstack.plan.model import Plan
from mailstack.plan.outside import NOTHING, Outside
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


def load_plan(
    raw: Mapping[str, Any],
    folder: Path = PROJECT_FOLDER,
    *,
    written: Sequence[Written] = (),
    outside: Outside = NOTHING,
) -> Plan:
    """Return the plan of a stack from ``raw``: configuration key (without the project prefix) to value.

    ``folder`` is where a domains file is looked for, where ``raw`` names one, and the addresses of flattened SPF
    includes; nothing else is read. ``outside`` says what day it is, and whether DNS is asked.
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
            held = read_addresses(shape.settings, folder)
            asked = outside.look if not problems else None  # what is refused anyway need not wait for an answer
            plan = make_plan(shape.settings, replace(outside, flattened=held, look=asked))
        except SettingsError as error:
            problems += [problem for problem in error.problems if not _follows(problem, shape)]
        else:
            if not problems:
                return plan
    raise SettingsError(problems)


def _follows(problem: Problem, shape: Shape) -> bool:
    """Tell whether a problem only follows from something that was left out."""
    return any(shape.left_out_touches(field) for field in (problem.field, problem.refers_to) if field)


def make_plan(settings: Settings, outside: Outside = NOTHING) -> Plan:
    """Return the plan of settings whose shape is right. Raises SettingsError with every broken rule."""
    problems: list[Problem] = [
        *find_problems(settings),
        *key_problems(settings),
        *dated_problems(settings, outside.today),
        *flatten_problems(settings, outside.flattened),
    ]
    if problems:
        outside = replace(outside, look=None)
    dns = _tried(lambda: plan_dns(settings, outside), problems)
    rule = _tried(lambda: checked_rule(settings), problems)
    if problems:  # the definitions would only repeat, in other words, what is wrong already
        raise SettingsError(problems)
    relay = _tried(lambda: plan_relay(settings), problems)
    caddy = _tried(lambda: plan_caddy(settings), problems)
    postal = _tried(lambda: plan_postal(settings), problems)
    if problems or dns is None or relay is None:
        raise SettingsError(problems)
    old = () if outside.today is None else old_addresses(settings, outside.flattened, outside.today)
    return Plan(
        settings=settings,
        hosts={name: plan_host(settings, name) for name in settings.hosts},
        dns=dns,
        relay=relay,
        caddy=caddy,
        postal=postal,
        relay_rule=None if rule is None else plan_relay_rule(settings, rule),
        cluster=plan_cluster(settings),
        warnings=(*weaknesses(settings), *old),
    )


def _tried(part: Callable[[], Part], problems: list[Problem]) -> Part | None:
    try:
        return part()
    except SettingsError as error:
        problems += error.problems
        return None
