"""Stacks whose relay runs on a cluster, from the plain one to the one with everything."""

from typing import Any

from mailstack.kubernetes.objects import Placed
from mailstack.plan import Plan, load_plan
from mailstack.plan.relay_cluster import KubernetesRelay
from tests.unit.mistakes import MAILGUN, changed
from tests.unit.stack_examples import REMOVE, example

IMAGE = "registry.example.com/mail/postfix-relay:2026.11"
KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: prod
clusters: [{name: prod, cluster: {server: "https://k8s.example.com:6443"}}]
contexts: [{name: prod, context: {cluster: prod, user: admin}}, {name: lost, context: {cluster: gone, user: admin}}]
users: [{name: admin, user: {token: planted-token}}]
"""
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"

# Changes on top of ``on_cluster``.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {"relay.kubernetes.autoscaling": {"min": 3}, "relay.kubernetes.spread": "require"},
    "ephemeral": {"relay.kubernetes.ephemeral_queue": True, "relay.kubernetes.replicas": 4},
    "everything": {
        "relay.upstreams": {"mailgun": dict(MAILGUN)},
        "relay.fallback_upstream": "mailgun",
        "relay.upstream.auth": "sasl",
        "relay.upstream.username": "relay@example.com",
        "relay.upstream.password": "planted-password",
        "relay.masquerade_domains": ["example.com"],
        "relay.client_networks": ["10.42.0.0/16"],
        "relay.kubernetes": {
            "kubeconfig": KUBECONFIG,
            "namespace": "email-server-prod",
            "create_namespace": False,
            "name": "relay",
            "replicas": 3,
            "queue": {"size": "5Gi", "storage_class": "fast"},
            "drain_volumes": [3, 4],
            "grace_seconds": 300,
            "resources": {"cpu_request": "250m", "cpu_limit": "1", "memory_limit": "512Mi"},
            "priority_class": "mail",
            "user_namespaces": True,
            "dual_stack": True,
            "network_policies": {
                "dns_networks": ["169.254.20.10/32"],
                "dns_port": 5353,
                "dns_pod_labels": {},
                "upstream_networks": ["203.0.113.0/24"],
            },
            "monitoring": {"namespace": "observability"},
            "image_pull_secret": "registry",
            "authorities": CERTIFICATE,
            "labels": {"team": "mail"},
            "service_annotations": {"example.com/owner": "mail team"},
            "cluster_domain": "cluster.example",
        },
    },
}


def on_cluster() -> dict[str, Any]:
    """Return the example with its relay on a cluster, and no host at all."""
    return changed(
        example(),
        {
            "hosts": REMOVE,
            "relay.host": REMOVE,
            "relay.placement": "kubernetes",
            "relay.egress_addresses": ["93.184.216.34"],
            "relay.image": {"reference": IMAGE},
            "relay.kubernetes": {"context": "prod"},
        },
    )


def plan_of(changes: dict[str, Any]) -> Plan:
    return load_plan(changed(on_cluster(), changes))


def placed(plan: Plan) -> KubernetesRelay:
    assert plan.relay.kubernetes is not None
    return plan.relay.kubernetes


def objects(changes: dict[str, Any]) -> tuple[Placed, ...]:
    plan = plan_of(changes)
    return placed(plan).objects(plan.relay.shown)
