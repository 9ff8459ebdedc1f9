"""The SMTP relay rule of Google Workspace: declared, explained, proved.

Google offers no API that writes this rule, so a person does, once. Owns: the console steps with the values to paste
(an output that changes only when the rule does) and the probe that proves the rule from the host that sends.
Does not own: the rule itself. The probe never sends a message. It runs again when the rule or the probe changes.
"""

from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, RoleRun, summary
from mailstack.bundle import ROLE_TIMEOUT_SECONDS
from mailstack.relay_rule import RelayRule, console_steps
from mailstack.settings.model import Settings
from mailstack.stack import probe_settings, relay_rule

__all__ = ["WorkspaceRelayRule", "WorkspaceRelayRuleArgs"]


@dataclass(frozen=True, kw_only=True)
class WorkspaceRelayRuleArgs:
    """``probe`` are the settings of role ``relay_probe``; ``credentials`` the relay's own login, if it has one."""

    host: RemoteHost
    rule: RelayRule
    probe: dict[str, Any]
    username: str | None = None
    password: pulumi.Input[str] | None = None

    @classmethod
    def of(cls, settings: Settings, host: RemoteHost) -> "WorkspaceRelayRuleArgs":
        """Take what concerns the rule out of the stack's settings."""
        upstream = settings.relay.upstream
        login = upstream.auth == "sasl" and upstream.password is not None
        return cls(
            host=host,
            rule=relay_rule(settings),
            probe=probe_settings(settings),
            username=upstream.username if login else None,
            password=pulumi.Output.secret(upstream.password.get_secret_value())
            if login and upstream.password
            else None,
        )


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


class WorkspaceRelayRule(Component):
    """Console steps to follow by hand, and a proof that they were followed."""

    console_steps: pulumi.Output[str]
    probe: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: WorkspaceRelayRuleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Render the steps and probe the upstream."""
        super().__init__(name, opts)
        steps = console_steps(args.rule)
        secrets: dict[str, pulumi.Input[str]] = {}
        if args.username is not None and args.password is not None:
            secrets = {"username": args.username, "password": args.password}
        # The steps are part of the input so that a changed rule is probed again.
        run = RoleRun(
            role="relay_probe",
            settings={**args.probe, "rule": steps},
            secrets=secrets,
            # A probe may poll for a day; the limit is for one that hangs.
            timeout_seconds=int(args.probe["deadline_seconds"]) + ROLE_TIMEOUT_SECONDS,
        )
        self.console_steps = pulumi.Output.from_input(steps)
        self.probe = summary(args.host.run(run, f"{name}-probe", self._child())).apply(_verdict)
        self.register_outputs({"console_steps": self.console_steps, "probe": self.probe})
