"""Mistakes around a relay on a cluster: each is told at its field, and every way out that is named works."""

from typing import Any

import pytest

from tests.unit.kubernetes_examples import IMAGE, KUBECONFIG, on_cluster
from tests.unit.mistakes import LOGINS, Mistake, changed, problems, told_and_mended
from tests.unit.stack_examples import HOST_KEY, REMOVE, example, postal_example

KUBERNETES = "relay.kubernetes"
SERVER_MISSING = KUBECONFIG.replace("current-context: prod", "current-context: lost")
HOST = {"address": "relay.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.34"}


MISTAKES = [
    Mistake("settings of a cluster for a relay on a host", example, {KUBERNETES: {"context": "prod"}},
            KUBERNETES, "relay.placement is vm", "remove it", ({KUBERNETES: REMOVE},)),
    Mistake("a host beside a cluster", on_cluster, {"hosts": {"relay1": HOST}, "relay.host": "relay1"},
            "relay.host", "a cluster runs the relay", "relay.egress_addresses", ({"relay.host": REMOVE},)),
    Mistake("hosts beside a cluster", on_cluster, {"hosts": {"relay1": HOST}, "relay.hosts": ["relay1"]},
            "relay.hosts", "a cluster runs the relay", "remove it", ({"relay.hosts": REMOVE},)),
    Mistake("nobody knows where mail leaves from", on_cluster, {"relay.egress_addresses": REMOVE},
            "relay.egress_addresses", "SPF and the upstream must know", "NAT gateway",
            ({"relay.egress_addresses": ["93.184.216.34"]},)),
    Mistake("no image", on_cluster, {"relay.image": REMOVE},
            "relay.image.reference", "pulls the relay's image", "registry/name:tag",
            ({"relay.image": {"reference": IMAGE}}, {"relay.image": {"reference": f"r/x@sha256:{'0' * 64}"}},
             {"relay.image": {"registry": {"server": "r.example.com", "username": "ci", "password": "planted"}}})),
    Mistake("an image that moves", on_cluster, {"relay.image.reference": "registry.example.com:5000/postfix-relay"},
            "relay.image.reference", "a tag other than latest", "write it as registry.example.com/postfix-relay",
            ({"relay.image.reference": "registry.example.com:5000/postfix-relay:1"},)),
    Mistake("the image called latest", on_cluster, {"relay.image.reference": "postfix-relay:latest"},
            "relay.image.reference", "a tag other than latest", "write it as registry.example.com/postfix-relay",
            ({"relay.image.reference": "postfix-relay:1"},)),
    Mistake("logins without a host", on_cluster, {"relay.submission": dict(LOGINS)},
            "relay.submission", "needs a host", "remove it", ({"relay.submission": REMOVE},)),
    Mistake("an address to listen on", on_cluster, {"relay.listen_addresses": ["10.0.0.1"]},
            "relay.listen_addresses", "has no effect", "remove it", ({"relay.listen_addresses": REMOVE},)),
    Mistake("a port to listen on", on_cluster, {"relay.listen_port": 2525},
            "relay.listen_port", "on port 25", "remove it", ({"relay.listen_port": REMOVE},)),
    Mistake("authorities in a file", on_cluster, {"relay.upstream.ca_file": "/etc/ssl/company.pem"},
            "relay.upstream.ca_file", "a pod has none", "relay.kubernetes.authorities",
            ({"relay.upstream.ca_file": REMOVE},)),
    Mistake("no cluster is named", on_cluster, {KUBERNETES: {"replicas": 2}},
            f"{KUBERNETES}.kubeconfig", "another cluster tomorrow", "name the context",
            ({f"{KUBERNETES}.context": "prod"}, {f"{KUBERNETES}.kubeconfig": KUBECONFIG})),
    Mistake("a kubeconfig that is none", on_cluster, {f"{KUBERNETES}.kubeconfig": "hunter2"},
            f"{KUBERNETES}.kubeconfig", "must be a kubeconfig", "kubectl config view",
            ({f"{KUBERNETES}.kubeconfig": KUBECONFIG},)),
    Mistake("a context that is not in the kubeconfig", on_cluster,
            {KUBERNETES: {"kubeconfig": KUBECONFIG, "context": "prd"}},
            f"{KUBERNETES}.context", "is no context of the kubeconfig", "did you mean prod?",
            ({f"{KUBERNETES}.context": "prod"},)),
    Mistake("a kubeconfig that leads nowhere", on_cluster, {KUBERNETES: {"kubeconfig": SERVER_MISSING}},
            f"{KUBERNETES}.kubeconfig", "to a server", "name the context", ({f"{KUBERNETES}.context": "prod"},)),
    Mistake("too little memory", on_cluster, {f"{KUBERNETES}.resources": {"memory_limit": "127Mi"}},
            f"{KUBERNETES}.resources.memory_limit", "is too little", "128Mi or more",
            ({f"{KUBERNETES}.resources": {"memory_limit": "128Mi"}}, {f"{KUBERNETES}.resources": REMOVE})),
    Mistake("more memory kept than allowed", on_cluster,
            {f"{KUBERNETES}.resources": {"memory_request": "1Gi", "memory_limit": "512Mi"}},
            f"{KUBERNETES}.resources.memory_request", "more than memory_limit, which is 512Mi", "raise the limit",
            ({f"{KUBERNETES}.resources.memory_limit": "1Gi"}, {f"{KUBERNETES}.resources.memory_request": "512Mi"})),
    Mistake("more of a core kept than allowed", on_cluster,
            {f"{KUBERNETES}.resources": {"cpu_request": "1.5", "cpu_limit": "1400m"}},
            f"{KUBERNETES}.resources.cpu_request", "more than cpu_limit, which is 1400m", "lower it",
            ({f"{KUBERNETES}.resources.cpu_limit": "1500m"}, {f"{KUBERNETES}.resources.cpu_request": "1"})),
    Mistake("more at least than at most", on_cluster, {f"{KUBERNETES}.autoscaling": {"min": 4, "max": 3}},
            f"{KUBERNETES}.autoscaling.max", "not be less than min, which is 4", "raise it",
            ({f"{KUBERNETES}.autoscaling.max": 4}, {f"{KUBERNETES}.autoscaling.min": 3})),
    Mistake("two who say how many", on_cluster, {f"{KUBERNETES}.autoscaling": {}, f"{KUBERNETES}.replicas": 3},
            f"{KUBERNETES}.replicas", "autoscaling decides", "remove one of the two",
            ({f"{KUBERNETES}.replicas": REMOVE}, {f"{KUBERNETES}.autoscaling": REMOVE})),
    Mistake("a volume that is none", on_cluster,
            {f"{KUBERNETES}.ephemeral_queue": True, f"{KUBERNETES}.queue": {"size": "2Gi"}},
            f"{KUBERNETES}.queue", "there are no volumes", "remove one of the two",
            ({f"{KUBERNETES}.queue": REMOVE}, {f"{KUBERNETES}.ephemeral_queue": REMOVE})),
    Mistake("a volume that is in use", on_cluster, {f"{KUBERNETES}.drain_volumes": [1]},
            f"{KUBERNETES}.drain_volumes", "numbered 0 to 1", "leave it out",
            ({f"{KUBERNETES}.drain_volumes": REMOVE}, {f"{KUBERNETES}.drain_volumes": [2]})),
    Mistake("a volume twice", on_cluster, {f"{KUBERNETES}.drain_volumes": [2, 2]},
            f"{KUBERNETES}.drain_volumes", "listed twice", "remove one", ({f"{KUBERNETES}.drain_volumes": [2]},)),
    Mistake("a volume where there are none", on_cluster,
            {f"{KUBERNETES}.ephemeral_queue": True, f"{KUBERNETES}.drain_volumes": [2]},
            f"{KUBERNETES}.drain_volumes", "there are no volumes", "remove it",
            ({f"{KUBERNETES}.drain_volumes": REMOVE},)),
    Mistake("a secret in a namespace that is not there", on_cluster, {f"{KUBERNETES}.image_pull_secret": "registry"},
            f"{KUBERNETES}.image_pull_secret", "yet to be made", "create_namespace to false",
            ({f"{KUBERNETES}.create_namespace": False},)),
    Mistake("a label of ours", on_cluster, {f"{KUBERNETES}.labels": {"app.kubernetes.io/name": "mail"}},
            f"{KUBERNETES}.labels.app.kubernetes.io/name", "set by this project", "another prefix",
            ({f"{KUBERNETES}.labels": {"team": "mail"}},)),
    Mistake("every address as the upstream's", on_cluster,
            {f"{KUBERNETES}.network_policies": {"upstream_networks": ["0.0.0.0/0"]}},
            f"{KUBERNETES}.network_policies.upstream_networks[0]", "is every address", "leave it out",
            ({f"{KUBERNETES}.network_policies": REMOVE},)),
    Mistake("too wide a client network", on_cluster, {"relay.client_networks": ["0.0.0.0/0"]},
            "relay.client_networks[0]", "is too wide", "networks of the applications",
            ({"relay.client_networks": ["10.42.0.0/16"]},)),
]  # fmt: skip

