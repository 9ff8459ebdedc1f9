"""What a cluster is to know of the relay, decided once; everything in it has passed the rules of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mailstack.kubernetes.applications import ApplicationVariables
from mailstack.kubernetes.objects import labels, selector
from mailstack.kubernetes.policies import ClusterDns
from mailstack.kubernetes.workloads import Scaling

__all__ = ["APPLICATION", "METRICS_PORT", "SMTP_PORT", "Egress", "RelayOnCluster"]

APPLICATION = "postfix-relay"
SMTP_PORT, METRICS_PORT = 25, 9154


@dataclass(frozen=True, kw_only=True)
class Egress:
    """Where pods may connect to: the cluster's DNS, and ``ports`` of ``networks`` (none: of any address)."""

    dns: ClusterDns
    ports: tuple[int, ...]
    networks: tuple[str, ...]
    # Pods that bounces go to, in a namespace of this cluster, and their port.
    bounce_namespace: str | None = None
    bounce_pods: Mapping[str, str] = field(default_factory=dict)
    bounce_port: int = 0


@dataclass(frozen=True, kw_only=True)
class RelayOnCluster:
    """The relay as a workload.

    ``settings`` become the file the image reads (``mailstack.postfix.relay.role_settings``), ``secret_files`` are the
    names of those with a password. ``queue_size`` None: no volumes. ``resources`` as in a container. Absent
    ``scaling``: always ``replicas`` pods.
    """

    name: str
    namespace: str
    create_namespace: bool = True
    image: str
    image_pull_secret: str | None = None
    settings: Mapping[str, Any]
    secret_files: tuple[str, ...] = ()
    authorities: str | None = None
    replicas: int = 2
    scaling: Scaling | None = None
    queue_size: str | None = "1Gi"
    storage_class: str | None = None
    drain_volumes: tuple[int, ...] = ()
    grace_seconds: int = 60
    resources: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    priority_class: str | None = None
    own_nodes: bool = False
    user_namespaces: bool = False
    dual_stack: bool = False
    client_namespace_labels: Mapping[str, str]
    egress: Egress
    monitoring_namespace: str | None = None
    # Whether the cluster knows the kinds of the Prometheus operator.
    monitoring_objects: bool = False
    further_labels: Mapping[str, str] = field(default_factory=dict)
    service_annotations: Mapping[str, str] = field(default_factory=dict)
    cluster_domain: str = "cluster.local"
    applications: tuple[ApplicationVariables, ...] = ()

    @property
    def durable(self) -> bool:
        """Tell whether each pod has a volume that outlives it."""
        return self.queue_size is not None

    @property
    def headless_name(self) -> str:
        """Return the service by whose name every ready pod is found."""
        return f"{self.name}-pods"

    @property
    def host(self) -> str:
        """Return the name applications connect to."""
        return f"{self.name}.{self.namespace}.svc.{self.cluster_domain}"

    @property
    def siblings(self) -> str:
        """Return the name a pod hands its queue to: the ready ones, one address each."""
        return f"{self.headless_name}.{self.namespace}.svc.{self.cluster_domain}"

    @property
    def keeps_below(self) -> int:
        """Return the number of pods that come back to their volumes whatever happens, counted from 0.

        An autoscaler takes none of its least away. Without one, settings may ask for fewer pods the next time, and a
        pod that goes then knows only the settings of before; the first one always stays.
        """
        if not self.durable:
            return 0
        return 1 if self.scaling is None else self.scaling.least

    def labels(self, component: str = "relay") -> dict[str, str]:
        """Return the labels of an object."""
        return labels(APPLICATION, self.name, component, self.further_labels)

    @property
    def pods(self) -> dict[str, str]:
        """Return the labels of the pods that take mail."""
        return selector(APPLICATION, self.name, "relay")

    @property
    def all_pods(self) -> dict[str, str]:
        """Return the labels of these and of the jobs that drain volumes."""
        return selector(APPLICATION, self.name)
