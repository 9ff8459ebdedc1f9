"""What a change of pods on a cluster can cost, and of what they may reach."""

from collections.abc import Iterator

from mailstack.diff.risks.model import Risk, listed, within
from mailstack.plan import Plan, RelayPlan

__all__ = ["postal_pod_risks", "relay_pod_risks"]

NO_UPSTREAM = "an upstream with an address there gets no connection: mail waits in the queue, and then bounces"
NO_DATABASE = "a database with an address there gets no connection: Postal takes and sends no mail"


def relay_pod_risks(old: RelayPlan, new: RelayPlan) -> Iterator[Risk]:
    """Yield those of a relay that is on a cluster before and after."""
    if old.kubernetes is None or new.kubernetes is None:
        return
    before, after = old.kubernetes.relay, new.kubernetes.relay
    places = [(one.access.identifier, one.relay.namespace, one.relay.name) for one in (old.kubernetes, new.kubernetes)]
    if places[0] != places[1]:
        yield Risk(
            level="high",
            rule="relay-moved-on-cluster",
            what=f"the relay becomes {'/'.join(places[1])}, no more {'/'.join(places[0])}",
            reason="new pods have new volumes; what is on the old ones is sent by nobody",
            advice="drain the old volumes first (relay.kubernetes.drain_volumes)",
        )
    labels = dict(after.client_namespace_labels.items() - before.client_namespace_labels.items())
    if labels:
        yield Risk(
            level="medium",
            rule="client-labels-changed",
            what=f"only namespaces with {listed(f'{name}={text}' for name, text in labels.items())} may send",
            reason="pods of namespaces without it get no connection, and keep or lose their mail as they are made",
            advice="label the applications' namespaces first",
        )
    yield from _unreachable("the relay", before.egress.networks, after.egress.networks, NO_UPSTREAM)
    if before.authorities != after.authorities:
        yield Risk(
            level="medium",
            rule="upstream-authority-changed",
            what="other authorities stand behind the certificates of upstreams (relay.kubernetes.authorities)",
            reason="where they do not fit an upstream's certificate, mail waits in the queue until they do, and then "
            "bounces",
            advice="hold them against what the upstream shows: `openssl s_client -starttls smtp -connect HOST:PORT`",
        )
    if before.durable and not after.durable:
        yield Risk(
            level="high",
            rule="queue-not-durable",
            what="ephemeral_queue: true, the pods lose their volumes",
            reason="mail that no other pod takes in time is lost with its pod, and the old volumes are read by nobody",
            advice="empty the queue first; keep volumes unless other pods always take over",
        )
    elif (before.storage_class, before.queue_size) != (after.storage_class, after.queue_size):
        yield Risk(
            level="high",
            rule="stateful-set-replaced",
            what="the queue's volumes change size or class, so the StatefulSet is made anew",
            reason="all pods end at once; volumes that are there keep their size and class, and are used again",
            advice="do it while no mail comes; pods start again on their volumes",
        )
    most = [one.replicas if one.scaling is None else one.scaling.most for one in (before, after)]
    fewer = range(most[1], most[0])
    if fewer and after.durable:
        undrained = [f"pod {number}" for number in fewer if number not in after.drain_volumes]
        if undrained:
            yield Risk(
                level="medium",
                rule="pods-removed",
                what=f"pods: {most[0]} at most becomes {most[1]}",
                reason=f"what {listed(undrained)} cannot hand over in its grace stays on its volume",
                advice="name them in relay.kubernetes.drain_volumes: a job then hands that mail over",
            )
    if after.grace_seconds < before.grace_seconds:
        yield Risk(
            level="low",
            rule="grace-lowered",
            what=f"grace_seconds: {before.grace_seconds} becomes {after.grace_seconds}",
            reason="a pod that goes hands less of its queue over; with volumes the rest waits there",
            advice="keep it above the slowest hand-over in the log",
        )


def postal_pod_risks(before: Plan, after: Plan) -> Iterator[Risk]:
    """Yield those of Postal where it is on a cluster before and after."""
    places = [None if plan.postal is None else plan.postal.kubernetes for plan in (before, after)]
    if places[0] is None or places[1] is None:
        return
    old, new = (place.postal for place in places if place is not None)
    if old.load_balancer_class != new.load_balancer_class:
        names = [one.load_balancer_class or "the cluster's default" for one in (old, new)]
        yield Risk(
            level="medium",
            rule="load-balancer-replaced",
            what=f"load_balancer_class: {names[0]} becomes {names[1]}, so the SMTP service is made anew",
            reason="until the new one answers, and where its address is another until smtp_addresses say so, mail from "
            "outside waits at its senders",
            advice="lower dns.ttl first; reserve the address with the provider (smtp_service_annotations)",
        )
    peers, others = old.database_peers, new.database_peers
    if (peers.namespace, peers.pods) == (others.namespace, others.pods) and not peers.namespace:
        yield from _unreachable("Postal", peers.networks, others.networks, NO_DATABASE)


def _unreachable(who: str, old: tuple[str, ...], new: tuple[str, ...], reason: str) -> Iterator[Risk]:
    """Yield the risk of networks that pods may not connect to any more; none at all means any."""
    lost = [network for network in old if not within(network, new)]
    if not new or (old and not lost):
        return
    beyond = f"from {listed(lost)}" if lost else f"outside of {listed(new)}"
    yield Risk(
        level="medium",
        rule="network-closed",
        what=f"pods of {who} reach nothing {beyond} any more (network_policies)",
        reason=reason,
        advice="hold the networks against every address that its name has, and those that its provider may use",
    )