# What one field alone says: path, value, part of the rule.
SHAPES: list[tuple[str, Any, str]] = [
    ("namespace", "Mail_Relay", "must be a name of Kubernetes"),
    ("name", "a" * 41, "40"),
    ("replicas", 0, "1 or more"),
    ("queue", {"size": "10 GB"}, "must be a quantity"),
    ("queue", {"storage_class": "Fast!"}, "must be a name of Kubernetes"),
    ("resources", {"memory_limit": "0"}, "must be a quantity"),
    ("autoscaling", {"cpu_percent": 5}, "10 or more"),
    ("grace_seconds", 5, "20 or more"),
    ("client_namespace_labels", {}, "at least one entry"),
    ("client_namespace_labels", {"a b": "true"}, "must be the name of a Kubernetes label"),
    ("client_namespace_labels", {"smtp": True}, "must be the value of a Kubernetes label"),
    ("spread", "always", "must be one of 'prefer', 'require'"),
    ("monitoring", {"objects": "maybe"}, "must be one of"),
    ("drain_volumes", [0], "1 or more"),
    ("authorities", "-----BEGIN PRIVATE KEY-----", "must not hold a private key"),
    ("replica", 3, "not a known key"),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_what_the_fix_names_mends_it(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize(("key", "value", "rule"), SHAPES, ids=lambda value: str(value)[:40])
def test_a_field_says_what_it_takes(key: str, value: Any, rule: str) -> None:
    found = problems(changed(on_cluster(), {f"{KUBERNETES}.{key}": value}))
    told = [problem for problem in found if problem.field.startswith(f"{KUBERNETES}.{key}") and rule in problem.rule]
    assert told, [str(problem) for problem in found]


def test_all_mistakes_come_at_once() -> None:
    broken = {
        "relay.egress_addresses": REMOVE, "relay.image": REMOVE, "relay.listen_port": 25,
        f"{KUBERNETES}.autoscaling": {"min": 4, "max": 3},
    }  # fmt: skip
    found = {problem.field for problem in problems(changed(on_cluster(), broken))}
    assert {
        "relay.egress_addresses", "relay.image.reference", "relay.listen_port", f"{KUBERNETES}.autoscaling.max"
    } <= found  # fmt: skip


def test_postal_on_a_host_does_not_send_through_a_cluster() -> None:
    changes = {
        "relay.host": REMOVE, "relay.placement": "kubernetes", "relay.egress_addresses": ["93.184.216.34"],
        "relay.image": {"reference": IMAGE}, KUBERNETES: {"context": "prod"},
    }  # fmt: skip
    found = problems(changed(postal_example(), changes))
    assert [problem for problem in found if "out of Postal's reach" in problem.rule]
