"""Objects of a cluster are registered from manifests, as the SDK would register them, without importing it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.kubernetes import KubernetesObject, KubernetesProvider
from tests.graph.recording import Recorder, is_secret, plain

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NAME = {"name": "example", "namespace": "mail"}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {**NAME, "labels": {"app.kubernetes.io/name": "example"}},
    "spec": {"selector": {"a": "b"}, "clusterIP": "None", "ports": [{"port": 25, "targetPort": 25}]},
}
STATEFUL_SET = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": NAME,
    "spec": {
        "replicas": 2,
        "serviceName": "example",
        "selector": {"matchLabels": {"a": "b"}},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"hostUsers": False, "containers": [{"name": "x"}]}},
    },
}
SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": NAME, "stringData": {"key": "planted-secret"}}
MONITOR = {
    "apiVersion": "monitoring.coreos.com/v1",
    "kind": "ServiceMonitor",
    "metadata": NAME,
    "spec": {"endpoints": [{"port": "metrics"}]},
}


def registered(make: Callable[[], object]) -> Recorder:
    recorder = Recorder()
    pulumi.runtime.set_mocks(recorder, project="mailstack", stack="test")

    @pulumi.runtime.test  # type: ignore[untyped-decorator] # the SDK has no types for it
    def register() -> None:
        make()

    register()
    return recorder


def with_the_sdk(manifest: dict[str, Any]) -> object:
    import pulumi_kubernetes as sdk  # noqa: PLC0415 - only this test pays for it

    rest = {key: value for key, value in manifest.items() if key not in {"apiVersion", "kind"}}
    if manifest["kind"] == "ServiceMonitor":
        return sdk.apiextensions.CustomResource(
            "one", api_version=manifest["apiVersion"], kind=manifest["kind"], metadata=rest["metadata"],
            spec=rest["spec"],
        )  # fmt: skip
    if manifest["kind"] == "Secret":
        return sdk.core.v1.Secret("one", metadata=rest["metadata"], string_data=rest["stringData"])
    kind = sdk.core.v1.Service if manifest["kind"] == "Service" else sdk.apps.v1.StatefulSet
    return kind("one", **rest)


@pytest.mark.parametrize("manifest", [SERVICE, STATEFUL_SET, SECRET, MONITOR], ids=lambda found: found["kind"])
def test_an_object_registers_as_the_sdk_would(manifest: dict[str, Any]) -> None:
    ours = registered(lambda: KubernetesObject("one", manifest, pulumi.ResourceOptions())).resources["one"]
    theirs = registered(lambda: with_the_sdk(manifest)).resources["one"]
    assert ours.typ == theirs.typ
    assert plain(ours.inputs) == plain(theirs.inputs)


def test_a_secrets_data_are_secret_and_nothing_else_is() -> None:
    inputs = registered(lambda: KubernetesObject("one", SECRET, pulumi.ResourceOptions())).resources["one"].inputs
    assert {key for key, value in inputs.items() if is_secret(value)} == {"stringData"}
    inputs = registered(lambda: KubernetesObject("one", SERVICE, pulumi.ResourceOptions())).resources["one"].inputs
    assert not any(is_secret(value) for value in inputs.values())


def test_a_kubeconfig_is_secret_and_a_provider_registers_as_the_sdk_would(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)

    def ours() -> object:
        return KubernetesProvider(
            "one", identifier="here", kubeconfig="planted", context="prod", opts=pulumi.ResourceOptions()
        )

    def theirs() -> object:
        import pulumi_kubernetes as sdk  # noqa: PLC0415

        return sdk.Provider(
            "one", cluster_identifier="here", kubeconfig="planted", context="prod", enable_server_side_apply=True
        )

    mine, other = registered(ours).resources["one"], registered(theirs).resources["one"]
    assert mine.typ == other.typ
    assert plain(mine.inputs) == plain(other.inputs)
    assert is_secret(mine.inputs["kubeconfig"])


@pytest.mark.slow
def test_the_kubernetes_sdk_is_not_imported() -> None:
    # In a process of its own: the SDK cannot be taken out of this one, where it registers itself for good.
    program = (
        "import sys, pulumi\n"
        "from components.kubernetes import KubernetesObject\n"
        "from tests.graph.test_kubernetes_objects import SERVICE, registered\n"
        "registered(lambda: KubernetesObject('one', SERVICE, pulumi.ResourceOptions()))\n"
        "assert 'pulumi_kubernetes' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
