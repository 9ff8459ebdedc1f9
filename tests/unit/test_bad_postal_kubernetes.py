"""Mistakes around Postal on a cluster: each is told at its field, and every way out that is named works."""

from typing import Any

import pytest

from tests.unit.kubernetes_examples import KUBECONFIG
from tests.unit.mistakes import Mistake, changed, problems, told_and_mended
from tests.unit.postal_cluster_examples import DATABASE, POSTAL, SERVER, postal_on_cluster
from tests.unit.stack_examples import HOST_KEY, REMOVE, postal_example

pytestmark = pytest.mark.slow

HOST = {"address": "mail.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.34"}
SECTION = {
    "context": "prod", "smtp_addresses": ["93.184.216.40"], "web_addresses": ["93.184.216.41"],
    "issuer": {"name": "letsencrypt"},
}  # fmt: skip
GATEWAY = {"kind": "gateway", "gateway": {"name": "public", "namespace": "gateways"}}
TRACKED = [{"name": "click", "domain": "example.com"}]
ON_HOST = {
    "hosts": {"relay1": HOST}, "relay": {"host": "relay1", "hostname": "relay.example.com"},
    "relay.listen_addresses": ["10.0.0.9"], "relay.client_networks": ["10.42.0.0/16"],
}  # fmt: skip
OWN_IMAGE = {"reference": "registry.example.com/relay:1"}


def direct() -> dict[str, Any]:
    """Return Postal on a cluster without a relay before it."""
    relay = {"placement": "none", "hostname": "relay.example.com", "egress_addresses": ["93.184.216.34"]}
    return changed(postal_on_cluster(), {"relay": relay, "postal.sending": {"path": "direct"}})


def beside_a_host() -> dict[str, Any]:
    """Return Postal on a cluster whose relay is on a host."""
    return changed(postal_on_cluster(), ON_HOST)


