"""Rules of ``relay.kubernetes``, and of what placement ``kubernetes`` means for the rest of ``relay``."""

from collections import Counter
from collections.abc import Callable, Iterator

from mailstack.settings.cluster_types import quantity
from mailstack.settings.cluster_workload_rules import (
    access_problems,
    application_problems,
    object_problems,
    scaling_problems,
    whole_networks,
)
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem
from mailstack.settings.relay_kubernetes_model import RelayKubernetes
from mailstack.settings.relay_tiers import TIERS

__all__ = ["RELAY_KUBERNETES_RULES"]

PREFIX = "relay.kubernetes"
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
    postal = settings.postal
    if postal is not None and postal.placement == "vm" and postal.sending.path == "postfix":
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
    if asked is not None:
        yield from access_problems(PREFIX, asked, own_cluster=settings.cluster is not None)


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
    if scaling is not None:
        yield from scaling_problems(f"{PREFIX}.autoscaling", scaling)
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
    yield from application_problems(PREFIX, asked.application_secrets)
    yield from object_problems(
        PREFIX,
        create_namespace=asked.create_namespace,
        needed={"image_pull_secret": asked.image_pull_secret},
        labels=asked.labels,
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
    listed = {"dns_networks": policies.dns_networks, "upstream_networks": policies.upstream_networks}
    yield from whole_networks(PREFIX, listed)


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
