"""From settings to the relay's objects on a cluster."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mailstack.kubernetes.objects import Stage
from mailstack.kubernetes.postal_definition import SMTP_PORT as BOUNCE_PORT
from mailstack.kubernetes.postal_definition import smtp_pods
from mailstack.kubernetes.relay import relay_objects
from mailstack.kubernetes.relay_definition import SMTP_PORT, Egress, RelayOnCluster
from mailstack.plan.applications import smtp_environment
from mailstack.plan.cluster_access import cluster_access, cluster_dns, scaling_of, shown_objects
from mailstack.plan.cluster_applications import relay_applications, shown_applications
from mailstack.plan.relay_cluster import KubernetesRelay
from mailstack.plan.relay_image import plan_image, secret_files
from mailstack.plan.shown import Secret
from mailstack.postfix.relay import RelayDefinition
from mailstack.settings.model import Settings
from mailstack.settings.relay_kubernetes_model import RelayKubernetes, RelayQueue

__all__ = ["plan_kubernetes_relay", "shown_kubernetes"]


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
        scaling=scaling_of(asked.autoscaling),
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
        egress=_egress(settings, asked, definition),
        monitoring_namespace=None if asked.monitoring is None else asked.monitoring.namespace,
        further_labels=asked.labels,
        service_annotations=asked.service_annotations,
        cluster_domain=asked.cluster_domain,
    )
    environment = smtp_environment(settings, definition, relay.host)
    relay = replace(relay, applications=relay_applications(asked.application_secrets, environment))
    keep = settings.relay.on_destroy == "keep"
    return KubernetesRelay(access=cluster_access(asked), image=image, relay=relay, secrets=files, keep=keep)


def _resources(asked: RelayKubernetes) -> dict[str, dict[str, str]]:
    wanted = asked.resources
    limits = {"cpu": wanted.cpu_limit, "memory": wanted.memory_limit}
    return {
        "requests": {"cpu": wanted.cpu_request, "memory": wanted.memory_request},
        "limits": {name: amount for name, amount in limits.items() if amount is not None},
    }


def _egress(settings: Settings, asked: RelayKubernetes, definition: RelayDefinition) -> Egress:
    ports = {definition.upstream_port, *(upstream.port for upstream in definition.upstreams)}
    if definition.fallback is not None:
        ports.add(definition.fallback.port)
    postal = settings.postal.cluster if settings.postal is not None and settings.postal_shares_relay_cluster else None
    if settings.postal is not None and postal is None:
        ports.add(SMTP_PORT)  # bounces go to Postal by its public name
    policies = asked.network_policies
    return Egress(
        dns=cluster_dns(policies),
        ports=tuple(sorted(ports)),
        networks=policies.upstream_networks,
        bounce_namespace=None if postal is None else postal.namespace,
        bounce_pods={} if postal is None else smtp_pods(postal.name),
        bounce_port=BOUNCE_PORT,
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
    objects = relay_objects(placed.relay, placed.secrets, "…")
    # A trial follows from the rest, and has another name each time.
    lasting = [one for one in objects if one.stage is not Stage.TRIAL]
    found |= shown_objects(lasting, placed.relay.labels())
    found |= shown_applications(placed.relay.applications)
    found |= {name: Secret(text) for name, text in placed.secrets.items()}
    if placed.image.built:
        found |= placed.image.shown()
    if placed.access.kubeconfig is not None:
        found["kubeconfig"] = Secret(placed.access.kubeconfig)
    return found
