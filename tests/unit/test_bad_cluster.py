"""Every mistake in ``cluster`` is told with its field, the rule and a fix, and every way out that is named works."""

from collections.abc import Callable
from typing import Any

import pytest

from mailstack.settings.initialise import missing_secrets
from tests.unit.cluster_examples import SHA256, TOKEN, cluster_example, single
from tests.unit.mistakes import Mistake, changed, problems, told_and_mended
from tests.unit.stack_examples import REMOVE, with_value

IMAGES = {"file": "/srv/images.tar.zst", "sha256": SHA256}
MIRROR = {"name": "docker.io", "endpoints": ["https://registry.example.com"]}

# (path below cluster, value, field in the message, part of the rule, part of the fix)
BAD: list[tuple[str, Any, str, str, str]] = [
    ("servers", REMOVE, "servers", "is required", "add it"),
    ("servers", [], "servers", "at least one entry", "add an entry"),
    ("servers.0", "node9", "servers[0]", "must name one of hosts", "did you mean node"),
    ("agents.0", "node1", "agents[0]", "is in the cluster already", "remove it here"),
    ("servers.2", "node1", "servers[2]", "is in the cluster already", "remove it here"),
    ("servers", ["node1", "node2"], "servers", "odd number", "make one an agent"),
    ("version", REMOVE, "version", "is required", "add it"),
    ("version", "stable", "version", "exact release of k3s", "a channel such as stable"),
    ("version", "v1.33.5", "version", "exact release of k3s", "copy the tag"),
    ("version", "1.33.5+k3s1", "version", "exact release of k3s", "copy the tag"),
    ("version", "v1.33.5-rc1+k3s1", "version", "exact release of k3s", "copy the tag"),
    ("sha256", REMOVE, "sha256", "is required", "add it"),
    ("sha256", {}, "sha256", "at least one entry", "add an entry"),
    ("sha256.amd64", "A" * 64, "sha256.amd64", "SHA-256", "first word"),
    ("sha256.s390x", SHA256, "sha256.s390x", "must be one of 'amd64', 'arm64'", "one of these"),
    ("token", REMOVE, "token", "is required", "`mailstack init`"),
    ("token", "short", "token", "32 letters and digits", "mailstack init"),
    ("token", f"K10{TOKEN}", "token", "not begin with K10", "mailstack init"),
    ("token", f"server:{TOKEN}", "token", "letters and digits", "mailstack init"),
    ("ca_sha256", "K10", "ca_sha256", "SHA-256", "what sha256sum prints"),
    ("api_address", REMOVE, "api_address", "is required with several servers", "one name that leads to all"),
    ("api_address", "https://kube.example.com", "api_address", "domain name", "no scheme"),
    ("api_networks", ["10.0.0.1/8"], "api_networks[0]", "CIDR", "10.0.0.0/8"),
    ("tls_san", ["kube..example.com"], "tls_san[0]", "domain name", "letters"),
    ("pod_network", "10.43.0.0/16", "service_network", "overlaps cluster.pod_network", "a network of its own"),
    ("pod_network", "10.0.0.0/16", "pod_network", "overlaps hosts.node1.private_address (10.0.0.1)", "nothing else"),
    ("service_network", "10.0.0.0/20", "service_network", "overlaps hosts.node4.private_address", "nothing else"),
    ("pod_network", "10.42.0.0/23", "pod_network", "too small for 4 nodes", "10.42.0.0/16"),
    ("service_network", "10.0.0.0/8", "service_network", "between /12 and /24", "10.43.0.0/16"),
    ("pod_network", "fd00::/56", "pod_network", "IPv4", "10.42.0.0/16"),
    ("disable", ["trafik"], "disable[0]", "must be one of", "one of these"),
    ("download_url", "ftp://example.com", "download_url", "http or https", "https://"),
    ("binary_file", "k3s", "binary_file", "absolute path", "from the root"),
    ("airgap_images", [{"file": "/srv/images.tar"}], "airgap_images[0].sha256", "is required", "add it"),
    ("airgap_images", [IMAGES, IMAGES], "airgap_images[1].file", "listed twice", "remove one"),
    ("airgap_images", [{**IMAGES, "architecture": "arm64"}], "airgap_images[0].architecture", "no program", "add the"),
    ("registries", [{**MIRROR, "username": "me"}], "registries[0].password", "is required", "set it"),
    ("registries", [{**MIRROR, "password": "pw"}], "registries[0].username", "is required", "set it"),
    ("registries", [{**MIRROR, "name": "https://docker.io"}], "registries[0].name", "a registry", "without https"),
    ("registries", [MIRROR, MIRROR], "registries[1].name", "listed twice", "merge"),
    ("registries", [{**MIRROR, "endpoints": []}], "registries[0].endpoints", "at least one", "add an entry"),
    ("node_labels", {"relay1": {"a": "b"}}, "node_labels.relay1", "host of the cluster", "node1"),
    ("node_labels", {"node1": {"a b": "c"}}, "node_labels.node1.a b", "name of a Kubernetes label", "letters"),
    ("node_labels", {"node1": {"a": True}}, "node_labels.node1.a", "value of a Kubernetes label", "in quotes"),
    ("remove_volumes", True, "remove_volumes", "no effect with on_destroy keep", "remove"),
    ("on_destroy", "forget", "on_destroy", "must be one of", "one of these"),
    ("ready_seconds", 5, "ready_seconds", "30 or more", "larger"),
]


