"""Who may reach the relay's pods, and whom they may reach. Everything else is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.objects import manifest
from mailstack.kubernetes.relay_definition import METRICS_PORT, SMTP_PORT, RelayOnCluster

__all__ = ["policies"]

NAMESPACE_NAME = "kubernetes.io/metadata.name"


def policies(relay: RelayOnCluster) -> Iterator[dict[str, Any]]:
    """Yield the policies, one for each thing that is allowed; they add up.

    The addresses of pods are not known before they run, so Postfix itself trusts whole private networks: these
    policies are what keeps others out. A cluster whose network plugin ignores them has no such guard.
    """
    yield _policy(relay, "deny", ["Ingress", "Egress"])
    senders = {"from": [{"namespaceSelector": {"matchLabels": dict(relay.client_namespace_labels)}}]}
    yield _policy(relay, "clients", ["Ingress"], ingress=[{**senders, "ports": _ports(SMTP_PORT)}])
    family = [{"podSelector": {"matchLabels": relay.all_pods}}]
    takers = [{"podSelector": {"matchLabels": relay.pods}}]
    yield _policy(
        relay,
        "siblings",
        ["Ingress", "Egress"],
        ingress=[{"from": family, "ports": _ports(SMTP_PORT)}],
        egress=[{"to": takers, "ports": _ports(SMTP_PORT)}],
    )
    if relay.monitoring_namespace is not None:
        readers = {"from": [{"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: relay.monitoring_namespace}}}]}
        yield _policy(relay, "metrics", ["Ingress"], ingress=[{**readers, "ports": _ports(METRICS_PORT)}])
    yield _policy(relay, "egress", ["Egress"], egress=[_dns(relay), _upstreams(relay)])


def _policy(relay: RelayOnCluster, name: str, types: list[str], **rules: list[Mapping[str, Any]]) -> dict[str, Any]:
    return manifest(
        "NetworkPolicy",
        f"{relay.name}-{name}",
        relay.namespace,
        version="networking.k8s.io/v1",
        labels=relay.labels(),
        spec={"podSelector": {"matchLabels": relay.all_pods}, "policyTypes": types, **rules},
    )


def _ports(*numbers: int) -> list[dict[str, Any]]:
    return [{"protocol": "TCP", "port": number} for number in numbers]


def _dns(relay: RelayOnCluster) -> dict[str, Any]:
    asked = relay.egress
    pods: dict[str, Any] = {"namespaceSelector": {"matchLabels": {NAMESPACE_NAME: asked.dns_namespace}}}
    if asked.dns_pod_labels:
        pods["podSelector"] = {"matchLabels": dict(asked.dns_pod_labels)}
    blocks = [{"ipBlock": {"cidr": network}} for network in asked.dns_networks]
    ports = [{"protocol": protocol, "port": asked.dns_port} for protocol in ("UDP", "TCP")]
    return {"to": [pods, *blocks], "ports": ports}


def _upstreams(relay: RelayOnCluster) -> dict[str, Any]:
    """Return the way out. Providers move their addresses, and a policy knows no names: by default any address."""
    blocks = [{"ipBlock": {"cidr": network}} for network in relay.egress.networks]
    return {**({"to": blocks} if blocks else {}), "ports": _ports(*relay.egress.ports)}
