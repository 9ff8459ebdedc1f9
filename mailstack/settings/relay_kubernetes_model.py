"""The shape of ``relay.kubernetes``: the relay on a cluster."""

from typing import Annotated, Literal

from pydantic import Field

from mailstack.settings.cluster_types import LabelName, LabelValue, ObjectName, Quantity
from mailstack.settings.cluster_workload_model import (
    MOST_PODS,
    ApplicationSecret,
    Autoscaling,
    ClusterDns,
    ClusterLogin,
)
from mailstack.settings.section import Section
from mailstack.settings.types import Certificate, DomainName, IpNetwork

__all__ = ["Monitoring", "NetworkPolicies", "RelayKubernetes", "RelayQueue", "RelayResources"]


class RelayQueue(Section):
    """The volume each pod keeps its queue on."""

    size: Quantity = Field(default="1Gi", description="Size of each volume.")
    storage_class: ObjectName | None = Field(default=None, description="Absent: the cluster's default.")


class RelayResources(Section):
    """What each pod gets. No limit for CPU: it would only slow a burst down."""

    cpu_request: Quantity = Field(default="100m", description="Kept for each pod; autoscaling counts in it.")
    cpu_limit: Quantity | None = Field(default=None, description="Absent: what the node has to spare.")
    memory_request: Quantity = Field(default="128Mi", description="Kept for each pod.")
    memory_limit: Quantity = Field(default="256Mi", description="Beyond it a pod is killed.")


class Monitoring(Section):
    """Who reads the relay's metrics."""

    namespace: ObjectName = Field(default="monitoring", description="Where Prometheus runs; only it reaches the port.")
    objects: Literal["auto", "yes", "no"] = Field(
        default="auto",
        description="Objects for the Prometheus operator and Grafana. auto: where the cluster knows their kinds.",
    )


class NetworkPolicies(ClusterDns):
    """What the relay's pods may reach."""

    upstream_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks of the upstreams. Absent: any, a policy knows no names."
    )


class RelayKubernetes(ClusterLogin):
    """How the cluster runs it."""

    namespace: ObjectName = Field(default="mail-relay", description="Where the objects are.")
    create_namespace: bool = Field(default=True, description="false: the namespace is there already.")
    name: ObjectName = Field(default="postfix-relay", max_length=40, description="Of the workload and its service.")
    replicas: int = Field(default=2, ge=1, le=MOST_PODS, description="Pods, where nothing scales them.")
    autoscaling: Autoscaling | None = Field(default=None, description="Pods by load, instead of replicas.")
    queue: RelayQueue | None = Field(default=None, description="The volume each pod keeps its queue on.")
    ephemeral_queue: bool = Field(
        default=False, description="true: no volumes. Mail that no other pod takes in time is lost with its pod."
    )
    drain_volumes: tuple[Annotated[int, Field(ge=1, le=MOST_PODS)], ...] = Field(
        default=(),
        description="Numbers of pods that are gone for good: a job hands what is left on their volumes to the others.",
    )
    grace_seconds: int = Field(
        default=60, ge=20, le=3600, description="For a pod that goes: it finishes, and hands over what is left."
    )
    resources: RelayResources = Field(default=RelayResources(), description="What each pod gets.")
    priority_class: ObjectName | None = Field(default=None, description="Its pods' PriorityClass.")
    spread: Literal["prefer", "require"] = Field(
        default="prefer", description="Pods on different nodes. require: one that finds no node of its own waits."
    )
    user_namespaces: bool = Field(
        default=False,
        description="true: root in a pod is nobody on its node. Needs Kubernetes 1.33, containerd 2 and Linux 6.3.",
    )
    dual_stack: bool = Field(default=False, description="true: applications reach it by IPv6 too.")
    client_namespace_labels: dict[LabelName, LabelValue] = Field(
        default={"email-server.kubernetes.io/smtp-access": "true"},
        min_length=1,
        description="Only namespaces with these labels may send.",
    )
    application_secrets: tuple[ApplicationSecret, ...] = Field(
        default=(), description="Secrets with the relay's address and sender, one for each application."
    )
    network_policies: NetworkPolicies = Field(default=NetworkPolicies(), description="What its pods may reach.")
    monitoring: Monitoring | None = Field(default=None, description="Who reads its metrics. Absent: nobody.")
    image_pull_secret: ObjectName | None = Field(
        default=None, description="Secret of the namespace with the registry's login."
    )
    authorities: Certificate | None = Field(
        default=None,
        description="Certificates that may stand behind an upstream, in place of the public ones (PEM).",
    )
    labels: dict[LabelName, LabelValue] = Field(default={}, description="Further labels of every object.")
    service_annotations: dict[LabelName, str] = Field(default={}, description="Annotations of the service.")
    cluster_domain: DomainName = Field(default="cluster.local", description="The cluster's own DNS domain.")

    @property
    def service_name(self) -> str:
        """Return the name applications of the cluster connect to."""
        return f"{self.name}.{self.namespace}.svc.{self.cluster_domain}"
