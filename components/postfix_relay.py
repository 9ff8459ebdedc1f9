"""Postfix in front of the upstream, on one VM or several with the same definition.

Owns: the Postfix installation of its host. Does not own: the upstream's account, the DNS name it greets with.
Precondition: the host has passed its preflight. A change of any setting re-runs the role: the new configuration
is checked beside the old one and replaces it only when Postfix accepts it; queued mail stays. On destroy the role
puts back what was there before, or refuses while mail is queued (docs/how-to/postfix-relay.md, "Remove it").
Several hosts are a chain: each waits for the one before, which has proved that it accepts and delivers. A failure ends
the chain there, and what is removed goes one after the other too, from the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.base import Component
from components.remote_host import RemoteHost
from mailstack.plan import RelayPlan

__all__ = ["PostfixRelay", "PostfixRelayArgs"]


@dataclass(frozen=True, kw_only=True)
class PostfixRelayArgs:
    """``plan`` is the relay's part of the plan, ``hosts`` every host by name; it is placed after ``after``."""

    plan: RelayPlan
    hosts: Mapping[str, RemoteHost]
    after: Sequence[pulumi.Resource] = ()


class PostfixRelay(Component):
    """A send-only Postfix that hands all mail to one upstream over verified TLS."""

    smtp_host: pulumi.Output[str]
    smtp_hosts: pulumi.Output[list[str]]
    smtp_port: pulumi.Output[int]
    hostname: pulumi.Output[str]
    sender_domains: pulumi.Output[list[str]]

    def __init__(self, name: str, args: PostfixRelayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``postfix_relay`` on each host, one after the other."""
        super().__init__(name, args.plan.shown, opts)
        definition = args.plan.definition
        self.ready: list[pulumi.Resource] = []
        for run in args.plan.runs:
            self.ready.append(args.hosts[run.host].run(run, self._child(depends_on=[*args.after, *self.ready])))
        self.smtp_host = pulumi.Output.from_input(args.plan.smtp_host)
        self.smtp_hosts = pulumi.Output.from_input(list(args.plan.smtp_hosts))
        self.smtp_port = pulumi.Output.from_input(definition.listen_port)
        self.hostname = pulumi.Output.from_input(definition.hostname)
        self.sender_domains = pulumi.Output.from_input(list(definition.sender_domains))
        self.register_outputs(
            {
                "smtp_host": self.smtp_host,
                "smtp_hosts": self.smtp_hosts,
                "smtp_port": self.smtp_port,
                "hostname": self.hostname,
                "sender_domains": self.sender_domains,
            }
        )
