"""Rules of ``relay.kubernetes``, and of what placement ``kubernetes`` means for the rest of ``relay``."""

import ipaddress
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from mailstack.settings.cluster_types import quantity
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem, one_of
from mailstack.settings.relay_kubernetes_model import RelayKubernetes
from mailstack.settings.relay_tiers import TIERS

__all__ = ["RELAY_KUBERNETES_RULES", "kubeconfig_server"]

PREFIX = "relay.kubernetes"
OURS = "app.kubernetes.io/"
IMAGE_FIX = (
    "write registry/name:tag or registry/name@sha256:… of one that is there, or give registry, where it is pushed to"
)


def _placement(settings: Settings) -> Iterator[Problem]:
    relay = settings.relay
    if relay.placement != "kubernetes":
        if relay.kubernetes is not None:
            yield Problem(
                field=PREFIX,
                value="a mapping",
                rule=f"has no effect: relay.placement is {relay.placement}",
                fix="remove it, or set relay.placement to kubernetes",
            )
        return
    if relay.host_names:
        yield Problem(
            field="relay.hosts" if relay.hosts else "relay.host",
            value=", ".join(relay.host_names),
            rule="has no effect: a cluster runs the relay",
            fix="remove it, and name the addresses mail leaves from in relay.egress_addresses",
        )
    if relay.egress_addresses is None:
        yield Problem(
            field="relay.egress_addresses",
            value="",
            rule="is required: SPF and the upstream must know the addresses mail leaves the cluster from",
            fix="list those of its NAT gateway, or of its nodes where each sends by itself",
        )
    if relay.image.reference is None and relay.image.registry is None:
        yield Problem(
            field="relay.image.reference",
            value="",
            rule="is required, or relay.image.registry: the cluster pulls the relay's image from a registry",
            fix=IMAGE_FIX,
        )
    if settings.postal is not None and settings.postal.sending.path == "postfix":
        yield Problem(
            field="relay.placement",
            value="kubernetes",
            rule="is out of Postal's reach: its host has no way to a service inside of a cluster",
            fix="let a host run the relay (placement vm), and give the cluster's relay a stack of its own",
        )
    yield from _host_only(settings)


def _host_only(settings: Settings) -> Iterator[Problem]:
    """Yield what only a host has."""
    relay = settings.relay
    if relay.submission is not None:
        yield Problem(
            field="relay.submission",
            value="a mapping",
            rule="needs a host: its certificate and its port are the host's",
            fix="remove it; pods and services of the cluster need no login",
        )
    for key in ("listen_addresses", "listen_port"):
        if getattr(relay, key) is not None:
            yield Problem(
                field=f"relay.{key}",
                value=str(getattr(relay, key)),
                rule="has no effect: in a pod the relay listens on all addresses, on port 25",
                fix="remove it",
            )
    for field, upstream in settings.upstreams_by_field.items():
        if upstream.ca_file is not None:
            yield Problem(
                field=f"{field}.ca_file",
                value=upstream.ca_file,
                rule="is a file of a host, and a pod has none",
                fix=f"put the certificates into {PREFIX}.authorities",
            )


def _access(settings: Settings) -> Iterator[Problem]:
    asked = _asked(settings)
    if asked is None:
        return
    if asked.kubeconfig is None and asked.context is None and settings.cluster is None:
        yield Problem(
            field=f"{PREFIX}.kubeconfig",
            value="",
            rule="is required, or context: a current context may be another cluster tomorrow",
            fix="name the context, as `kubectl config get-contexts` shows it",
        )
    if asked.kubeconfig is not None:
        found = yaml.safe_load(asked.kubeconfig.get_secret_value())
        contexts = [str(entry.get("name")) for entry in found["contexts"] if isinstance(entry, Mapping)]
        if asked.context is not None and asked.context not in contexts:
            yield Problem(
                field=f"{PREFIX}.context",
                value=asked.context,
                rule="is no context of the kubeconfig",
                fix=one_of(contexts, asked.context),
            )
        elif kubeconfig_server(asked) is None:
            yield Problem(
                field=f"{PREFIX}.kubeconfig",
                value="[secret]",
                rule="must lead from its current context to a server",
                fix="name the context, or take `kubectl config view --raw --minify --flatten`",
            )


def kubeconfig_server(asked: RelayKubernetes) -> str | None:
    """Return the address of the API server that the kubeconfig's context leads to, None where it leads to none."""
    if asked.kubeconfig is None:
        return None
    found = yaml.safe_load(asked.kubeconfig.get_secret_value())
    context = _named(found["contexts"], asked.context or found.get("current-context"), "context")
    cluster = _named(found["clusters"], context.get("cluster"), "cluster")
    return str(cluster["server"]) if cluster.get("server") else None


