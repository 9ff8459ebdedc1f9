"""Who may send through the company's Google Workspace."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.policy.exposure import holds_everybody
from mailstack.policy.model import Level, Policy, Resource, Seen
from mailstack.policy.wire import text_of

__all__ = ["WORKSPACE"]


def _workspace(resource: Resource, _seen: Seen, _config: Mapping[str, Any]) -> Iterator[str]:
    if not resource.is_component("WorkspaceRelayRule"):
        return
    inputs = resource.inputs
    if inputs.get("rule/allowed_senders") == "any-address":
        yield "rule/allowed_senders is any-address: a stolen relay could send in anyone's name"
    ranges = text_of(inputs.get("rule/ip_ranges"))
    if holds_everybody(ranges):
        yield f"rule/ip_ranges is {ranges}: whoever reaches Google may relay"
    if not ranges and inputs.get("rule/require_smtp_auth") != "yes":
        yield "the rule names neither addresses nor a login: whoever reaches Google may relay"


WORKSPACE = Policy(
    name="workspace-rule-names-senders",
    description="The Workspace relay rule takes the company's own senders from known hosts only.",
    level=Level.MANDATORY,
    source="https://support.google.com/a/answer/2956491 (SMTP relay service)",
    remedy="set relay_rule.allowed_senders to domain-addresses, and relay_rule.ip_ranges or require_smtp_auth",
    check=_workspace,
)
