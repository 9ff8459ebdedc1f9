"""Mistakes of placement docker and of the relay's image: each is told at its field, and every way out works."""

from typing import Any

import pytest

from tests.unit.docker_examples import docker_example, local_example
from tests.unit.mistakes import Mistake, accepted, changed, direct, logins, problems, told_and_mended
from tests.unit.stack_examples import HOST_KEY, REMOVE, dkim_key, example, postal_example

AGENT = {"ssh_key": "agent"}
SOCKET = {"endpoint": "unix:///var/run/docker.sock"}
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"
TLS = {"ca_certificate": CERTIFICATE, "certificate": CERTIFICATE, "private_key": dkim_key()}
TCP = {"endpoint": "tcp://docker.example.com:2376"}
REFERENCE = "registry.example.com/postfix-relay:1.2"
REGISTRY = {"server": "registry.example.com", "username": "ci", "password": "token"}
PUBLISH: dict[str, Any] = {
    "relay.docker.publish": {"address": "10.0.0.5"},
    "relay.client_networks": ["10.0.0.0/16"],
}

MISTAKES = [
    Mistake("a section without its placement", example, {"relay.docker": AGENT},
            "relay.docker", "has no effect", "placement docker",
            ({"relay.docker": REMOVE}, {"relay.placement": "docker"})),
    Mistake("an image without a container", example, {"relay.image": {"rebuild": "2026-12"}},
            "relay.image", "runs no container", "choose placement docker",
            ({"relay.image": REMOVE}, {"relay.placement": "docker", "relay.docker": AGENT})),
    Mistake("two engines", docker_example, {"relay.docker": SOCKET},
            "relay.docker.endpoint", "so does relay.host", "keep one",
            ({"relay.docker": AGENT}, {"relay.host": REMOVE, "relay.egress_addresses": ["93.184.216.34"]})),
    Mistake("no engine", local_example, {"relay.docker": {"name": "relay"}},
            "relay.docker.endpoint", "is required", "unix:///var/run/docker.sock",
            ({"relay.docker": SOCKET},)),
    Mistake("an open engine", local_example, {"relay.docker": TCP},
            "relay.docker.tls", "owns its machine", "give ca_certificate",
            ({"relay.docker": {**TCP, "tls": TLS}},)),
    Mistake("certificates for a socket", local_example, {"relay.docker": {**SOCKET, "tls": TLS}},
            "relay.docker.tls", "only a tcp:// endpoint", "tcp://host:2376",
            ({"relay.docker.tls": REMOVE}, {"relay.docker.endpoint": "tcp://docker.example.com:2376"})),
    Mistake("an ssh key for a socket", local_example, {"relay.docker": {**SOCKET, **AGENT}},
            "relay.docker.ssh_key", "not reached over SSH", "remove it",
            ({"relay.docker.ssh_key": REMOVE},)),
    Mistake("a key that Docker's ssh cannot be handed", docker_example, {"relay.docker": REMOVE},
            "relay.docker.ssh_key", "without a file of it", "ssh-add",
            ({"relay.docker": AGENT}, {"relay.docker": {"ssh_key": "/home/me/.ssh/relay"}})),
    Mistake("a machine nobody knows", docker_example, {"environment": "local", "hosts.relay1.host_key": REMOVE},
            "hosts.relay1.host_key", "known machine", "ssh_host_ed25519_key.pub",
            ({"hosts.relay1.host_key": HOST_KEY},)),
    Mistake("a host behind another", docker_example,
            {"hosts.relay1.jump": {"address": "jump.example.com", "host_key": HOST_KEY}},
            "hosts.relay1.jump", "could not be pinned", "tcp:// endpoint",
            ({"hosts.relay1.jump": REMOVE},)),
    Mistake("a network of Docker's own", docker_example,
            {"relay.docker.network": {"name": "bridge", "subnet": "172.29.26.0/24"}},
            "relay.docker.network.name", "Docker's own", "another name",
            ({"relay.docker.network.name": "mail"},)),
    Mistake("one network for both", docker_example,
            {"relay.docker.egress": {"name": "mailstack-mail", "subnet": "172.29.27.0/24"}},
            "relay.docker.egress.name", "no way out", "another name",
            ({"relay.docker.egress.name": "out"},)),
    Mistake("networks that overlap", docker_example,
            {"relay.docker.egress": {"name": "out", "subnet": "172.29.26.128/25"}},
            "relay.docker.egress.subnet", "overlaps relay.docker.network.subnet", "nothing else has",
            ({"relay.docker.egress.subnet": "172.29.28.0/24"},)),
    Mistake("a public network", docker_example,
            {"relay.docker.network": {"name": "mail", "subnet": "93.184.216.0/24"}},
            "relay.docker.network.subnet", "private IPv4 network", "such as 172.29.26.0/24",
            ({"relay.docker.network.subnet": "172.29.26.0/24"},)),
    Mistake("a listen address", docker_example, {"relay.listen_addresses": ["10.0.0.5"]},
            "relay.listen_addresses", "container's own affair", "relay.docker.publish",
            ({"relay.listen_addresses": REMOVE},)),
    Mistake("a listen port", docker_example, {"relay.listen_port": 2525},
            "relay.listen_port", "container's own affair", "relay.docker.publish",
            ({"relay.listen_port": REMOVE},)),
    Mistake("clients that reach nothing", docker_example, {"relay.client_networks": ["10.0.0.0/16"]},
            "relay.client_networks", "only containers in relay.docker.network", "relay.docker.publish",
            ({"relay.client_networks": REMOVE}, {"relay.docker.publish": {"address": "10.0.0.5"}})),
    Mistake("a port for nobody", docker_example, {"relay.docker.publish": {"address": "10.0.0.5"}},
            "relay.client_networks", "nobody could use the port", "networks of the applications",
            ({"relay.client_networks": ["10.0.0.0/16"]},)),
    Mistake("a port for everybody", docker_example,
            {**PUBLISH, "relay.docker.publish": {"address": "0.0.0.0"}},
            "relay.docker.publish.address", "one private IPv4 address", "inner network",
            ({"relay.docker.publish.address": "10.0.0.5"},)),
    Mistake("clients that Docker's forwarder is among", docker_example,
            {**PUBLISH, "relay.client_networks": ["172.16.0.0/12"]},
            "relay.client_networks[0]", "port forwarder", "move relay.docker.egress.subnet",
            ({"relay.client_networks": ["10.0.0.0/16"]},
             {"relay.docker.egress": {"name": "out", "subnet": "192.168.200.0/24"}})),
    Mistake("submission", logins, {"relay.placement": "docker", "relay.docker": AGENT},
            "relay.submission", "needs placement vm", "use placement vm",
            ({"relay.submission": REMOVE}, {"relay.placement": "vm", "relay.docker": REMOVE})),
    Mistake("Postal behind it", postal_example, {"relay.placement": "docker", "relay.docker": AGENT},
            "relay.placement", "name in public DNS only", "sending.path to direct",
            ({"relay.placement": "vm", "relay.docker": REMOVE}, {"postal.sending": {"path": "direct"}})),
    Mistake("more sessions than memory", docker_example, {"relay.concurrency": 60},
            "relay.concurrency", "256 MB of memory", "use 30 or less",
            ({"relay.concurrency": 30},
             {"relay.docker": {**AGENT, "messages_per_day": 5000}})),
    Mistake("a container that stays", docker_example, {"relay.on_destroy": "keep"},
            "relay.on_destroy", "stays behind", "keep_queue",
            ({"relay.on_destroy": REMOVE},)),
    Mistake("IPv6", docker_example, {"relay.ip_protocol": "ipv6"},
            "relay.ip_protocol", "IPv4 network", "leave it out",
            ({"relay.ip_protocol": REMOVE},)),
    Mistake("no address of an engine", local_example, {"relay.egress_addresses": REMOVE},
            "relay.egress_addresses", "public IPv4 address", "curl -4 ifconfig.me",
            ({"relay.egress_addresses": ["93.184.216.34"]},)),
    Mistake("two images", docker_example, {"relay.image": {"reference": REFERENCE, "rebuild": "2026-12"}},
            "relay.image.rebuild", "names one that is there", "keep one",
            ({"relay.image.rebuild": REMOVE}, {"relay.image.reference": REMOVE})),
    Mistake("a login elsewhere", docker_example,
            {"relay.image": {"reference": REFERENCE, "registry": {**REGISTRY, "server": "ghcr.io"}}},
            "relay.image.registry.server", "is not where", "first part of the reference",
            ({"relay.image.registry.server": "registry.example.com"}, {"relay.image.registry": REMOVE})),
    Mistake("an authority the image has not", docker_example,
            {"relay.upstream": {"preset": "custom", "host": "smtp.example.net", "port": 587, "ca_file": "/etc/ca.pem"},
             "relay_rule": REMOVE},
            "relay.upstream.ca_file", "has none of yours", "relay.image.base",
            ({"relay.image": {"base": "registry.example.com/debian:12-ours"}},)),
    Mistake("a sender the relay refuses", example, {"relay.from_email": "noreply@example.net"},
            "relay.from_email", "takes mail of example.com, example.org only", "use an address in example.com",
            ({"relay.from_email": "noreply@example.com"},)),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.what for mistake in MISTAKES])
