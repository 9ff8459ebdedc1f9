"""The policy pack: hands what the engine is about to make to the policies of ``mailstack.policy``.

Owns: the way between the engine and the policies. Does not own: any rule. `pulumi preview --policy-pack policy` and
`pulumi up --policy-pack policy` start it; docs/how-to/policy.md tells how.
"""

import sys
from pathlib import Path
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    PolicyResourceOptions,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.deserialize import serialize_properties
from pulumi_policy.proxy import UNKNOWN_STRING_VALUE, UnknownValueError

# The engine starts this folder as a program of its own.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mailstack.policy import POLICIES, Checker, Options, Policy, Resource
from mailstack.policy.checker import EXCEPT
from mailstack.policy.model import Unclear

__all__ = ["MARKS", "Pack"]

MARKS = "secret-marks"
NAMES = {"type": "array", "items": {"type": "string"}}


class Pack:
    """The policies as the engine takes them; ``checker`` remembers what resources tell about later ones."""

    def __init__(self) -> None:
        """Have seen nothing yet."""
        self.checker = Checker()
        self._resources: dict[str, Resource] = {}

    def policies(self) -> list[ResourceValidationPolicy]:
        """Return all policies, before them the one that reads the marks of secrets."""
        marks = ResourceValidationPolicy(
            name=MARKS,
            description="Changes nothing: the engine shows which inputs are secret to remediations only.",
            remediate=self._remember,
            enforcement_level=EnforcementLevel.REMEDIATE,
        )
        return [marks, *(self._policy(policy) for policy in POLICIES)]

    def _remember(self, args: ResourceValidationArgs) -> None:
        """Keep the resource; the engine asks for this before it asks any policy about it."""
        resource = _resource(args)
        self._resources[args.urn] = resource
        self.checker.note(resource)

    def _policy(self, policy: Policy) -> ResourceValidationPolicy:
        def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
            resource = self._resources.get(args.urn)
            if resource is None:
                if policy.needs_marks:
                    args.not_applicable(f"policy {MARKS} is off, so nobody sees what is secret")
                resource = _resource(args)
                self.checker.note(resource)
            found = self.checker.violations(policy, resource, args.get_config())
            for message in found:
                if not isinstance(message, Unclear):
                    report(f"{message}. Fix: {policy.remedy}.", None)
            unclear = [message for message in found if isinstance(message, Unclear)]
            if unclear:
                # The SDK's way to say so: a warning that the policy could not be asked, not silence.
                raise UnknownValueError(UNKNOWN_STRING_VALUE, [resource.name, ", ".join(unclear)])

        numbers = {name: {"type": "integer", "default": value} for name, value in policy.settings.items()}
        return ResourceValidationPolicy(
            name=policy.name,
            description=f"{policy.description} ({policy.source})",
            validate=validate,
            enforcement_level=EnforcementLevel(policy.level),
            config_schema=PolicyConfigSchema(properties={EXCEPT: NAMES, **numbers}),
            remediation_steps=policy.remedy,
        )


def _resource(args: ResourceValidationArgs) -> Resource:
    wire: dict[str, Any] = dict(serialize_properties(args.props))
    return Resource(args.resource_type, args.name, wire, _options(args.opts), args.urn)


def _options(told: PolicyResourceOptions) -> Options:
    return Options(
        protect=told.protect,
        delete_before_replace=bool(told.delete_before_replace),
        parent=told.parent or "",
    )


if __name__ == "__main__":
    PolicyPack(name="mailstack", policies=[*Pack().policies()], enforcement_level=EnforcementLevel.MANDATORY)
