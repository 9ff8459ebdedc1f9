"""What the settings of every workload on a cluster share: its login there, its scaling, its view of DNS."""

from typing import Annotated

import yaml
from pydantic import AfterValidator, Field, SecretStr

from mailstack.settings.cluster_types import LabelName, LabelValue, ObjectName
from mailstack.settings.section import Section
from mailstack.settings.types import IpNetwork, Port, broken

__all__ = ["MOST_PODS", "ApplicationSecret", "Autoscaling", "ClusterDns", "ClusterLogin", "Kubeconfig"]

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


class ApplicationSecret(Section):
    """A Secret with what an application sends mail with: SMTP_HOST and so on, as `mailstack env` writes them."""

    namespace: ObjectName = Field(description="The application's namespace. It has to be there.")
    name: ObjectName = Field(default="mail", description="Name of the Secret there.")


class ClusterDns(Section):
    """Where pods ask for names."""

    dns_namespace: ObjectName = Field(default="kube-system", description="Where the cluster's DNS runs.")
    dns_pod_labels: dict[LabelName, LabelValue] = Field(
        default={"k8s-app": "kube-dns"}, description="Labels of its pods. Empty: every pod of that namespace."
    )
    dns_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="DNS outside of pods, such as 169.254.20.10/32 of a cache on each node."
    )
    dns_port: Port = Field(default=53, description="Port of the DNS pods themselves; OpenShift has 5353.")


class ClusterLogin(Section):
    """Which cluster, and how to log in there."""

    kubeconfig: Kubeconfig | None = Field(
        default=None, description="A kubeconfig as text. Absent: the file that KUBECONFIG or your home has."
    )
    context: str | None = Field(
        default=None, min_length=1, description="Which context of the kubeconfig. Absent: the current one."
    )
