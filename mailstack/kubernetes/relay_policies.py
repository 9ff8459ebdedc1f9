"""Who may reach the relay's pods, and whom they may reach. Everything else is refused."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.objects import manifest
from mailstack.kubernetes.policies import blocks, dns_rule, namespace_peer, ports
from mailstack.kubernetes.relay_definition import METRICS_PORT, SMTP_PORT, RelayOnCluster

__all__ = ["policies"]


def policies(relay: RelayOnCluster) -> Iterator[dict[str, Any]]:
    """Yield the policies, one for each thing that is allowed; they add up.

    The addresses of pods are not known before they run, so Postfix itself trusts whole private networks: these
    policies are what keeps others out. A cluster whose network plugin ignores them has no such guard.
    """
    yield _policy(relay, "deny", ["Ingress", "Egress"])
    senders = {"from": [{"namespaceSelector": {"matchLabels": dict(relay.client_namespace_labels)}}]}
    yield _policy(relay, "clients", ["Ingress"], ingress=[{**senders, "ports": ports(SMTP_PORT)}])
    family = [{"podSelector": {"matchLabels": relay.all_pods}}]
    takers = [{"podSelector": {"matchLabels": relay.pods}}]
    yield _policy(
        relay,
        "siblings",
        ["Ingress", "Egress"],
        ingress=[{"from": family, "ports": ports(SMTP_PORT)}],
        egress=[{"to": takers, "ports": ports(SMTP_PORT)}],
    )
    if relay.monitoring_namespace is not None:
        readers = {"from": [namespace_peer(relay.monitoring_namespace)]}
        yield _policy(relay, "metrics", ["Ingress"], ingress=[{**readers, "ports": ports(METRICS_PORT)}])
    yield _policy(relay, "egress", ["Egress"], egress=[dns_rule(relay.egress.dns), _upstreams(relay)])
    if relay.egress.bounce_namespace is not None:
        takers = [namespace_peer(relay.egress.bounce_namespace, relay.egress.bounce_pods)]
        bounces = {"to": takers, "ports": ports(relay.egress.bounce_port)}
        yield _policy(relay, "bounces", ["Egress"], egress=[bounces])


def _policy(relay: RelayOnCluster, name: str, types: list[str], **rules: list[Mapping[str, Any]]) -> dict[str, Any]:
    return manifest(
        "NetworkPolicy",
        f"{relay.name}-{name}",
        relay.namespace,
        version="networking.k8s.io/v1",
        labels=relay.labels(),
        spec={"podSelector": {"matchLabels": relay.all_pods}, "policyTypes": types, **rules},
    )


def _upstreams(relay: RelayOnCluster) -> dict[str, Any]:
    """Return the way out. Providers move their addresses, and a policy knows no names: by default any address."""
    networks = blocks(relay.egress.networks)
    return {**({"to": networks} if networks else {}), "ports": ports(*relay.egress.ports)}
