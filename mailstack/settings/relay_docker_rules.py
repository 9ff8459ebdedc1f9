"""Rules of the placement ``docker`` that need more than one field."""

import ipaddress
from collections.abc import Callable, Iterator
from itertools import combinations

from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem
from mailstack.settings.relay_docker_model import RelayDocker
from mailstack.settings.relay_tiers import tier_for

__all__ = ["RELAY_DOCKER_RULES"]

OWN_NETWORKS = frozenset({"bridge", "host", "none", "default"})
# The relay, a gateway, and room for applications; and no more than one organisation has.
SMALLEST_NETWORK, WIDEST_NETWORK = 28, 16


def _placed(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.placement == "docker":
        for rule in (_engine, _over_ssh, _networks, _reach, _publish, _not_here, _memory, _on_destroy, _addresses):
            yield from rule(settings, settings.relay_docker)
    elif relay.docker is not None:
        yield Problem(
            field="relay.docker",
            value="a mapping",
            rule=f"has no effect: placement is {relay.placement}",
            fix="remove the section, or write placement docker",
        )


def _engine(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    relay = settings.relay
    if len(relay.hosts) > 1:
        yield Problem(
            field="relay.hosts",
            value=", ".join(relay.hosts),
            rule="is more than one machine, and placement docker is one engine",
            fix="keep one, in relay.host; several relays are placement vm or kubernetes",
        )
    if docker.endpoint is None and not relay.host_names:
        yield Problem(
            field="relay.docker.endpoint",
            value="",
            rule="is required, or relay.host: the engine that runs the container",
            fix="write unix:///var/run/docker.sock for the machine that runs Pulumi, or name a host",
        )
    if docker.endpoint is not None and relay.host_names:
        yield Problem(
            field="relay.docker.endpoint",
            value=docker.endpoint,
            rule=f"names an engine, and so does relay.host ({', '.join(relay.host_names)})",
            fix="keep one of the two keys",
        )
    tcp = docker.endpoint is not None and docker.endpoint.startswith("tcp://")
    if tcp and docker.tls is None:
        yield Problem(
            field="relay.docker.tls",
            value="",
            rule="is required with tcp://: whoever reaches an open engine owns its machine",
            fix="give ca_certificate, certificate and private_key, or use relay.host, which goes over SSH",
        )
    if not tcp and docker.tls is not None:
        yield Problem(
            field="relay.docker.tls",
            value="a mapping",
            rule="has no effect: only a tcp:// endpoint uses it",
            fix="remove it, or write the endpoint as tcp://host:2376",
        )
    if docker.endpoint is not None and docker.ssh_key is not None:
        yield Problem(
            field="relay.docker.ssh_key",
            value=docker.ssh_key,
            rule="has no effect: an endpoint is not reached over SSH",
            fix="remove it",
        )


def _over_ssh(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    """Refuse what Docker's ssh, which is not Pulumi's own, could only do by trusting a stranger or leaving a key."""
    if docker.endpoint is not None:
        return
    for name, host in ((name, settings.hosts[name]) for name in settings.relay.host_names if name in settings.hosts):
        if docker.ssh_key is None and settings.host_ssh_key(host) is not None:
            yield Problem(
                field="relay.docker.ssh_key",
                value="",
                rule=f"is required: the ssh that Docker uses cannot be handed the key configured for hosts.{name} "
                "without a file of it",
                fix="write agent and load the key there (ssh-add), or the path of a file with it",
            )
        if host.host_key is None:
            yield Problem(
                field=f"hosts.{name}.host_key",
                value="",
                rule="is required for placement docker: the engine is reached only at a known machine",
                fix="read it on the host: `cat /etc/ssh/ssh_host_ed25519_key.pub`, without the comment",
            )
        if host.jump is not None:
            yield Problem(
                field=f"hosts.{name}.jump",
                value=host.jump.address,
                rule="is not a way to a Docker engine: the jump host's key could not be pinned there",
                fix="reach the engine by a tcp:// endpoint with tls, or run Pulumi where it sees the host",
            )


def _networks(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    named = {"network": docker.network, "egress": docker.egress}
    for key, network in named.items():
        field = f"relay.docker.{key}"
        if network.name in OWN_NETWORKS:
            yield Problem(
                field=f"{field}.name",
                value=network.name,
                rule="is a network of Docker's own, which every container is in",
                fix="use another name",
            )
        subnet = ipaddress.ip_network(network.subnet)
        if subnet.version != 4 or not subnet.is_private or not WIDEST_NETWORK <= subnet.prefixlen <= SMALLEST_NETWORK:
            yield Problem(
                field=f"{field}.subnet",
                value=network.subnet,
                rule=f"must be a private IPv4 network between /{WIDEST_NETWORK} and /{SMALLEST_NETWORK}",
                fix="use one that nothing else of the machine has, such as 172.29.26.0/24",
            )
    if docker.network.name == docker.egress.name:
        yield Problem(
            field="relay.docker.egress.name",
            value=docker.egress.name,
            rule="is the name of relay.docker.network: a network with no way out is no way out",
            fix="use another name",
        )
    taken = {f"relay.docker.{key}.subnet": network.subnet for key, network in named.items()}
    if settings.postal is not None and settings.postal_shares_relay_host:
        taken["postal.docker.network"] = settings.postal.docker.network
    for (one, first), (other, second) in combinations(taken.items(), 2):
        if ipaddress.ip_network(first).overlaps(ipaddress.ip_network(second)):
            field, value, place = (one, first, other) if other.startswith("postal") else (other, second, one)
            yield Problem(field=field, value=value, rule=f"overlaps {place}", fix="use addresses that nothing else has")


def _reach(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    relay = settings.relay
    for key, value in (("listen_addresses", relay.listen_addresses), ("listen_port", relay.listen_port)):
        if value is not None:
            yield Problem(
                field=f"relay.{key}",
                value=", ".join(value) if isinstance(value, tuple) else str(value),
                rule="is the container's own affair: it listens on port 25 of its networks",
                fix="remove it; relay.docker.publish opens a port of the machine",
            )
    if docker.publish is None and relay.client_networks:
        yield Problem(
            field="relay.client_networks",
            value=", ".join(relay.client_networks),
            rule="has no effect: only containers in relay.docker.network reach the relay, and they may send",
            fix="remove it, or add relay.docker.publish",
        )


def _publish(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    if docker.publish is None:
        return
    address, clients = ipaddress.ip_address(docker.publish.address), settings.relay.client_networks
    if address.version != 4 or not address.is_private or address.is_unspecified:
        yield Problem(
            field="relay.docker.publish.address",
            value=docker.publish.address,
            rule="must be one private IPv4 address: Docker opens the port past the machine's firewall",
            fix="write the address of the machine's inner network, or leave publish out",
        )
    if not clients:
        yield Problem(
            field="relay.client_networks",
            value="",
            rule="is required with relay.docker.publish: otherwise nobody could use the port",
            fix="list the networks of the applications",
        )
    for index, text in enumerate(clients):
        if ipaddress.ip_network(text).overlaps(ipaddress.ip_network(docker.egress.subnet)):
            yield Problem(
                field=f"relay.client_networks[{index}]",
                value=text,
                rule="holds relay.docker.egress: Docker's port forwarder comes from there, whoever the client is",
                fix="list the networks of the applications only, or move relay.docker.egress.subnet",
            )


def _not_here(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    if settings.relay.submission is not None:
        yield Problem(
            field="relay.submission",
            value="a mapping",
            rule="needs placement vm: the container has no certificate that is renewed",
            fix="remove it, or use placement vm",
        )
    if settings.postal is not None and settings.postal.sending.path == "postfix":
        yield Problem(
            field="relay.placement",
            value="docker",
            rule="is not where Postal looks for a relay: it finds one by a name in public DNS only",
            fix=f"use placement vm, or set postal.sending.path to direct; {docker.name} serves containers by its name",
        )


def _memory(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    tier, wanted = tier_for(docker.messages_per_day), settings.relay.concurrency
    if wanted is not None and wanted > tier.processes:
        yield Problem(
            field="relay.concurrency",
            value=str(wanted),
            rule=f"is more than {tier.megabytes} MB of memory have room for, which is {tier.processes}",
            fix=f"use {tier.processes} or less, or raise relay.docker.messages_per_day",
        )


def _on_destroy(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    if settings.relay.on_destroy == "keep":
        yield Problem(
            field="relay.on_destroy",
            value="keep",
            rule="is about a host; a container that stays behind would stand in the way of every newer one",
            fix=f"remove it; the queue stays in volume {docker.queue_volume}, see relay.docker.keep_queue",
        )


def _addresses(settings: Settings, docker: RelayDocker) -> Iterator[Problem]:
    relay = settings.relay
    if relay.ip_protocol in {"ipv6", "all"}:
        yield Problem(
            field="relay.ip_protocol",
            value=relay.ip_protocol,
            rule=f"must be auto or ipv4: {docker.egress.name} is an IPv4 network",
            fix="leave it out",
        )
    elif not relay.host_names and not settings.egress_addresses:
        yield Problem(
            field="relay.egress_addresses",
            value=", ".join(relay.egress_addresses or ()),
            rule="must hold the public IPv4 address that the engine's mail leaves from",
            fix="write it, as `curl -4 ifconfig.me` shows it on that machine",
        )


RELAY_DOCKER_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (_placed,)
