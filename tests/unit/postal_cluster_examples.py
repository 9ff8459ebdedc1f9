"""Stacks whose Postal runs on a cluster, from the plain one to the one with everything."""

from typing import Any

from mailstack.kubernetes.objects import Placed
from mailstack.plan import Plan, load_plan
from mailstack.plan.postal_cluster import KubernetesPostal
from tests.unit.kubernetes_examples import KUBECONFIG, on_cluster
from tests.unit.mistakes import changed
from tests.unit.stack_examples import REMOVE, postal_example

POSTAL = "postal.kubernetes"
SERVER = "postal.organizations.0.mail_servers.0"
ADMIN_PASSWORD = "planted-admin-password"
DATABASE = {"kind": "external", "address": "mariadb.databases.svc.cluster.local", "password": "database-password"}
# Changes on top of ``postal_on_cluster``.
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "scaled": {
        f"{POSTAL}.autoscaling": {"web": {"min": 3}, "smtp": {}, "worker": {"min": 2, "max": 5}},
        f"{POSTAL}.spread": "require",
    },
    "no-tls": {"postal.smtp_tls": False},
    "everything": {
        f"{SERVER}.track_domains": [{"name": "click", "domain": "example.com"}],
        f"{SERVER}.webhooks": [{"name": "events", "url": "http://hooks.example.com:8080/events"}],
        "postal.workers": 3,
        "postal.memory": {"web": 1024, "smtp": 256, "worker": 512},
        POSTAL: {
            "kubeconfig": KUBECONFIG,
            "namespace": "postal-prod",
            "create_namespace": False,
            "name": "post",
            "smtp_addresses": ["93.184.216.40", "2606:2800:220:1::40"],
            "web_addresses": ["93.184.216.41"],
            "web": {
                "kind": "gateway",
                "gateway": {"name": "public", "namespace": "gateways", "section": "https"},
                "controller_namespace": "envoy",
                "controller_labels": {"app": "envoy"},
                "annotations": {"example.com/owner": "mail"},
                "proxy_networks": ["10.42.0.0/16"],
            },
            "smtp_tls_secret": "mx-certificate",
            "smtp_service_annotations": {"example.com/address": "mail"},
            "load_balancer_class": "example.com/lb",
            "database_admin": {"username": "admin", "secret": "mariadb-root", "secret_key": "root-password"},
            "replicas": {"web": 3, "smtp": 4},
            "cpu": {"worker": "1"},
            "worker_grace_seconds": 600,
            "job_round": 2,
            "read_only_root": False,
            "priority_class": "mail",
            "dual_stack": True,
            "metrics_namespace": "monitoring",
            "network_policies": {
                "database_namespace": "databases",
                "database_pod_labels": {"app": "mariadb"},
                "worker_ports": [8443],
                "api_networks": ["192.0.2.1/32"],
            },
            "image_pull_secret": "registry",
            "labels": {"team": "mail"},
        },
        "relay.kubernetes": {"kubeconfig": KUBECONFIG},
    },
}


def postal_on_cluster() -> dict[str, Any]:
    """Return the example with relay and Postal on one cluster, and no host at all."""
    relay = on_cluster()["relay"]
    return changed(
        postal_example(),
        {
            "hosts": REMOVE,
            "caddy": REMOVE,
            "relay": relay,
            "postal.host": REMOVE,
            "postal.placement": "kubernetes",
            "postal.database": dict(DATABASE),
            f"{SERVER}.track_domains": REMOVE,
            POSTAL: {
                "context": "prod",
                "smtp_addresses": ["93.184.216.40"],
                "web_addresses": ["93.184.216.41"],
                "issuer": {"name": "letsencrypt"},
                "database_admin": {"password": ADMIN_PASSWORD},
            },
        },
    )


def plan_of(changes: dict[str, Any]) -> Plan:
    return load_plan(changed(postal_on_cluster(), changes))


def placed(plan: Plan) -> KubernetesPostal:
    assert plan.postal is not None
    assert plan.postal.kubernetes is not None
    return plan.postal.kubernetes


def objects(changes: dict[str, Any]) -> tuple[Placed, ...]:
    plan = plan_of(changes)
    assert plan.postal is not None
    return placed(plan).objects(plan.postal.shown)
