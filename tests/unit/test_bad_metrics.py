"""Metrics of the relay: each mistake is told at its field, each fix can be followed, and what is right is planned."""

import pytest

from mailstack.plan.hosts import firewall_settings, preflight_settings
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.mistakes import Mistake, accepted, direct, logins, told_and_mended
from tests.unit.stack_examples import REMOVE, example, postal_example
from tests.unit.test_relay_hosts import two_hosts

METRICS = "relay.metrics"
REACHED = {"listen_address": "10.0.0.9", "client_networks": ["10.0.0.20/32"]}
ANYBODY = {"listen_address": "10.0.0.9", "client_networks": ["0.0.0.0/0"]}

MISTAKES = [
    Mistake("metrics of a container", docker_example, {METRICS: {}}, METRICS, "at port 9154 to its own", "remove it",
            ({METRICS: REMOVE},)),
    Mistake("metrics of pods", on_cluster, {METRICS: {}}, METRICS, "pods serve them to a namespace",
            "relay.kubernetes.monitoring", ({METRICS: REMOVE, "relay.kubernetes.monitoring": {}},)),
    Mistake("no Postfix", direct, {METRICS: {}}, METRICS, "needs Postfix", "remove it", ({METRICS: REMOVE},)),
    Mistake(
        "an address that others reach, and nobody may", example, {METRICS: {"listen_address": "10.0.0.9"}},
        f"{METRICS}.client_networks", "is required when metrics are served at 10.0.0.9", "network of Prometheus",
        ({f"{METRICS}.client_networks": ["10.0.0.20/32"]}, {f"{METRICS}.listen_address": REMOVE}),
    ),
    Mistake(
        "networks, and nobody reaches it", example, {METRICS: {"client_networks": ["10.0.0.20/32"]}},
        f"{METRICS}.client_networks", "127.0.0.1 is reached from the host itself only", "set listen_address",
        ({f"{METRICS}.listen_address": "10.0.0.9"}, {f"{METRICS}.client_networks": REMOVE}),
    ),
    Mistake(
        "everybody", example, {METRICS: ANYBODY}, f"{METRICS}.client_networks[0]", "stands for everybody",
        "network of Prometheus only", ({f"{METRICS}.client_networks": ["10.0.0.20/32"]},),
    ),
    *(
        Mistake(
            f"port {port} of {holder}", base, {METRICS: {"port": port}}, f"{METRICS}.port",
            f"is taken on relay1 by {holder}", "leave the key out for 9154", ({f"{METRICS}.port": REMOVE},),
        )
        for base, port, holder in (
            (example, 25, "relay.listen_port"), (example, 22, "SSH"), (logins, 465, "relay.submission"),
            (postal_example, 443, "Caddy"), (postal_example, 5000, "Postal"), (postal_example, 25, "Postal"),
        )
    ),
    Mistake(
        "an address of one host, and there are several", two_hosts, {METRICS: REACHED}, f"{METRICS}.listen_address",
        "is an address of one host", "use 0.0.0.0", ({f"{METRICS}.listen_address": "0.0.0.0"},),
    ),
    Mistake(
        "the usual port, taken", example, {METRICS: {}, "relay.listen_port": 9154}, f"{METRICS}.port",
        "by relay.listen_port", "use another port", ({f"{METRICS}.port": 9155},),
    ),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_each_mistake_is_told_at_its_field_and_mended_as_its_fix_says(mistake: Mistake) -> None:
    told_and_mended(mistake)


def test_without_the_section_nothing_is_served_and_nothing_is_open() -> None:
    plan = accepted(example, {})
    assert "metrics" not in plan.relay.runs[0].settings
    assert not [name for name in plan.relay.shown if "metrics" in name]


def test_an_empty_section_serves_the_host_itself_alone() -> None:
    plan = accepted(example, {METRICS: {}, "hosts.relay1.firewall": "ufw"})
    assert plan.relay.runs[0].settings["metrics"] == {"listen": ["127.0.0.1", 9154], "networks": []}
    assert 9154 not in [opening["port"] for opening in (firewall_settings(plan.settings, "relay1") or {})["allow"]]


def test_the_networks_named_are_told_to_role_and_firewall_and_shown() -> None:
    plan = accepted(example, {METRICS: REACHED, "hosts.relay1.firewall": "ufw"})
    assert plan.relay.runs[0].settings["metrics"] == {"listen": ["10.0.0.9", 9154], "networks": ["10.0.0.20/32"]}
    opened = {"port": 9154, "protocol": "tcp", "sources": ["10.0.0.20/32"], "container": False}
    assert opened in (firewall_settings(plan.settings, "relay1") or {})["allow"]
    needed = {"address": "10.0.0.9", "port": 9154, "holder": "mailstack-relay-metrics"}
    assert needed in preflight_settings(plan.settings, "relay1")["ports"]
    assert plan.relay.shown["metrics/listen"] == "10.0.0.9, 9154"
    assert plan.relay.shown["metrics/networks"] == "10.0.0.20/32"
