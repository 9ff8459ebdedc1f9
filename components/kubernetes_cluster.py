"""A Kubernetes cluster by k3s on hosts of the stack.

Owns: k3s on each of its hosts, the nodes' membership, and the administrator's access to it, which is a secret output.
Does not own: the hosts, what runs in the cluster, and the volumes pods keep there. On destroy nodes stay unless told
otherwise: with them goes everything that runs there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.base import Component
from components.remote_host import RemoteHost, secret_output, summary
from mailstack.plan import ClusterPlan

__all__ = ["KubernetesCluster", "KubernetesClusterArgs"]


@dataclass(frozen=True, kw_only=True)
class KubernetesClusterArgs:
    """``plan`` is the cluster's part of the plan. ``after``: what has to be there first."""

    plan: ClusterPlan
    hosts: Mapping[str, RemoteHost]
    after: Sequence[pulumi.Resource] = ()


class KubernetesCluster(Component):
    """Nodes that are ready, one made or upgraded after the other."""

    kubeconfig: pulumi.Output[str]
    version: pulumi.Output[str]

    def __init__(self, name: str, args: KubernetesClusterArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        """Run role ``k3s`` on one node after the other, then those for the whole cluster."""
        super().__init__(name, args.plan.shown, opts)
        after, commands = list(args.after), {}
        for run in args.plan.runs:
            # Never two at once: an upgrade that fails stops before the next node, and etcd keeps its majority.
            commands[run.name] = args.hosts[run.host].run(run, self._child(depends_on=after))
            after = [commands[run.name]]
        self.command = commands[args.plan.kubeconfig_run.name]
        self.kubeconfig = secret_output(self.command)
        facts = summary(commands[args.plan.members_run.name])["facts"]
        self.version = facts.apply(lambda found: str(found.get("version", "")))
        self.register_outputs({"kubeconfig": self.kubeconfig, "version": self.version})
