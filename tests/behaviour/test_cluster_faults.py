"""Two thousand messages while a cluster does what clusters do; see ``test_faults``. Nothing here may double a message
of the relay's: pods that end in order finish what they have in hand, and hand over the rest.
"""

import threading
from collections.abc import Callable

import pytest

from tests.behaviour.cluster import ClusterRelay
from tests.behaviour.load import begun
from tests.behaviour.place import Load, Place

ON_CLUSTER = pytest.param("kubernetes", marks=pytest.mark.xdist_group("behaviour-kubernetes"))
pytestmark = [pytest.mark.hosts, pytest.mark.cluster, pytest.mark.parametrize("made", [ON_CLUSTER], indirect=True)]

DRAIN_SECONDS = 300


@pytest.fixture
def relay(place: Place) -> ClusterRelay:
    assert isinstance(place, ClusterRelay)
    return place


def test_a_rolling_restart(relay: ClusterRelay, proven: Callable[[Load, int], None]) -> None:
    load = begun(relay)
    where = relay.place.namespace
    relay.place.cluster.kubectl("rollout", "restart", relay.place.workload, where)
    status = ("rollout", "status", relay.place.workload, where, f"--timeout={DRAIN_SECONDS}s")
    relay.place.cluster.kubectl(*status, timeout=DRAIN_SECONDS)
    relay.place.wait_ready(relay.replicas)
    proven(load, relay.cut_off_by_stop)


def test_a_node_is_drained(relay: ClusterRelay, proven: Callable[[Load, int], None]) -> None:
    """There is one node: it takes pods back once the first has gone, so that the budget lets the second go."""
    cluster = relay.place.cluster
    before = {pod["metadata"]["uid"] for pod in relay.place.pods()}
    load = begun(relay)
    drained: list[str] = []

    def drain() -> None:
        chosen = ",".join(f"{key}={value}" for key, value in relay.place.placed.relay.pods.items())
        options = ("--delete-emptydir-data", f"--pod-selector={chosen}", f"--timeout={DRAIN_SECONDS}s")
        drained.append(cluster.kubectl("drain", cluster.node_name, *options, timeout=DRAIN_SECONDS + 30))

    draining = threading.Thread(target=drain)
    draining.start()
    seen: list[int] = []

    def one_is_away() -> bool:
        pods = relay.place.pods()
        seen.append(
            sum(pod["metadata"]["uid"] in before and "deletionTimestamp" not in pod["metadata"] for pod in pods)
        )
        return any(pod["status"]["phase"] == "Pending" for pod in pods)

    relay.wait(one_is_away, "a pod to be evicted")
    assert min(seen) == relay.replicas - 1, "the budget lets one go at a time"
    cluster.kubectl("uncordon", cluster.node_name)
    draining.join()
    assert "drained" in drained[0]
    relay.place.wait_ready(relay.replicas)
    assert not before & {pod["metadata"]["uid"] for pod in relay.place.pods()}
    proven(load, relay.cut_off_by_stop)


def test_four_pods_become_two(relay: ClusterRelay, proven: Callable[[Load, int], None]) -> None:
    relay.place.scale(4)
    # So that those that go have something to hand over.
    relay.google.slow_down(0.05)
    load = begun(relay)
    relay.place.scale(relay.replicas)
    relay.google.clear_faults()
    proven(load, relay.cut_off_by_stop)
