"""From settings to the relay's objects on a cluster."""

import re
from collections.abc import Mapping
from typing import Any

from mailstack.kubernetes.objects import Stage
from mailstack.kubernetes.objects import shown as shown_object
from mailstack.kubernetes.relay import relay_objects
from mailstack.kubernetes.relay_definition import Egress, RelayOnCluster, Scaling
from mailstack.plan.relay_cluster import ClusterAccess, KubernetesRelay
from mailstack.plan.relay_image import plan_image, secret_files
from mailstack.plan.shown import Secret, flat
from mailstack.postfix.relay import RelayDefinition
from mailstack.settings.model import Settings
from mailstack.settings.relay_kubernetes_model import RelayKubernetes, RelayQueue
from mailstack.settings.relay_kubernetes_rules import kubeconfig_server

__all__ = ["PRIVATE_NETWORKS", "plan_kubernetes_relay", "shown_kubernetes"]

# RFC 1918, and RFC 4193 with dual_stack. Which of them pods have is known by the cluster only, and may change with it;
# who of them reaches the relay is said by its network policies.
PRIVATE_NETWORKS: Mapping[bool, tuple[str, ...]] = {
    False: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
    True: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"),
}
OWN_LABEL = re.compile(r"/app\.kubernetes\.io/[a-z-]+\Z")


def plan_kubernetes_relay(
    settings: Settings, definition: RelayDefinition, told: Mapping[str, Any], secrets: Mapping[str, Any]
) -> KubernetesRelay:
    """Return the objects that are told ``told`` (see ``role_settings``) and ``secrets``."""
    asked = settings.relay.kubernetes or RelayKubernetes()
    queue = None if asked.ephemeral_queue else asked.queue or RelayQueue()
    files, image = secret_files(secrets), plan_image(settings.relay.image)
    relay = RelayOnCluster(
        name=asked.name,
        namespace=asked.namespace,
        create_namespace=asked.create_namespace,
        image=image.name,
        image_pull_secret=asked.image_pull_secret,
        settings=told,
        secret_files=tuple(files),
        authorities=asked.authorities,
        replicas=asked.replicas,
        scaling=_scaling(asked),
        queue_size=None if queue is None else queue.size,
        storage_class=None if queue is None else queue.storage_class,
        drain_volumes=asked.drain_volumes,
        grace_seconds=asked.grace_seconds,
        resources=_resources(asked),
        priority_class=asked.priority_class,
        own_nodes=asked.spread == "require",
        user_namespaces=asked.user_namespaces,
        dual_stack=asked.dual_stack,
        client_namespace_labels=asked.client_namespace_labels,
        egress=_egress(asked, definition),
        monitoring_namespace=None if asked.monitoring is None else asked.monitoring.namespace,
        further_labels=asked.labels,
        service_annotations=asked.service_annotations,
        cluster_domain=asked.cluster_domain,
    )
    keep = settings.relay.on_destroy == "keep"
    return KubernetesRelay(access=_access(asked), image=image, relay=relay, secrets=files, keep=keep)


def _access(asked: RelayKubernetes) -> ClusterAccess:
    server = kubeconfig_server(asked)
    context = f"context {asked.context}" if asked.context is not None else "the cluster of this stack"
    return ClusterAccess(
        identifier=server or context,
        kubeconfig=None if asked.kubeconfig is None else asked.kubeconfig.get_secret_value(),
        context=asked.context,
    )


def _scaling(asked: RelayKubernetes) -> Scaling | None:
    scaling = asked.autoscaling
    if scaling is None:
        return None
    return Scaling(
        least=scaling.min,
        most=scaling.max,
        cpu_percent=scaling.cpu_percent,
        stabilization_seconds=scaling.scale_in_stabilization_minutes * 60,
    )


def _resources(asked: RelayKubernetes) -> dict[str, dict[str, str]]:
    wanted = asked.resources
    limits = {"cpu": wanted.cpu_limit, "memory": wanted.memory_limit}
    return {
        "requests": {"cpu": wanted.cpu_request, "memory": wanted.memory_request},
        "limits": {name: amount for name, amount in limits.items() if amount is not None},
    }


def _egress(asked: RelayKubernetes, definition: RelayDefinition) -> Egress:
    ports = {definition.upstream_port, *(upstream.port for upstream in definition.upstreams)}
    if definition.fallback is not None:
        ports.add(definition.fallback.port)
    policies = asked.network_policies
    return Egress(
        dns_namespace=policies.dns_namespace,
        dns_pod_labels=policies.dns_pod_labels,
        dns_networks=policies.dns_networks,
        dns_port=policies.dns_port,
        ports=tuple(sorted(ports)),
        networks=policies.upstream_networks,
    )


def shown_kubernetes(placed: KubernetesRelay) -> dict[str, str | Secret]:
    """Return what a reviewer sees: each object's fields, one line each, and the secrets with their versions.

    How Postfix is configured is shown as for every placement; the version that the Secret's name ends with follows
    from the versions of what is in it, so it is left out.
    """
    found: dict[str, str | Secret] = {
        "cluster": placed.access.identifier,
        "on_destroy": "keep" if placed.keep else "remove",
    }
    common = placed.relay.labels()
    found |= {f"labels/{label}": text for label, text in common.items()}
    for one in relay_objects(placed.relay, placed.secrets, "…"):
        if one.stage is Stage.TRIAL:  # it follows from the rest, and has another name each time
            continue
        for heading, data in shown_object(one, common):
            # What all objects are found by is said once, above.
            lines = {name: text for name, text in flat(data, heading) if not OWN_LABEL.search(name)}
            found |= lines or {heading: "yes"}
    found |= {name: Secret(text) for name, text in placed.secrets.items()}
    if placed.image.built:
        found |= placed.image.shown()
    if placed.access.kubeconfig is not None:
        found["kubeconfig"] = Secret(placed.access.kubeconfig)
    return found
