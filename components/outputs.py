"""Stack outputs that are flat values; what the components tell of themselves, ``__main__.py`` exports."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

from components.postal_host import PostalHost
from mailstack.outputs.contract import CONTRACT_VERSION
from mailstack.outputs.further import Flat, plan_outputs, postal_outputs
from mailstack.plan import Plan, Secret

__all__ = ["export_plan", "export_postal"]


def export_plan(plan: Plan) -> None:
    """Tell the contract's version and what follows from the plan alone."""
    pulumi.export("contract_version", CONTRACT_VERSION)
    for name, value in plan_outputs(plan).items():
        pulumi.export(name, _marked(value))


def export_postal(plan: Plan, postal: PostalHost) -> None:
    """Tell Postal's addresses and keys, once they work."""
    told = {} if plan.postal is None else postal_outputs(plan.postal.mail_servers)
    for name, value in told.items():
        pulumi.export(name, pulumi.Output.all(_marked(value), postal.health).apply(_first))


def _marked(value: Flat) -> pulumi.Input[Any]:
    """Return ``value``, as a secret where it holds any."""
    if isinstance(value, Mapping) and any(isinstance(one, Secret) for one in value.values()):
        return pulumi.Output.secret({name: one.value for name, one in value.items() if isinstance(one, Secret)})
    return value


def _first(values: Sequence[Any]) -> Any:
    return values[0]
