"""Postfix in front of the upstream: on VMs, in a container of a Docker engine, or on a Kubernetes cluster.

Owns: the Postfix installation of its hosts, or the container with its networks and queue, or the cluster's objects.
Does not own: the upstream's account, the DNS name it greets with. Precondition: a host has passed its preflight. On a
VM a change of any setting re-runs the role: the new configuration is checked beside the old one and replaces it only
when Postfix accepts it; queued mail stays. On destroy the role puts back what was there before, or refuses while mail
is queued (docs/how-to/postfix-relay.md, "Remove it"). Elsewhere the queue's volumes stay (relay-in-docker.md,
relay-on-kubernetes.md). Several hosts are a chain: each waits for the one before, which has proved that it accepts and
delivers. A failure ends the chain there, and what is removed goes one after the other too, from the end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.base import Component
from components.relay_kubernetes import place_on_cluster
from components.remote_host import RemoteHost
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
    smtp_hosts: pulumi.Output[list[str]]
    smtp_port: pulumi.Output[int]
    hostname: pulumi.Output[str]
    sender_domains: pulumi.Output[list[str]]
    smtp_environment: pulumi.Output[dict[str, str]]
    compose_snippet: pulumi.Output[str] | None = None

    def __init__(self, name: str, args: PostfixRelayArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``postfix_relay`` on each host in turn, or place the container, or make the cluster's objects."""
        super().__init__(name, args.plan.shown, opts)
        definition = args.plan.definition
        self.ready: list[pulumi.Resource] = []
        for run in args.plan.runs:
            self.ready.append(args.hosts[run.host].run(run, self._child(depends_on=[*args.after, *self.ready])))
        docker = args.plan.docker
        if docker is not None:
            # Only a stack with such a relay pays for the SDK.
            from components.relay_docker import place_in_docker  # noqa: PLC0415

            on_host = () if docker.host is None else args.hosts[docker.host].ready
            self.ready += place_in_docker(name, docker, self._child, [*args.after, *on_host])
        if args.plan.kubernetes is not None:
            self.ready += place_on_cluster(name, args.plan, args.plan.kubernetes, args.kubeconfig, self._child)
        if args.plan.compose_snippet is not None:
            self.compose_snippet = pulumi.Output.from_input(args.plan.compose_snippet)
        self.smtp_environment = pulumi.Output.from_input(dict(args.plan.smtp_environment))
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
                "smtp_environment": self.smtp_environment,
                "compose_snippet": self.compose_snippet,
            }
        )
