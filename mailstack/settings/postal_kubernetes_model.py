"""The shape of ``postal.kubernetes``: Postal on a cluster."""

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
from mailstack.settings.types import DomainName, IpAddress, IpNetwork, OneLineSecret, Port

__all__ = [
    "CertificateIssuer",
    "DatabaseAdmin",
    "Gateway",
    "PostalApplicationSecret",
    "PostalCpu",
    "PostalKubernetes",
    "PostalNetworkPolicies",
    "PostalReplicas",
    "PostalScaling",
    "WebAccess",
]

Pods = Annotated[int, Field(ge=1, le=MOST_PODS)]


class DatabaseAdmin(Section):
    """A login that may make databases and users. Only the job that makes Postal's own is given it."""

    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(default="root", description="Its name.")
    password: OneLineSecret | None = Field(default=None, description="Its password.")
    secret: ObjectName | None = Field(
        default=None, description="Secret of the namespace that has the password, as database operators make one."
    )
    secret_key: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,253}$")] = Field(
        default="password", description="Which key of that Secret."
    )


class CertificateIssuer(Section):
    """Who of cert-manager issues the certificates."""

    name: ObjectName = Field(description="Name of the issuer.")
    kind: Literal["ClusterIssuer", "Issuer"] = Field(
        default="ClusterIssuer", description="Issuer: one of the same namespace."
    )
    caa_name: DomainName | None = Field(
        default=None, description="What its certificate authority is called in CAA records, such as letsencrypt.org."
    )


class Gateway(Section):
    """A Gateway that is there, with a listener for the web names."""

    name: ObjectName = Field(description="Its name.")
    namespace: ObjectName = Field(description="Its namespace; the Gateway has to allow routes of Postal's.")
    section: ObjectName | None = Field(default=None, description="Which of its listeners. Absent: all of them.")


class WebAccess(Section):
    """How browsers reach web UI and API. TLS ends in the controller, outside of Postal's pods."""

    kind: Literal["ingress", "gateway"] = Field(
        default="ingress", description="ingress: an Ingress. gateway: HTTPRoutes (Gateway API)."
    )
    ingress_class: ObjectName | None = Field(default=None, description="IngressClass. Absent: the cluster's default.")
    annotations: dict[LabelName, str] = Field(default={}, description="Annotations of the Ingress or the routes.")
    tls_secret: ObjectName | None = Field(
        default=None, description="Secret of the namespace with the certificate. Absent: the issuer makes one."
    )
    gateway: Gateway | None = Field(default=None, description="The Gateway, with kind gateway.")
    controller_namespace: ObjectName = Field(
        default="ingress-nginx", description="Where the controller's pods run; only they reach the web pods."
    )
    controller_labels: dict[LabelName, LabelValue] = Field(
        default={}, description="Labels of these pods. Empty: every pod of that namespace."
    )
    proxy_networks: tuple[IpNetwork, ...] = Field(
        default=(),
        description="Networks of the controller, whose word on client addresses counts. Absent: private ones.",
    )


class PostalApplicationSecret(ApplicationSecret):
    """The same with the keys of one credential, for SMTP, the API, or both."""

    server: str = Field(description="Full name of the mail server, such as company/apps.")
    credential: str = Field(description="Name of one of its credentials.")


class PostalReplicas(Section):
    """Pods, where nothing scales them; those of workers are ``postal.workers``."""

    web: Pods = Field(default=2, description="Web UI and API.")
    smtp: Pods = Field(default=2, description="SMTP server.")


class PostalScaling(Section):
    """Pods by load."""

    web: Autoscaling | None = Field(default=None, description="Web UI and API, instead of replicas.web.")
    smtp: Autoscaling | None = Field(default=None, description="SMTP server, instead of replicas.smtp.")
    worker: Autoscaling | None = Field(default=None, description="Workers, instead of postal.workers.")


class PostalCpu(Section):
    """Kept for each pod. No limit: it would only slow a burst down. Memory is ``postal.memory``."""

    web: Quantity = Field(default="250m", description="Web UI and API.")
    smtp: Quantity = Field(default="100m", description="SMTP server.")
    worker: Quantity = Field(default="250m", description="Each worker.")


