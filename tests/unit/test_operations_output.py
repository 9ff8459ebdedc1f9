"""Where what of a stack runs: output ``operations``, made from the plan, read by the day-2 commands."""

import json
from pathlib import Path
from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.plan.operations import operations, operations_text
from mailstack.reach import operations as reached
from mailstack.reach.entry import Entry
from mailstack.reach.operations import Operations, read_operations
from mailstack.reach.outputs import OutputError
from mailstack.reach.place import ContainerPlace, HostPlace, PlaceError, PodPlace, StoppedError, StoppedPlace
from tests.unit.docker_examples import docker_example, local_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import HOST_KEY, example, postal_example, ssh_key

JUMP = {"address": "bastion.example.com", "host_key": HOST_KEY, "user": "jump"}
EXAMPLES = {
    "vm": postal_example, "docker": docker_example, "this machine": local_example, "pods": on_cluster,
    "all pods": postal_on_cluster,
}  # fmt: skip


def told(raw: dict[str, Any]) -> Operations:
    return Operations.model_validate_json(operations_text(load_plan(raw)))


def entry(raw: dict[str, Any], **more: Any) -> Entry:
    plan = load_plan(raw)
    return Entry(operations=told(raw), stack="prod", folder=Path(), open_plan=lambda: plan, **more)


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_told_reads_back_the_same_and_holds_no_secret(name: str) -> None:
    raw = EXAMPLES[name]()
    text = operations_text(load_plan(raw))
    assert Operations.model_validate_json(text) == operations(load_plan(raw))
    assert "PRIVATE KEY" not in text
    words = {word for word in json.dumps(raw).replace('"', " ").split() if word.isalnum() and len(word) >= 24}
    assert not [word for word in words if word in text]


def test_a_host_is_told_with_the_way_to_it_and_its_jump_host() -> None:
    raw = postal_example()
    raw["hosts"]["relay1"]["jump"] = JUMP
    found = told(raw)
    host = found.hosts["relay1"]
    assert (host.address, host.port, host.user, host.host_key) == ("relay.example.com", 22, "admin", HOST_KEY)
    assert host.jump is not None
    assert (host.jump.address, host.jump.user) == ("bastion.example.com", "jump")
    assert found.relay is not None
    assert (found.relay.placement, found.relay.hosts, found.relay.google) == ("vm", ("relay1",), True)
    assert found.postal is not None
    assert (found.postal.host, found.postal.image) == ("relay1", "ghcr.io/postalserver/postal:3.3.7")
    assert found.postal.credentials == {"example/apps": ("shop", "shop")}


def test_keys_come_from_the_configuration_or_from_the_file_that_is_named() -> None:
    raw = example()
    raw["hosts"]["relay1"]["jump"] = JUMP
    [place] = entry(raw).relay()
    assert isinstance(place, HostPlace)
    assert place.connection.private_key == ssh_key()
    assert place.connection.jump is not None
    assert place.connection.jump.private_key == ssh_key()
    [other] = entry(raw, identity="another key").relay()
    assert isinstance(other, HostPlace)
    assert (other.connection.private_key, other.connection.host_key) == ("another key", HOST_KEY)


def test_a_container_of_this_machine_needs_no_key_at_all() -> None:
    def locked() -> Any:
        raise AssertionError("nobody may open the settings")

    raw = local_example()
    found = Entry(operations=told(raw), stack="local", folder=Path(), open_plan=locked)
    [place] = found.relay()
    assert isinstance(place, ContainerPlace)
    assert found.operations.relay is not None
    assert found.operations.relay.listen == {"": (("0.0.0.0", 25),)}


@pytest.mark.parametrize(
    ("raw", "options", "message"),
    [
        (example, {"host": "nowhere"}, "runs on relay1"),
        (example, {"pod": "postfix-relay-0"}, "runs on vm, not in pods"),
        (on_cluster, {"host": "relay1"}, "name one with --pod"),
        (docker_example, {"host": "nowhere"}, "the relay is container"),
    ],
)
def test_a_place_that_is_not_there_is_told_with_those_that_are(raw: Any, options: dict[str, str], message: str) -> None:
    with pytest.raises(PlaceError, match=message):
        entry(raw()).relay(**options)


def test_a_stack_that_tells_something_else_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reached, "stack_output", lambda *_: '{"relay": {"placement": "moon"}}')
    with pytest.raises(OutputError, match=r"relay\.placement.*run `pulumi up` with this one"):
        read_operations("prod", Path())


def pod(name: str, phase: str, message: str = "") -> dict[str, Any]:
    conditions = [{"type": "PodScheduled", "message": message}] if message else []
    return {"metadata": {"name": name}, "status": {"phase": phase, "conditions": conditions}}


def cluster_with(monkeypatch: pytest.MonkeyPatch, *pods: dict[str, Any]) -> Entry:
    monkeypatch.setattr("mailstack.reach.kubectl.Kubectl.run", lambda *_, **__: json.dumps({"items": pods}))
    return entry(on_cluster())


def test_a_pod_that_waits_is_told_beside_those_that_run_and_one_that_ended_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = cluster_with(
        monkeypatch, pod("relay-0", "Pending", "0/1 nodes are available"), pod("relay-1", "Running"),
        pod("relay-old", "Failed", "evicted"),
    ).relay()  # fmt: skip
    assert [(type(place), place.name) for place in found] == [(PodPlace, "relay-1"), (StoppedPlace, "relay-0")]
    with pytest.raises(StoppedError, match="relay-0 does not run: the pod is Pending: 0/1 nodes are available"):
        found[1].run("relay_operations", {"operation": "list"})


def test_no_pod_at_all_says_where_to_look_and_a_wrong_name_says_which_there_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(StoppedError, match=r"no pod of statefulset/.* runs in namespace .*kubectl get pods -n"):
        cluster_with(monkeypatch).relay()
    with pytest.raises(PlaceError, match=r"no pod relay-9 .* there are: relay-1"):
        cluster_with(monkeypatch, pod("relay-1", "Running")).relay(pod="relay-9")
