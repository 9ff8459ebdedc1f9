"""The shape of ``relay.kubernetes``: the relay on a cluster."""

from typing import Annotated, Literal

import yaml
from pydantic import AfterValidator, Field, SecretStr

from mailstack.settings.cluster_types import LabelName, LabelValue, ObjectName, Quantity
from mailstack.settings.section import Section
from mailstack.settings.types import Certificate, DomainName, IpNetwork, Port, broken

__all__ = ["Autoscaling", "Monitoring", "NetworkPolicies", "RelayKubernetes", "RelayQueue", "RelayResources"]

MOST_PODS = 50


def _kubeconfig(value: SecretStr) -> SecretStr:
    rule = "must be a kubeconfig: YAML with clusters, contexts and users"
    try:
        found = yaml.safe_load(value.get_secret_value())
    except yaml.YAMLError:
        found = None
    if not isinstance(found, dict) or any(
        not isinstance(found.get(key), list) or not found[key] for key in ("clusters", "contexts", "users")
    ):
        raise broken(rule, "paste the output of `kubectl config view --raw --minify --flatten` as a YAML block")
    return value


Kubeconfig = Annotated[SecretStr, AfterValidator(_kubeconfig)]


class Autoscaling(Section):
    """Pods by load."""

    min: int = Field(default=2, ge=1, le=MOST_PODS, description="So many pods at least.")
    max: int = Field(default=10, ge=1, le=MOST_PODS, description="So many pods at most.")
    cpu_percent: int = Field(default=70, ge=10, le=100, description="Of the requested CPU, on average.")
    scale_in_stabilization_minutes: int = Field(
        default=10, ge=1, le=60, description="The load has to be low for so long before a pod goes."
    )


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


class NetworkPolicies(Section):
    """What the relay's pods may reach."""

    dns_namespace: ObjectName = Field(default="kube-system", description="Where the cluster's DNS runs.")
    dns_pod_labels: dict[LabelName, LabelValue] = Field(
        default={"k8s-app": "kube-dns"}, description="Labels of its pods. Empty: every pod of that namespace."
    )
    dns_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="DNS outside of pods, such as 169.254.20.10/32 of a cache on each node."
    )
    dns_port: Port = Field(default=53, description="Port of the DNS pods themselves; OpenShift has 5353.")
    upstream_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks of the upstreams. Absent: any, a policy knows no names."
    )


class RelayKubernetes(Section):
    """How the cluster runs it."""

    kubeconfig: Kubeconfig | None = Field(
        default=None, description="A kubeconfig as text. Absent: the file that KUBECONFIG or your home has."
    )
    context: str | None = Field(
        default=None, min_length=1, description="Which of its contexts. Absent: the current one."
    )
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