@pytest.mark.parametrize(("path", "value", "field", "rule", "fix"), BAD)
def test_a_mistake_in_the_cluster_names_field_rule_and_fix(
    path: str, value: Any, field: str, rule: str, fix: str
) -> None:
    found = problems(with_value(f"cluster.{path}", value, cluster_example))
    told = [each for each in found if each.field == f"cluster.{field}" and rule in each.rule and fix in each.fix]
    assert told, [str(each) for each in found]


# What is wrong between the cluster and the rest of the stack, and what mends it.
BETWEEN = [
    Mistake(
        "Caddy owns 80 and 443",
        single,
        {"cluster.disable": ["servicelb"]},
        "cluster.disable",
        "must hold traefik",
        "add traefik",
        ({"cluster.disable": ["servicelb", "traefik"]},),
    ),
    Mistake(
        "Postal owns 25",
        single,
        {"cluster.disable": ["traefik"]},
        "cluster.disable",
        "must hold servicelb",
        "add servicelb",
        ({"cluster.disable": ["servicelb", "traefik"]},),
    ),
    Mistake(
        "the relay on a port of the kubelet",
        single,
        {"relay.listen_port": 10250},
        "relay.listen_port",
        "a port of Kubernetes",
        "choose another one below 30000",
        ({"relay.listen_port": 2526},),
    ),
    Mistake(
        "SSH in the range of node ports",
        single,
        {"hosts.relay1.port": 30022},
        "hosts.relay1.port",
        "a port of Kubernetes",
        "choose another one below 30000",
        ({"hosts.relay1.port": 2222},),
    ),
    Mistake(
        "pods in the network of Postal's containers",
        single,
        {"cluster.pod_network": "172.16.0.0/12"},
        "cluster.pod_network",
        "overlaps postal.docker.network",
        "nothing else of yours",
        ({"cluster.pod_network": "10.42.0.0/16"},),
    ),
    Mistake(
        "a node the others cannot reach by address",
        cluster_example,
        {"hosts.node4.private_address": REMOVE},
        "hosts.node4.private_address",
        "reach each other by address",
        "network all nodes share",
        ({"hosts.node4.private_address": "10.0.0.4"}, {"hosts.node4.public_ipv4": "93.184.216.40"}),
    ),
]


@pytest.mark.parametrize("mistake", BETWEEN, ids=lambda mistake: mistake.what)
def test_a_clash_with_the_rest_of_the_stack_is_told_and_can_be_mended(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize("base", [cluster_example, single])
def test_the_examples_are_valid(base: Callable[[], dict[str, Any]]) -> None:
    assert problems(base()) == []


def test_a_mistake_in_the_token_does_not_show_it() -> None:
    bad = "planted-but-wrong-token"
    found = problems(changed(cluster_example(), {"cluster.token": bad}))
    assert found
    assert bad not in "".join(str(each) for each in found)


def test_init_makes_the_token_and_asks_for_a_registrys_password() -> None:
    raw = changed(cluster_example(), {"cluster.token": REMOVE, "cluster.registries": [{**MIRROR, "username": "me"}]})
    steps = {step.path: step for step in missing_secrets(raw)}
    make = steps["mailstack:cluster.token"].make
    assert make is not None
    assert len(make()) >= 32
    assert problems(changed(cluster_example(), {"cluster.token": make()})) == []
    assert not steps["mailstack:cluster.registries[0].password"].ours
