"""What the program registers for a relay on a cluster: types, order, secrets, stability."""

import json
from typing import Any

import pulumi
import pytest
from pulumi.runtime.mocks import MockResourceArgs

from components.kubernetes import KubernetesObject
from components.postfix_relay import PostfixRelay, PostfixRelayArgs
from tests.graph.recording import Recorder, is_secret, plain, run_graph
from tests.unit.kubernetes_examples import KUBECONFIG, VARIANTS, on_cluster, plan_of
from tests.unit.mistakes import changed

pytestmark = pytest.mark.slow

PASSWORD = "planted-password"


def everything() -> dict[str, Any]:
    return changed(on_cluster(), VARIANTS["everything"])


def objects(recorder: Recorder) -> dict[str, MockResourceArgs]:
    return {name: args for name, args in recorder.resources.items() if args.typ.startswith("kubernetes:")}


def test_each_object_is_a_resource_and_no_host_is_asked_for_anything() -> None:
    recorder, outputs = run_graph(on_cluster())
    assert {name: args.typ for name, args in objects(recorder).items()} == {
        "relay-namespace": "kubernetes:core/v1:Namespace",
        "relay-service-account": "kubernetes:core/v1:ServiceAccount",
        "relay-settings": "kubernetes:core/v1:ConfigMap",
        "relay-policy-deny": "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        "relay-policy-clients": "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        "relay-policy-siblings": "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        "relay-policy-egress": "kubernetes:networking.k8s.io/v1:NetworkPolicy",
        "relay-pods": "kubernetes:core/v1:Service",
        "relay-check": "kubernetes:batch/v1:Job",
        "relay-workload": "kubernetes:apps/v1:StatefulSet",
        "relay-service": "kubernetes:core/v1:Service",
        "relay-disruption-budget": "kubernetes:policy/v1:PodDisruptionBudget",
    }
    assert recorder.of_type("command:remote:Command") == {}
    assert outputs["smtp_host"] == "postfix-relay.mail-relay.svc.cluster.local"
    assert outputs["smtp_port"] == 25
    assert outputs["relay_hostname"] == "relay.example.com"
    assert "relay_rule_probe" not in outputs, "no host of the stack could ask the way its pods do"


def test_passwords_and_the_kubeconfig_are_secret_wherever_they_are() -> None:
    recorder, outputs = run_graph(everything())
    for name, args in recorder.resources.items():
        visible = json.dumps({key: plain(value) for key, value in args.inputs.items() if not is_secret(value)})
        for secret in (PASSWORD, "planted-token"):
            assert secret not in visible, name
    assert plain(recorder.resources["relay-secrets"].inputs["stringData"])["sasl_password"] == PASSWORD
    assert plain(recorder.resources["relay-cluster"].inputs["kubeconfig"]) == KUBECONFIG
    assert PASSWORD not in json.dumps(outputs)


def test_a_cluster_is_named_by_its_server_or_its_context() -> None:
    recorder, _ = run_graph(everything())
    assert recorder.resources["relay-cluster"].inputs["clusterIdentifier"] == "https://k8s.example.com:6443"
    recorder, _ = run_graph(on_cluster())
    inputs = recorder.resources["relay-cluster"].inputs
    assert (inputs["clusterIdentifier"], inputs["context"]) == ("context prod", "prod")
    assert "kubeconfig" not in inputs


@pytest.mark.slow
def test_nothing_registers_differently_on_a_second_run() -> None:
    first, second = (run_graph(everything())[0] for _ in range(2))
    assert {name: args.inputs for name, args in first.resources.items()} == {
        name: args.inputs for name, args in second.resources.items()
    }


def test_a_preview_with_unknown_outputs_does_not_crash() -> None:
    recorder, _ = run_graph(everything(), preview=True)
    assert "relay-workload" in recorder.resources


class Seen:
    """What the component asks of each object."""

    def __init__(self) -> None:
        self.options: dict[str, pulumi.ResourceOptions] = {}
        self.theirs: dict[str, tuple[str, ...]] = {}


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    found, original = Seen(), KubernetesObject.__init__

    def spy(self: KubernetesObject, name: str, manifest: Any, opts: pulumi.ResourceOptions, **rest: Any) -> None:
        found.options[name], found.theirs[name] = opts, tuple(rest.get("theirs", ()))
        original(self, name, manifest, opts, **rest)

    monkeypatch.setattr(KubernetesObject, "__init__", spy)
    return found


def test_policies_and_settings_are_there_before_a_pod_is_and_the_service_after(seen: Seen) -> None:
    run_graph(changed(on_cluster(), {"relay.kubernetes.drain_volumes": [2]}))

    def names(name: str) -> set[str]:
        before = seen.options[name].depends_on
        assert isinstance(before, list)
        return {one._name for one in before if isinstance(one, pulumi.Resource)}

    assert names("relay-namespace") == set()
    assert names("relay-policy-deny") == {"relay-namespace"}
    assert {"relay-policy-deny", "relay-policy-clients", "relay-settings", "relay-pods"} <= names("relay-workload")
    assert "relay-workload" in names("relay-service")
    assert {"relay-workload", "relay-service"} <= names("relay-drain-2")


def test_a_namespace_with_mail_in_it_stays_and_with_on_destroy_keep_everything_does(seen: Seen) -> None:
    run_graph(on_cluster())
    assert {name for name, options in seen.options.items() if options.retain_on_delete} == {"relay-namespace"}
    seen.options.clear()
    run_graph(changed(on_cluster(), {"relay.on_destroy": "keep"}))
    assert all(options.retain_on_delete for options in seen.options.values())


def test_an_autoscalers_number_of_pods_is_left_alone(seen: Seen) -> None:
    run_graph(changed(on_cluster(), {"relay.kubernetes.autoscaling": {}}))
    assert {name: fields for name, fields in seen.theirs.items() if fields} == {"relay-workload": ("spec.replicas",)}
    assert "relay-autoscaler" in seen.options


def test_a_cluster_of_the_stack_itself_hands_its_kubeconfig_over() -> None:
    plan = plan_of({})
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="mailstack", stack="test")

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK has no types for it
    def register() -> None:
        made = pulumi.Output.from_input("made-by-the-stack")
        PostfixRelay("relay", PostfixRelayArgs(plan=plan.relay, hosts={}, kubeconfig=made))

    register()
    given = recorder.resources["relay-cluster"].inputs["kubeconfig"]
    assert is_secret(given)
    assert plain(given) == "made-by-the-stack"


@pytest.mark.parametrize("scaled", [False, True])
def test_a_fixed_number_of_pods_is_taken_back_from_an_autoscaler_that_is_gone(scaled: bool) -> None:
    changes: dict[str, Any] = {"relay.kubernetes.autoscaling": {"min": 2}} if scaled else {}
    recorder, _ = run_graph(changed(on_cluster(), changes))
    metadata = plain(recorder.resources["relay-workload"].inputs["metadata"])
    assert (metadata.get("annotations", {}).get("pulumi.com/patchForce") == "true") is not scaled
