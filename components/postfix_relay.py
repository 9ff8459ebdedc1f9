"""Postfix in front of the upstream, on a VM.

Owns: the Postfix installation of its host. Does not own: the upstream's account, the DNS name it greets with.
Precondition: the host has passed its preflight. A change of any setting re-runs the role: the new configuration
is checked beside the old one and replaces it only when Postfix accepts it; queued mail stays. On destroy the role
puts back what was there before, or refuses while mail is queued (docs/how-to/remove-a-relay.md).
"""

from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, RoleRun, summary
from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.settings.model import Settings
from mailstack.stack import relay_definition

__all__ = ["PostfixRelay", "PostfixRelayArgs"]


@dataclass(frozen=True, kw_only=True)
class PostfixRelayArgs:
    """``definition`` is the same for every placement; ``sasl_password`` is needed where it names a SASL user."""

    host: RemoteHost
    definition: RelayDefinition
    sasl_password: pulumi.Input[str] | None = None
    on_destroy: Literal["remove", "keep"] = "remove"

    def __post_init__(self) -> None:
        """Refuse a login without its other half."""
        if (self.definition.sasl_username is None) != (self.sasl_password is None):
            raise ValueError("sasl_password: goes with definition.sasl_username; give both or neither")

    @classmethod
    def of(cls, settings: Settings, host: RemoteHost) -> "PostfixRelayArgs":
        """Take what concerns the relay out of the stack's settings."""
        upstream = settings.relay.upstream
        password = upstream.password if upstream.auth == "sasl" else None
        return cls(
            host=host,
            definition=relay_definition(settings),
            sasl_password=None if password is None else pulumi.Output.secret(password.get_secret_value()),
            on_destroy=settings.relay.on_destroy,
        )


class PostfixRelay(Component):
    """A send-only Postfix that hands all mail to one upstream over verified TLS."""

    smtp_host: pulumi.Output[str]
    smtp_port: pulumi.Output[int]
    hostname: pulumi.Output[str]
    sender_domains: pulumi.Output[list[str]]
    summary: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: PostfixRelayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``postfix_relay`` on the host."""
        super().__init__(name, opts)
        definition = args.definition
        run = RoleRun(
            role="postfix_relay",
            settings=role_settings(definition),
            secrets={} if args.sasl_password is None else {"sasl_password": args.sasl_password},
            on_destroy=args.on_destroy,
        )
        self.command = args.host.run(run, f"{name}-postfix", self._child())
        self.smtp_host = pulumi.Output.from_input(definition.listen_addresses[0])
        self.smtp_port = pulumi.Output.from_input(definition.listen_port)
        self.hostname = pulumi.Output.from_input(definition.hostname)
        self.sender_domains = pulumi.Output.from_input(list(definition.sender_domains))
        self.summary = summary(self.command)
        self.register_outputs(
            {
                "smtp_host": self.smtp_host,
                "smtp_port": self.smtp_port,
                "hostname": self.hostname,
                "sender_domains": self.sender_domains,
            }
        )