def _named(entries: list[Any], name: Any, key: str) -> Mapping[str, Any]:
    for entry in entries:
        if isinstance(entry, Mapping) and entry.get("name") == name and isinstance(entry.get(key), Mapping):
            inner: Mapping[str, Any] = entry[key]
            return inner
    return {}


def _asked(settings: Settings) -> RelayKubernetes | None:
    """Return what is asked for, all defaults included; None where no cluster runs the relay."""
    if settings.relay.placement != "kubernetes":
        return None
    return settings.relay.kubernetes or RelayKubernetes()


def _pods(settings: Settings) -> Iterator[Problem]:
    asked = _asked(settings)
    if asked is None:
        return
    scaling = asked.autoscaling
    if scaling is not None and scaling.max < scaling.min:
        yield Problem(
            field=f"{PREFIX}.autoscaling.max",
            value=str(scaling.max),
            rule=f"must not be less than min, which is {scaling.min}",
            fix="raise it, or lower min",
        )
    if scaling is not None and "replicas" in asked.model_fields_set:
        yield Problem(
            field=f"{PREFIX}.replicas",
            value=str(asked.replicas),
            rule="has no effect: autoscaling decides",
            fix="remove one of the two; autoscaling.min is the least",
        )
    if asked.ephemeral_queue and asked.queue is not None:
        yield Problem(
            field=f"{PREFIX}.queue",
            value="a mapping",
            rule="has no effect: ephemeral_queue is true, so there are no volumes",
            fix="remove one of the two; without ephemeral_queue accepted mail outlives its pod",
        )
    yield from _drained(asked)
    if asked.image_pull_secret is not None and asked.create_namespace:
        yield Problem(
            field=f"{PREFIX}.image_pull_secret",
            value=asked.image_pull_secret,
            rule="cannot be there: the namespace is yet to be made",
            fix="make namespace and secret yourself, and set create_namespace to false",
        )
    for name in asked.labels:
        if name.startswith(OURS):
            yield Problem(
                field=f"{PREFIX}.labels.{name}",
                value=asked.labels[name],
                rule=f"is set by this project: {OURS} labels tell its pods from others",
                fix="use another prefix",
            )


def _drained(asked: RelayKubernetes) -> Iterator[Problem]:
    field = f"{PREFIX}.drain_volumes"
    for number, count in Counter(asked.drain_volumes).items():
        if count > 1:
            yield Problem(field=field, value=str(number), rule="is listed twice", fix="remove one")
    if asked.ephemeral_queue and asked.drain_volumes:
        yield Problem(
            field=field,
            value=", ".join(map(str, asked.drain_volumes)),
            rule="has no effect: ephemeral_queue is true, so there are no volumes",
            fix="remove it",
        )
    most = asked.replicas if asked.autoscaling is None else asked.autoscaling.max
    for number in dict.fromkeys(asked.drain_volumes):
        if number < most and not asked.ephemeral_queue:
            yield Problem(
                field=field,
                value=str(number),
                rule=f"belongs to a pod that there may be: they are numbered 0 to {most - 1}",
                fix="leave it out, the pod itself delivers what is there",
            )


def _networks(settings: Settings) -> Iterator[Problem]:
    asked = _asked(settings)
    if asked is None:
        return
    policies = asked.network_policies
    for key, listed in (("dns_networks", policies.dns_networks), ("upstream_networks", policies.upstream_networks)):
        for index, text in enumerate(listed):
            if ipaddress.ip_network(text).prefixlen == 0:
                yield Problem(
                    field=f"{PREFIX}.network_policies.{key}[{index}]",
                    value=text,
                    rule="is every address, so it allows what leaving the key out allows",
                    fix="list the networks, or leave it out",
                )


def _resources(settings: Settings) -> Iterator[Problem]:
    asked = _asked(settings)
    if asked is None:
        return
    field, wanted = f"{PREFIX}.resources", asked.resources
    least = TIERS[0].megabytes
    if quantity(wanted.memory_limit) < least * 2**20:
        yield Problem(
            field=f"{field}.memory_limit",
            value=wanted.memory_limit,
            rule=f"is too little: with fewer than {least}Mi a burst of mail has pods killed",
            fix=f"write {least}Mi or more",
        )
    pairs = (("memory", wanted.memory_request, wanted.memory_limit), ("cpu", wanted.cpu_request, wanted.cpu_limit))
    for name, request, limit in pairs:
        if limit is not None and quantity(request) > quantity(limit):
            yield Problem(
                field=f"{field}.{name}_request",
                value=request,
                rule=f"must not be more than {name}_limit, which is {limit}",
                fix="lower it, or raise the limit",
            )


RELAY_KUBERNETES_RULES: tuple[Callable[[Settings], Iterator[Problem]], ...] = (
    _placement,
    _access,
    _pods,
    _resources,
    _networks,
)
