"""What a rehearsal proves about a relay on a cluster, beyond what it proves about every relay."""

import secrets
from collections.abc import Iterator

from rehearsal.cluster_place import ClusterPlace
from rehearsal.site import Check, Site, short
from rehearsal.submitting import submit
from rehearsal.waiting import wait_for

__all__ = ["cluster_checks"]

ARRIVAL_SECONDS = 90
QUEUED_SECONDS = 30
# Argument: address. Runs where no application is.
KNOCK = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 25), 5)
    print("connected")
except OSError as error:
    print(repr(error))
"""


def cluster_checks(site: Site) -> Iterator[Check]:
    """Look at the pods, knock from elsewhere, kill one with mail in its queue, and take one away with mail in it."""
    place = site.place
    if not isinstance(place, ClusterPlace):
        return
    relay = place.placed.relay
    pods = place.pods()
    ready = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
    yield Check(name="all pods run", passed=len(ready) == len(pods) > 0, evidence=", ".join(ready))
    knocked = place.ask(["python3", "-c", KNOCK, relay.host], stranger=True).stdout.strip()
    yield Check(
        name="a namespace without the label does not reach it",
        passed=bool(knocked) and knocked != "connected",
        evidence=short(knocked),
    )
    yield _survives(site, place)
    if len(pods) > 1 and relay.scaling is None:
        yield _hands_over(site, place, len(pods))


def _waiting(site: Site, count: int) -> list[str]:
    """Queue messages while the upstream is away; return their subjects once all have been tried."""
    domain = site.plan.relay.definition.sender_domains[0]
    tokens = [f"mailstack-{secrets.token_hex(8)}" for _ in range(count)]
    for token in tokens:
        submit(site, f"app@{domain}", "someone@recipient.test", token)
    wait_for(lambda: site.in_relay(["postqueue", "-j"]).count('"delay_reason"') >= count, QUEUED_SECONDS)
    return tokens


def _arrive(site: Site, tokens: list[str]) -> bool:
    """Try all mail again and tell whether each message arrives, once."""
    site.in_relay(["postqueue", "-f"])
    return all(site.google.wait_for_subject(token, timeout_seconds=ARRIVAL_SECONDS) for token in tokens) and all(
        sum(message.header("Subject") == token for message in site.google.messages()) == 1 for token in tokens
    )


def _survives(site: Site, place: ClusterPlace) -> Check:
    fault = site.google.take_down()
    tokens = _waiting(site, 2)
    before = place.pods()
    for pod in before:
        place.kill(pod)
    place.wait_restarted(before)
    site.google.remove_fault(fault.id)
    return Check(
        name="killed pods come back with their queues",
        passed=_arrive(site, tokens),
        evidence=f"{len(before)} containers killed, {len(tokens)} messages waiting, started again, delivered",
    )


def _hands_over(site: Site, place: ClusterPlace, pods: int) -> Check:
    fault = site.google.take_down()
    tokens = _waiting(site, 2 * pods)
    place.scale(1)
    left = site.in_relay(["postqueue", "-j"]).count('"queue_id"')
    site.google.remove_fault(fault.id)
    arrived = _arrive(site, tokens)
    place.scale(pods)
    return Check(
        name="pods that go away hand their queues over",
        passed=left == len(tokens) and arrived,
        evidence=f"{len(tokens)} messages waiting in {pods} pods, {left} in the one that stays, delivered once",
    )
