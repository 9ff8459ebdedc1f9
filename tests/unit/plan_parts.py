"""Short ways to the parts of a plan that tests look at."""

from collections.abc import Mapping
from typing import Any

from mailstack.dns import Record
from mailstack.plan import Plan, RoleRun
from mailstack.postfix.relay import RelayDefinition
from mailstack.relay_rule import RelayRule


def relay_definition(plan: Plan) -> RelayDefinition:
    return plan.relay.definition


def relay_rule(plan: Plan) -> RelayRule:
    assert plan.relay_rule is not None
    return plan.relay_rule.rule


def probe_settings(plan: Plan) -> Mapping[str, Any]:
    assert plan.relay_rule is not None
    return plan.relay_rule.runs[0].settings


def dns_records(plan: Plan) -> tuple[Record, ...]:
    return plan.dns.records


def role_run(plan: Plan, role: str, host: str | None = None) -> RoleRun:
    """Return the first run of ``role``, on ``host`` where given."""
    return next(run for run in plan.runs() if run.role == role and host in {None, run.host})


def role_settings(plan: Plan, role: str, host: str | None = None) -> Mapping[str, Any]:
    return role_run(plan, role, host).settings


def has_run(plan: Plan, role: str, host: str | None = None) -> bool:
    return any(run.role == role and host in {None, run.host} for run in plan.runs())


def preflight_settings(plan: Plan, host: str) -> Mapping[str, Any]:
    return role_settings(plan, "preflight", host)


def postal_role(plan: Plan) -> Mapping[str, Any]:
    return role_settings(plan, "postal")