MISTAKES = [
    Mistake("settings of a cluster for Postal on a host", postal_example, {POSTAL: SECTION},
            POSTAL, "postal.placement is vm", "remove it", ({POSTAL: REMOVE},)),
    Mistake("neither host nor cluster", postal_example, {"postal.host": REMOVE},
            "postal.host", "is required with placement vm", "name one of hosts", ({"postal.host": "relay1"},)),
    Mistake("no settings of the cluster", postal_on_cluster, {POSTAL: REMOVE},
            POSTAL, "names the cluster and the addresses", "smtp_addresses", ({POSTAL: SECTION},)),
    Mistake("a host beside a cluster", postal_on_cluster, {"hosts": {"relay1": HOST}, "postal.host": "relay1"},
            "postal.host", "a cluster runs Postal", "remove it", ({"postal.host": REMOVE},)),
    Mistake("addresses of a host", direct,
            {"postal.ip_pools": [
                {"name": "a", "addresses": [{"ipv4": "93.184.216.34", "hostname": "a.example.com"}]}]},
            "postal.ip_pools", "need a host", "remove them", ({"postal.ip_pools": REMOVE},)),
    Mistake("backups of a host", postal_on_cluster, {"postal.backup": {"keep": 3}},
            "postal.backup", "a program on a host", "remove it", ({"postal.backup": REMOVE},)),
    Mistake("a database in a container", postal_on_cluster,
            {"postal.database": {"password": "database-password", "root_password": "database-root-password"}},
            "postal.database.kind", "by an operator", "use external", ({"postal.database": DATABASE},)),
    Mistake("an administrator without a password", postal_on_cluster, {f"{POSTAL}.database_admin": {}},
            f"{POSTAL}.database_admin.password", "exactly one of the two", "keep the one",
            ({f"{POSTAL}.database_admin": {"password": "root-password"}},
             {f"{POSTAL}.database_admin": {"secret": "mariadb-root"}, f"{POSTAL}.create_namespace": False})),
    Mistake("an administrator with two passwords", postal_on_cluster,
            {f"{POSTAL}.database_admin": {"password": "root-password", "secret": "mariadb-root"},
             f"{POSTAL}.create_namespace": False},
            f"{POSTAL}.database_admin.password", "exactly one of the two", "keep the one",
            ({f"{POSTAL}.database_admin": {"secret": "mariadb-root"}},)),
    Mistake("an administrator who is Postal itself", postal_on_cluster,
            {f"{POSTAL}.database_admin": {"username": "postal", "password": "root-password"}},
            f"{POSTAL}.database_admin.username", "whose password every pod has", "name the administrator",
            ({f"{POSTAL}.database_admin": REMOVE},)),
    Mistake("a secret in a namespace that is not there", postal_on_cluster, {f"{POSTAL}.smtp_tls_secret": "mx"},
            f"{POSTAL}.smtp_tls_secret", "yet to be made", "create_namespace to false",
            ({f"{POSTAL}.create_namespace": False},)),
    Mistake("no cluster is named", postal_on_cluster,
            {f"{POSTAL}.context": REMOVE, "relay.kubernetes": {"kubeconfig": KUBECONFIG},
             "postal.sending": {"relay_name": "relay.example.com"}},
            f"{POSTAL}.kubeconfig", "another cluster tomorrow", "name the context",
            ({f"{POSTAL}.context": "prod"}, {f"{POSTAL}.kubeconfig": KUBECONFIG})),
    Mistake("a context that is not in the kubeconfig", postal_on_cluster,
            {f"{POSTAL}.kubeconfig": KUBECONFIG, f"{POSTAL}.context": "prd",
             "relay.kubernetes": {"kubeconfig": KUBECONFIG, "context": "prod"}},
            f"{POSTAL}.context", "is no context of the kubeconfig", "did you mean prod?",
            ({f"{POSTAL}.context": "prod"},)),
    Mistake("an address twice", postal_on_cluster, {f"{POSTAL}.web_addresses": ["93.184.216.41", "93.184.216.41"]},
            f"{POSTAL}.web_addresses", "listed twice", "remove one", ({f"{POSTAL}.web_addresses": ["93.184.216.41"]},)),
    Mistake("a private address in prod", postal_on_cluster, {f"{POSTAL}.smtp_addresses": ["10.0.0.1"]},
            f"{POSTAL}.smtp_addresses[0]", "must be a public address in prod", "EXTERNAL-IP",
            ({f"{POSTAL}.smtp_addresses": ["93.184.216.40"]},)),
    Mistake("a route without a Gateway", postal_on_cluster, {f"{POSTAL}.web": {"kind": "gateway"}},
            f"{POSTAL}.web.gateway", "a route belongs to a Gateway", "name the Gateway", ({f"{POSTAL}.web": GATEWAY},)),
    Mistake("a Gateway for an Ingress", postal_on_cluster, {f"{POSTAL}.web": {"gateway": GATEWAY["gateway"]}},
            f"{POSTAL}.web.gateway", "no effect with kind ingress", "change the kind",
            ({f"{POSTAL}.web.kind": "gateway"}, {f"{POSTAL}.web": REMOVE})),
    Mistake("a class of Ingress for a Gateway", postal_on_cluster,
            {f"{POSTAL}.web": {**GATEWAY, "ingress_class": "nginx"}},
            f"{POSTAL}.web.ingress_class", "no effect with kind gateway", "remove it", ({f"{POSTAL}.web": GATEWAY},)),
    Mistake("an Ingress without a certificate", postal_on_cluster,
            {f"{POSTAL}.issuer": REMOVE, "postal.smtp_tls": False},
            f"{POSTAL}.web.tls_secret", "in clear", "cert-manager's issuer",
            ({f"{POSTAL}.issuer": {"name": "company", "kind": "Issuer"}},
             {f"{POSTAL}.web": {"tls_secret": "web"}, f"{POSTAL}.create_namespace": False})),
    Mistake("tracking behind an Ingress", postal_on_cluster, {f"{SERVER}.track_domains": TRACKED},
            f"{POSTAL}.web.kind", "a header that an Ingress cannot add", "use gateway",
            ({f"{POSTAL}.web": GATEWAY}, {f"{SERVER}.track_domains": REMOVE})),
    Mistake("an SMTP server without a certificate", postal_on_cluster,
            {f"{POSTAL}.issuer": REMOVE, f"{POSTAL}.web": GATEWAY},
            f"{POSTAL}.smtp_tls_secret", "needs a certificate", "cert-manager's issuer",
            ({f"{POSTAL}.issuer": {"name": "company"}}, {"postal.smtp_tls": False},
             {f"{POSTAL}.smtp_tls_secret": "mx", f"{POSTAL}.create_namespace": False})),
    Mistake("a certificate nobody shows", postal_on_cluster,
            {"postal.smtp_tls": False, f"{POSTAL}.smtp_tls_secret": "mx", f"{POSTAL}.create_namespace": False},
            f"{POSTAL}.smtp_tls_secret", "postal.smtp_tls is false", "remove one of the two",
            ({f"{POSTAL}.smtp_tls_secret": REMOVE}, {"postal.smtp_tls": True})),
    Mistake("a label of ours", postal_on_cluster, {f"{POSTAL}.labels": {"app.kubernetes.io/name": "mail"}},
            f"{POSTAL}.labels.app.kubernetes.io/name", "set by this project", "another prefix",
            ({f"{POSTAL}.labels": {"team": "mail"}},)),
    Mistake("more at least than at most", postal_on_cluster, {f"{POSTAL}.autoscaling": {"smtp": {"min": 4, "max": 3}}},
            f"{POSTAL}.autoscaling.smtp.max", "not be less than min, which is 4", "raise it",
            ({f"{POSTAL}.autoscaling": {"smtp": {"min": 3, "max": 3}}},)),
    Mistake("two who say how many", postal_on_cluster,
            {f"{POSTAL}.autoscaling": {"web": {}}, f"{POSTAL}.replicas": {"web": 3}},
            f"{POSTAL}.replicas.web", "autoscaling decides", "remove one of the two",
            ({f"{POSTAL}.replicas": REMOVE}, {f"{POSTAL}.autoscaling": REMOVE})),
    Mistake("two who say how many workers", postal_on_cluster,
            {f"{POSTAL}.autoscaling": {"worker": {}}, "postal.workers": 3},
            "postal.workers", "autoscaling decides", "remove one of the two",
            ({"postal.workers": REMOVE}, {f"{POSTAL}.autoscaling": REMOVE})),
    Mistake("stopped and scaled", postal_on_cluster,
            {f"{POSTAL}.autoscaling": {"worker": {}}, f"{POSTAL}.stopped": True},
            f"{POSTAL}.autoscaling.worker", "cannot be stopped", "until Postal runs again",
            ({f"{POSTAL}.autoscaling": REMOVE}, {f"{POSTAL}.stopped": False})),
    Mistake("every address as the database's", postal_on_cluster,
            {f"{POSTAL}.network_policies": {"database_networks": ["0.0.0.0/0"]}},
            f"{POSTAL}.network_policies.database_networks[0]", "is every address", "leave it out",
            ({f"{POSTAL}.network_policies": REMOVE},)),
    Mistake("labels of pods nowhere", postal_on_cluster,
            {f"{POSTAL}.network_policies": {"database_pod_labels": {"app": "mariadb"}}},
            f"{POSTAL}.network_policies.database_pod_labels", "without database_namespace", "name the namespace",
            ({f"{POSTAL}.network_policies.database_namespace": "databases"}, {f"{POSTAL}.network_policies": REMOVE})),
    Mistake("another cluster's relay", postal_on_cluster, {"relay.kubernetes": {"context": "other"}},
            f"{POSTAL}.context", "inside of one cluster only", "the same context",
            ({"relay.kubernetes": {"context": "prod"}}, {"postal.sending": {"relay_name": "relay.example.com"}})),
    Mistake("a relay in Docker", beside_a_host,
            {"relay": {"placement": "docker", "host": "relay1", "hostname": "relay.example.com"},
             "relay.docker": {"ssh_key": "agent"}},
            "relay.placement", "only containers of that engine", "kubernetes or vm", (ON_HOST,)),
    Mistake("a relay that listens to itself only", beside_a_host,
            {"relay.listen_addresses": REMOVE, "relay.client_networks": REMOVE},
            "relay.listen_addresses", "Postal's pods have to reach the relay", "that the cluster reaches", (ON_HOST,)),
    Mistake("a direct path beside a relay", direct,
            {"relay": {"placement": "kubernetes", "hostname": "relay.example.com", "image": OWN_IMAGE,
                       "egress_addresses": ["93.184.216.34"], "kubernetes": {"context": "prod"}}},
            "relay.placement", "mail leaves from the cluster", "use path postfix", ({"postal.sending": REMOVE},)),
    Mistake("nobody knows where mail leaves from", direct, {"relay.egress_addresses": REMOVE},
            "relay.egress_addresses", "SPF and the upstream must know", "NAT gateway",
            ({"relay.egress_addresses": ["93.184.216.34"]},)),
    Mistake("names of another web server", beside_a_host,
            {"caddy": {"host": "relay1", "acme": {"email": "a@example.com"}, "extra_names": ["post.example.com"],
                       "mta_sts": [{"domain": "example.com", "mx": ["smtp.google.com"]}]}},
            "caddy.extra_names", "which the cluster serves", "remove them", ({"caddy.extra_names": REMOVE},)),
]  # fmt: skip

