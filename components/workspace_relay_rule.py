"""The SMTP relay rule of Google Workspace: declared, explained, proved.

Google offers no API that writes this rule, so a person does, once. Owns: the console steps with the values to paste
(an output that changes only when the rule does) and the probe that proves the rule from the host that sends.
Does not own: the rule itself. The probe never sends a message. It runs again when the rule or the probe changes.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, summary
from mailstack.plan import RelayRulePlan

__all__ = ["WorkspaceRelayRule", "WorkspaceRelayRuleArgs"]


@dataclass(frozen=True, kw_only=True)
class WorkspaceRelayRuleArgs:
    """``plan`` is the rule's part of the plan."""

    plan: RelayRulePlan
    hosts: Mapping[str, RemoteHost]


def _verdict(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a reader of the outputs wants to know; the whole conversation stays in the command's output."""
    probe = summary["facts"]["probe"]
    tls: dict[str, Any] = next((step for step in probe["steps"] if step["step"] == "tls"), {})
    return {
        "ok": probe["ok"],
        "target": probe["target"],
        "tls_version": tls.get("version"),
        "certificate_expires": tls.get("certificate", {}).get("not_after"),
        "failure": probe["failure"],
    }


def _worst(verdicts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the first verdict that is not ok, else the first one."""
    found = list(verdicts.values())
    return next((verdict for verdict in found if not verdict["ok"]), found[0])


class WorkspaceRelayRule(Component):
    """Console steps to follow by hand, and a proof that they were followed."""

    console_steps: pulumi.Output[str]
    # None where no host of the stack is one that mail leaves from: nobody could ask the way the relay does.
    probe: pulumi.Output[dict[str, Any]] | None
    probes: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: WorkspaceRelayRuleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Tell the steps and probe the upstream, where a host of ours is where the mail leaves from."""
        super().__init__(name, args.plan.shown, opts)
        self.console_steps = pulumi.Output.from_input(args.plan.console_steps)
        # Each address has to be in the rule: every host asks for itself.
        made = {run.host: args.hosts[run.host].run(run, self._child()) for run in args.plan.runs}
        verdicts = {host: summary(command).apply(_verdict) for host, command in made.items()}
        self.commands: list[pulumi.Resource] = list(made.values())
        self.probes = pulumi.Output.all(**verdicts)
        self.probe = self.probes.apply(_worst) if verdicts else None
        probed = {} if self.probe is None else {"probe": self.probe, "probes": self.probes}
        self.register_outputs({"console_steps": self.console_steps, **probed})
