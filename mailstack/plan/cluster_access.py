"""What the plan of every workload on a cluster shares: the login there, and what of its settings others need."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from mailstack.kubernetes.objects import Placed
from mailstack.kubernetes.objects import shown as shown_object
from mailstack.kubernetes.policies import ClusterDns
from mailstack.kubernetes.workloads import Scaling
from mailstack.plan.shown import flat
from mailstack.settings.cluster_workload_model import Autoscaling, ClusterLogin
from mailstack.settings.cluster_workload_model import ClusterDns as DeclaredDns
from mailstack.settings.cluster_workload_rules import kubeconfig_server

__all__ = ["PRIVATE_NETWORKS", "ClusterAccess", "cluster_access", "cluster_dns", "scaling_of", "shown_objects"]

# RFC 1918, and RFC 4193 with dual_stack. Which of them pods have is known by the cluster only, and may change with it;
# who of them reaches a pod is said by network policies.
PRIVATE_NETWORKS: Mapping[bool, tuple[str, ...]] = {
    False: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    True: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"),
}
OWN_LABEL = re.compile(r"/app\.kubernetes\.io/[a-z-]+\Z")


@dataclass(frozen=True, kw_only=True)
class ClusterAccess:
    """Which cluster, and how to log in there.

    ``kubeconfig`` None: that of a cluster of this stack, where it has one, else the file of who runs Pulumi. Of its
    contexts ``context``, None for the current one. ``identifier`` stays while it is the same cluster.
    """

    identifier: str
    kubeconfig: str | None = field(default=None, repr=False)
    context: str | None = None


def cluster_access(asked: ClusterLogin) -> ClusterAccess:
    """Return the login that settings declare."""
    server = kubeconfig_server(asked)
    context = f"context {asked.context}" if asked.context is not None else "the cluster of this stack"
    return ClusterAccess(
        identifier=server or context,
        kubeconfig=None if asked.kubeconfig is None else asked.kubeconfig.get_secret_value(),
        context=asked.context,
    )


def scaling_of(declared: Autoscaling | None) -> Scaling | None:
    """Return an autoscaler's bounds."""
    if declared is None:
        return None
    return Scaling(
        least=declared.min,
        most=declared.max,
        cpu_percent=declared.cpu_percent,
        stabilization_seconds=declared.scale_in_stabilization_minutes * 60,
    )


def cluster_dns(declared: DeclaredDns) -> ClusterDns:
    """Return where pods ask for names."""
    return ClusterDns(
        namespace=declared.dns_namespace,
        pod_labels=declared.dns_pod_labels,
        networks=declared.dns_networks,
        port=declared.dns_port,
    )


def shown_objects(objects: Iterable[Placed], common: Mapping[str, str]) -> dict[str, str]:
    """Return what a reviewer sees of objects, a line for each field; the labels in ``common`` are said once."""
    found = {f"labels/{label}": text for label, text in common.items()}
    for one in objects:
        for heading, data in shown_object(one, common):
            # What all objects are found by is said once, above.
            lines = {name: text for name, text in flat(data, heading) if not OWN_LABEL.search(name)}
            found |= lines or {heading: "yes"}
    return found
