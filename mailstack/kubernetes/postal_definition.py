"""What a cluster is to know of Postal, decided once; everything in it has passed the rules of the settings."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailstack.kubernetes.applications import ApplicationVariables
from mailstack.kubernetes.objects import labels, selector
from mailstack.kubernetes.policies import ClusterDns
from mailstack.kubernetes.workloads import Scaling

__all__ = [
    "APPLICATION",
    "SMTP_PORT",
    "WEB_PORT",
    "DatabaseAdmin",
    "MailOut",
    "Peers",
    "PostalOnCluster",
    "Process",
    "ProcessName",
    "Route",
    "smtp_pods",
]

APPLICATION = "postal"
# Those of the pods. Above 1024, so that nobody needs a capability for it; the service has 25.
WEB_PORT, SMTP_PORT = 5000, 2525
WORKER_HEALTH_PORT, SMTP_HEALTH_PORT = 9090, 9091

ProcessName = Literal["web", "smtp", "worker"]


@dataclass(frozen=True, kw_only=True)
class Process:
    """One of Postal's three kinds of pods. Absent ``scaling``: always ``replicas``."""

    name: ProcessName
    replicas: int
    scaling: Scaling | None
    cpu: str
    memory_mb: int
    grace_seconds: int


@dataclass(frozen=True, kw_only=True)
class Peers:
    """Who is at the other end: pods of a namespace, or networks; neither: any address."""

    namespace: str | None = None
    pods: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MailOut:
    """Where mail goes, by which port, and what else workers connect to: ports of endpoints and webhooks."""

    name: str
    port: int
    peers: Peers = field(default_factory=Peers)
    worker_ports: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DatabaseAdmin:
    """Who makes the database and Postal's user. ``secret`` None: the password is among the stack's own secrets."""

    username: str
    secret: str | None = None
    secret_key: str = "password"  # noqa: S105 - the name of a key


@dataclass(frozen=True, kw_only=True)
class Route:
    """How browsers come in. ``gateway`` None: an Ingress, whose TLS secret ``issuer`` makes where it has none."""

    ingress_class: str | None = None
    annotations: Mapping[str, str] = field(default_factory=dict)
    tls_secret: str | None = None
    gateway: Mapping[str, str] | None = None
    controller: Peers = field(default_factory=Peers)


@dataclass(frozen=True, kw_only=True)
class PostalOnCluster:
    """Postal as workloads and jobs.

    ``config`` is postal.yml without secrets (``mailstack.postal.definition``), ``database`` and ``provision`` as role
    ``postal`` has them. ``issuer`` is the kind and the name of cert-manager's. ``relay`` is the name that has to be in
    DNS before anything runs.
    """

    name: str
    namespace: str
    create_namespace: bool = True
    # The relay's network policy lets in who has these.
    namespace_labels: Mapping[str, str] = field(default_factory=dict)
    image: str
    image_pull_secret: str | None = None
    config: Mapping[str, Mapping[str, Any]]
    database: Mapping[str, Any]
    database_peers: Peers = field(default_factory=Peers)
    admin: DatabaseAdmin | None = None
    provision: Mapping[str, Any]
    removal: Literal["refuse", "allow"] = "refuse"
    dns_check: Mapping[str, Any]
    processes: tuple[Process, ...]
    stopped: bool = False
    job_round: int = 1
    read_only_root: bool = True
    route: Route
    tracking_names: tuple[str, ...] = ()
    issuer: tuple[str, str] | None = None
    # None: no TLS. Without a Secret named in the settings the issuer makes this one.
    smtp_tls_secret: str | None = None
    smtp_tls_issued: bool = False
    smtp_annotations: Mapping[str, str] = field(default_factory=dict)
    load_balancer_class: str | None = None
    mail_out: MailOut
    dns: ClusterDns
    api_networks: tuple[str, ...] = ()
    metrics_namespace: str | None = None
    priority_class: str | None = None
    own_nodes: bool = False
    dual_stack: bool = False
    further_labels: Mapping[str, str] = field(default_factory=dict)
    cluster_domain: str = "cluster.local"
    applications: tuple[ApplicationVariables, ...] = ()

    @property
    def web_hostname(self) -> str:
        """Return the only host name that Postal's web server answers to."""
        return str(self.config["postal"]["web_hostname"])

    @property
    def smtp_hostname(self) -> str:
        """Return the name of the SMTP server, which is in its certificate."""
        return str(self.config["postal"]["smtp_hostname"])

    @property
    def smtp_host(self) -> str:
        """Return the name of the SMTP server inside of the cluster."""
        return f"{self.called('smtp')}.{self.namespace}.svc.{self.cluster_domain}"

    @property
    def results_name(self) -> str:
        """Return the ConfigMap that has what Postal found in DNS."""
        return self.called("results")

    def called(self, component: str) -> str:
        """Return the name of a component's objects."""
        return f"{self.name}-{component}"

    def process(self, name: ProcessName) -> Process:
        """Return one of the three processes."""
        return next(one for one in self.processes if one.name == name)

    def labels(self, component: str = APPLICATION) -> dict[str, str]:
        """Return the labels of an object."""
        return labels(APPLICATION, self.name, component, self.further_labels)

    def pods(self, component: str) -> dict[str, str]:
        """Return the labels of a component's pods."""
        return selector(APPLICATION, self.name, component)

    @property
    def all_pods(self) -> dict[str, str]:
        """Return the labels of every pod, those of jobs included."""
        return selector(APPLICATION, self.name)


def smtp_pods(name: str) -> dict[str, str]:
    """Return the labels of the pods that take mail, where an installation is called ``name``."""
    return selector(APPLICATION, name, "smtp")
