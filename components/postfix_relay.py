"""Postfix in front of the upstream: on virtual machines, or on a Kubernetes cluster (components/relay_kubernetes.py).

Owns: the Postfix installation of its hosts. Does not own: the upstream's account, the DNS name it greets with.
Precondition: the host has passed its preflight. A change of any setting re-runs the role: the new configuration
is checked beside the old one and replaces it only when Postfix accepts it; queued mail stays. On destroy the role
puts back what was there before, or refuses while mail is queued (docs/how-to/postfix-relay.md, "Remove it").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi

from components.base import Component
from components.relay_kubernetes import place_on_cluster
from components.remote_host import RemoteHost, summary
from mailstack.plan import RelayPlan

__all__ = ["PostfixRelay", "PostfixRelayArgs"]


@dataclass(frozen=True, kw_only=True)
class PostfixRelayArgs:
    """``plan`` is the relay's part of the plan, ``hosts`` every host by name; it is placed after ``after``.

    ``kubeconfig`` is that of a cluster of this stack, for placement kubernetes where the settings name no other.
    """

    plan: RelayPlan
    hosts: Mapping[str, RemoteHost]
    after: Sequence[pulumi.Resource] = ()
    kubeconfig: pulumi.Input[str] | None = None


class PostfixRelay(Component):
    """A send-only Postfix that hands all mail to one upstream over verified TLS."""

    smtp_host: pulumi.Output[str]
    smtp_port: pulumi.Output[int]
    hostname: pulumi.Output[str]
    sender_domains: pulumi.Output[list[str]]
    summary: pulumi.Output[dict[str, Any]]

    def __init__(self, name: str, args: PostfixRelayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``postfix_relay`` on each host, one after the other, or make the cluster's objects."""
        super().__init__(name, args.plan.shown, opts)
        definition = args.plan.definition
        self.ready: list[pulumi.Resource] = []
        for run in args.plan.runs:
            command = args.hosts[run.host].run(run, self._child(depends_on=[*args.after, *self.ready]))
            self.ready.append(command)
            self.summary = summary(command)
        host = definition.listen_addresses[0]
        if args.plan.kubernetes is not None:
            host = args.plan.kubernetes.relay.host
            self.ready += place_on_cluster(name, args.plan, args.plan.kubernetes, args.kubeconfig, self._child)
        self.smtp_host = pulumi.Output.from_input(host)
        self.smtp_port = pulumi.Output.from_input(definition.listen_port)
        self.hostname = pulumi.Output.from_input(definition.hostname)
        self.sender_domains = pulumi.Output.from_input(list(definition.sender_domains))
        self.register_outputs(
            {
                "smtp_host": self.smtp_host,
                "smtp_port": self.smtp_port,
                "hostname": self.hostname,
                "sender_domains": self.sender_domains,
            }
        )