# What one field alone says: path, value, part of the rule.
SHAPES: list[tuple[str, Any, str]] = [
    ("namespace", "Mail_Postal", "must be a name of Kubernetes"),
    ("name", "a" * 41, "40"),
    ("smtp_addresses", [], "at least one"),
    ("web_addresses", ["lb.example.com"], "must be an IP address"),
    ("replicas", {"web": 0}, "1 or more"),
    ("cpu", {"smtp": "0"}, "must be a quantity"),
    ("worker_grace_seconds", 60, "120 or more"),
    ("job_round", 0, "1 or more"),
    ("web", {"kind": "nodeport"}, "must be one of"),
    ("issuer", {"name": "letsencrypt", "kind": "Acme"}, "must be one of"),
    ("network_policies", {"worker_ports": [0]}, "1 or more"),
    ("replica", 3, "not a known key"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_what_the_fix_names_mends_it(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize(("key", "value", "rule"), SHAPES, ids=lambda value: str(value)[:40])
def test_a_field_says_what_it_takes(key: str, value: Any, rule: str) -> None:
    found = problems(changed(postal_on_cluster(), {f"{POSTAL}.{key}": value}))
    told = [problem for problem in found if problem.field.startswith(f"{POSTAL}.{key}") and rule in problem.rule]
    assert told, [str(problem) for problem in found]