class PostalNetworkPolicies(ClusterDns):
    """What Postal's pods may reach."""

    database_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks of the database. Absent, and no namespace either: any address, on its port."
    )
    database_namespace: ObjectName | None = Field(
        default=None, description="Namespace of the database's pods, where an operator runs it."
    )
    database_pod_labels: dict[LabelName, LabelValue] = Field(
        default={}, description="Labels of these pods. Empty: every pod of that namespace."
    )
    worker_ports: tuple[Port, ...] = Field(
        default=(),
        description="Further ports that workers may connect to, for endpoints and webhooks made in the web UI.",
    )
    api_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks of the cluster's API, for the job that tells its results. Absent: any."
    )


class PostalKubernetes(ClusterLogin):
    """How the cluster runs it."""

    namespace: ObjectName = Field(default="mail-postal", description="Where the objects are.")
    create_namespace: bool = Field(default=True, description="false: the namespace is there already.")
    name: ObjectName = Field(default="postal", max_length=40, description="What the names of all objects begin with.")
    smtp_addresses: tuple[IpAddress, ...] = Field(
        min_length=1, description="Addresses of the SMTP service's load balancer; smtp_hostname leads there."
    )
    web_addresses: tuple[IpAddress, ...] = Field(
        min_length=1, description="Addresses of the ingress controller or Gateway; web_hostname leads there."
    )
    web: WebAccess = Field(default=WebAccess(), description="How browsers reach web UI and API.")
    issuer: CertificateIssuer | None = Field(
        default=None, description="Issues the certificates of web UI and SMTP server (cert-manager)."
    )
    smtp_tls_secret: ObjectName | None = Field(
        default=None,
        description="Secret of the namespace with the SMTP server's certificate. Absent: the issuer makes one.",
    )
    smtp_service_annotations: dict[LabelName, str] = Field(
        default={}, description="Annotations of the SMTP service, by which clouds take a reserved address."
    )
    load_balancer_class: LabelName | None = Field(
        default=None,
        description="Which implementation of load balancers. Absent: the cluster's default. A change makes a new "
        "service, often with another address.",
    )
    database_admin: DatabaseAdmin | None = Field(
        default=None, description="Makes Postal's database and its user. Absent: both are there."
    )
    replicas: PostalReplicas = Field(default=PostalReplicas(), description="Pods, where nothing scales them.")
    autoscaling: PostalScaling = Field(default=PostalScaling(), description="Pods by load.")
    cpu: PostalCpu = Field(default=PostalCpu(), description="CPU that is kept for each pod.")
    worker_grace_seconds: int = Field(
        default=300, ge=120, le=3600, description="For a worker that goes, to finish what it is sending."
    )
    stopped: bool = Field(
        default=False, description="true: no pod of Postal runs, for a dump to be restored. Mail waits at its senders."
    )
    job_round: int = Field(default=1, ge=1, description="Raise it by one, and every job runs once more.")
    read_only_root: bool = Field(
        default=True, description="false: the image may write to its own file system, besides its temporary folders."
    )
    priority_class: ObjectName | None = Field(default=None, description="Its pods' PriorityClass.")
    spread: Literal["prefer", "require"] = Field(
        default="prefer", description="Pods on different nodes. require: one that finds no node of its own waits."
    )
    dual_stack: bool = Field(default=False, description="true: its SMTP service has IPv6 too.")
    metrics_namespace: ObjectName | None = Field(
        default=None, description="Where Prometheus runs; only it reaches the metrics. Absent: nobody does."
    )
    application_secrets: tuple[PostalApplicationSecret, ...] = Field(
        default=(), description="Secrets with address, sender and keys, one for each application."
    )
    network_policies: PostalNetworkPolicies = Field(
        default=PostalNetworkPolicies(), description="What its pods may reach."
    )
    image_pull_secret: ObjectName | None = Field(
        default=None, description="Secret of the namespace with the registry's login."
    )
    labels: dict[LabelName, LabelValue] = Field(default={}, description="Further labels of every object.")
    cluster_domain: DomainName = Field(default="cluster.local", description="The cluster's own DNS domain.")