def test_it_is_told_at_its_field_and_each_named_way_out_works(mistake: Mistake) -> None:
    told_and_mended(mistake)


def test_all_mistakes_are_told_at_once() -> None:
    raw = docker_example()
    raw["relay"] |= {"listen_port": 2525, "on_destroy": "keep", "ip_protocol": "all", "docker": {"ssh_key": "agent"}}
    raw["relay"]["docker"]["publish"] = {"address": "93.184.216.34"}
    assert {problem.field for problem in problems(raw)} >= {
        "relay.listen_port",
        "relay.on_destroy",
        "relay.ip_protocol",
        "relay.docker.publish.address",
        "relay.client_networks",
    }


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        ("relay.docker.endpoint", "ssh://root@docker.example.com", "must be unix:// and a socket"),
        ("relay.docker.name", "Postfix Relay", "must be a name for Docker and DNS"),
        ("relay.image", {"reference": "postfix-relay:latest"}, "tag other than latest"),
        ("relay.image", {"reference": "postfix-relay"}, "tag other than latest"),
        ("relay.image", {"platform": "amd64"}, "linux/ and an architecture"),
    ],
)
def test_a_value_of_the_wrong_form_is_told(path: str, value: Any, rule: str) -> None:
    assert any(rule in problem.rule for problem in problems(changed(docker_example(), {path: value})))


def test_a_postal_that_sends_by_itself_may_stand_beside_it() -> None:
    plan = accepted(direct, {"relay.placement": "docker", "relay.docker": AGENT})
    assert plan.relay.docker is not None
