"""What a run of all policies is told as: one document for programs, which people's tables are made of too."""

from collections.abc import Mapping, Sequence
from typing import Any

from mailstack.policy.checker import Checker, Finding, level_of
from mailstack.policy.model import Level, Resource
from mailstack.policy.policies import POLICIES

__all__ = ["policy_report"]


def policy_report(stack: str, resources: Sequence[Resource], config: Mapping[str, Any]) -> dict[str, Any]:
    """Hold ``resources``, in the order of their registration, against all policies and return what was seen.

    ``ok``: no mandatory policy is violated. Of each policy: ``applies`` in this environment, its ``violations``, and
    ``unclear``: inputs that only an update tells.
    """
    checker = Checker(config)
    found = [finding for resource in resources for finding in checker.check(resource)]
    policies = [
        {
            "name": policy.name,
            "description": policy.description,
            "level": level_of(policy, config),
            "applies": checker.environment in policy.environments,
            "source": policy.source,
            "remedy": policy.remedy,
            "violations": [_told(one) for one in found if one.policy is policy and not one.unclear],
            "unclear": [_told(one) for one in found if one.policy is policy and one.unclear],
        }
        for policy in POLICIES
    ]
    return {
        "stack": stack,
        "environment": checker.environment,
        "resources": len(resources),
        "ok": all(one.unclear or one.level is not Level.MANDATORY for one in found),
        "policies": policies,
    }


def _told(finding: Finding) -> dict[str, str]:
    return {"resource": finding.resource.name, "type": finding.resource.type, "message": finding.message}
