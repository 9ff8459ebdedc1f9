"""What the program registers for a cluster: one node after the other, and its kubeconfig only as a secret."""

import asyncio
import json
from typing import Any

import pytest
from pulumi.runtime import settings as runtime_settings
from pulumi.runtime.mocks import MockMonitor

from tests.graph.recording import KUBECONFIG, is_secret, plain, run_graph
from tests.unit.cluster_examples import TOKEN, cluster_example
from tests.unit.stack_examples import with_value

pytestmark = pytest.mark.slow

COMMAND = "command:remote:Command"
ORDER = ["cluster-node1", "cluster-node2", "cluster-node3", "cluster-node4", "cluster-members", "cluster-kubeconfig"]


def registered() -> MockMonitor:
    monitor = runtime_settings.get_monitor()
    assert isinstance(monitor, MockMonitor)
    return monitor


def test_nodes_are_made_one_after_the_other_servers_first() -> None:
    recorder, _ = run_graph(cluster_example())
    assert [name for name in recorder.resources if name.startswith("cluster-")] == ORDER


def test_a_cluster_and_its_runs_stand_under_one_component() -> None:
    run_graph(cluster_example())
    types = {urn.split("::")[3]: urn.split("::")[2] for urn in registered().get_registered_resources()}
    assert {types[name] for name in ORDER} == {f"mailstack:index:KubernetesCluster${COMMAND}"}


def test_the_token_is_on_standard_input_only() -> None:
    recorder, _ = run_graph(cluster_example())
    for name in ORDER:
        inputs = recorder.resources[name].inputs
        assert is_secret(inputs["stdin"]), name
        visible = json.dumps({key: plain(value) for key, value in inputs.items() if not is_secret(value)})
        assert TOKEN not in visible, name
    assert TOKEN in plain(recorder.resources["cluster-node4"].inputs["stdin"])
    assert TOKEN not in plain(recorder.resources["cluster-members"].inputs["stdin"]), "it needs none"
    assert is_secret(recorder.resources["cluster"].inputs["token"])


def test_the_kubeconfig_is_a_secret_output_and_the_version_is_not() -> None:
    _, outputs = run_graph(cluster_example())
    assert outputs["kubeconfig"] == KUBECONFIG
    assert outputs["kubernetes_version"] == "v1.33.5+k3s1"
    root: Any = runtime_settings.get_root_resource()
    loop = asyncio.new_event_loop()
    hidden = {
        key: loop.run_until_complete(root.outputs[key].is_secret()) for key in ("kubeconfig", "kubernetes_version")
    }
    loop.close()
    assert hidden == {"kubeconfig": True, "kubernetes_version": False}


def test_only_the_run_that_tells_the_kubeconfig_logs_nothing_of_what_it_prints() -> None:
    recorder, _ = run_graph(cluster_example())
    logging = {name: args.inputs["logging"] for name, args in recorder.of_type(COMMAND).items()}
    assert logging.pop("cluster-kubeconfig") == "none"
    assert set(logging.values()) == {"stderr"}


@pytest.mark.parametrize(
    ("path", "value", "changed"),
    [
        ("cluster.version", "v1.33.6+k3s1", {*ORDER[:5]}),
        ("cluster.node_labels", {"node4": {"zone": "a"}}, {"cluster-node4"}),
        ("cluster.tls_san", ["other.example.com"], {*ORDER[:3]}),
        ("cluster.api_address", "other.example.com", {*ORDER[:3], "cluster-kubeconfig"}),
        ("cluster.agents", [], {"cluster-node4", "cluster-members"}),
    ],
)
@pytest.mark.slow
def test_a_change_runs_the_nodes_it_concerns_only(path: str, value: Any, changed: set[str]) -> None:
    before, _ = run_graph(cluster_example())
    after, _ = run_graph(with_value(path, value, cluster_example))
    now = {name: args.inputs for name, args in after.of_type(COMMAND).items() if name in ORDER}
    assert {name for name in ORDER if before.resources[name].inputs != now.get(name)} == changed


def test_destroy_leaves_nodes_unless_asked() -> None:
    kept, _ = run_graph(cluster_example())
    assert not [name for name in ORDER if "delete" in kept.resources[name].inputs]
    asked, _ = run_graph(with_value("cluster.on_destroy", "remove", cluster_example))
    assert all("delete" in asked.resources[name].inputs for name in ORDER)


def test_a_preview_of_a_cluster_does_not_crash() -> None:
    recorder, _ = run_graph(cluster_example(), preview=True)
    assert "cluster-kubeconfig" in recorder.resources
