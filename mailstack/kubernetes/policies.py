"""Network policies: what each may say, whoever's pods it is about. Everything not allowed is refused."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["DNS_PROTOCOLS", "NAMESPACE_NAME", "ClusterDns", "blocks", "dns_rule", "namespace_peer", "ports"]

NAMESPACE_NAME = "kubernetes.io/metadata.name"
DNS_PROTOCOLS = ("UDP", "TCP")


@dataclass(frozen=True, kw_only=True)
class ClusterDns:
    """Where the cluster's DNS is: pods of a namespace (all of it without labels), and addresses outside of pods."""

    namespace: str
    pod_labels: Mapping[str, str]
    networks: tuple[str, ...]
    port: int


def ports(*numbers: int, protocols: tuple[str, ...] = ("TCP",)) -> list[dict[str, Any]]:
    """Return the ports of a rule. A policy looks at the pod's own port, never at the service's."""
    return [{"protocol": protocol, "port": number} for protocol in protocols for number in numbers]


def namespace_peer(name: str, pod_labels: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Return the pods of a namespace, all of them without labels."""
    peer: dict[str, Any] = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: name}}}
    if pod_labels:
        peer["podSelector"] = {"matchLabels": dict(pod_labels)}
    return peer


def blocks(networks: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return networks as peers."""
    return [{"ipBlock": {"cidr": network}} for network in networks]


def dns_rule(dns: ClusterDns) -> dict[str, Any]:
    """Return the way to the cluster's DNS."""
    peers = [namespace_peer(dns.namespace, dns.pod_labels), *blocks(dns.networks)]
    return {"to": peers, "ports": ports(dns.port, protocols=DNS_PROTOCOLS)}
