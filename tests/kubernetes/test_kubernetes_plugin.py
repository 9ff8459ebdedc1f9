"""The contract of pulumi-resource-kubernetes 4: the same promises for the stand-in and, where it is, the real plugin.

What the real one does, and where that was read (github.com/pulumi/pulumi-kubernetes, provider/pkg):

=====================================================================  =============================================
an object is applied on the server, under a manager of its own         provider/provider.go, Create
a preview makes nothing; a second up changes nothing                   the same, dry run
what can be changed in place is; some fields make a new object         provider/fields.go, forceNewProperties
a ConfigMap's other data make another object, immutable or not         provider/fields.go (enableConfigMapMutable)
one with a new name is made before the old one goes                    the engine's order
a Secret's data are secret in the state                                provider/provider.go, and the program
a refresh sees what was changed or removed by hand                     provider/provider.go, Read
a removed object is gone when the update ends                          await/await.go, Deletion

Not kept by the stand-in, and not used by this project: names made up for objects, YAML and Helm, previews by a dry run
on the server, waiting for endpoints of a service, patches.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine import find_cli
from rehearsal.kubernetes import ApiServer, missing
from tests.engine.contract import Contract, kinds

pytestmark = [pytest.mark.engine, pytest.mark.xdist_group("kubernetes-plugin")]


class OnApiServer(Contract):
    """With an API server; a test has a namespace of its own."""

    api: ApiServer
    namespace: str

    @property
    def provider(self) -> dict[str, Any]:
        inputs = {"kubeconfig": self.api.kubeconfig, "enableServerSideApply": "true", "clusterIdentifier": "tests"}
        return {"type": "pulumi:providers:kubernetes", "name": "cluster", "inputs": inputs, "options": {}}

    def thing(self, kind: str, name: str, *, version: str = "v1", **rest: Any) -> dict[str, Any]:
        group = version if "/" in version else f"core/{version}"
        manifest = {
            "apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": self.namespace}, **rest,
        }  # fmt: skip
        return {
            "type": f"kubernetes:{group}:{kind}", "name": name, "inputs": manifest, "options": {"provider": "cluster"},
        }  # fmt: skip

    def budget(self, unavailable: int) -> dict[str, Any]:
        spec = {"maxUnavailable": unavailable, "selector": {"matchLabels": {"app": "relay"}}}
        found = self.thing("PodDisruptionBudget", "relay", version="policy/v1", spec=spec)
        return {**found, "name": "budget"}

    def live(self, kind: str, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(kind, name, f"--namespace={self.namespace}")
        return found

    def exists(self, kind: str, name: str) -> bool:
        return self.api.try_kubectl("get", kind, name, f"--namespace={self.namespace}").returncode == 0


@pytest.fixture(scope="module", params=kinds("kubernetes"))
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OnApiServer]:
    reason = missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one")
    folder: Path = tmp_path_factory.mktemp("contract")
    with ApiServer(f"plugin-contract-{request.param}") as api:
        made = OnApiServer(folder, "kubernetes", request.param)
        made.api = api
        yield made


@pytest.fixture
def contract(stack: OnApiServer, request: pytest.FixtureRequest) -> Iterator[OnApiServer]:
    stack.namespace = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    stack.api.kubectl("create", "namespace", stack.namespace)
    yield stack
    stack.destroy(stack.provider)


def test_a_preview_makes_nothing_and_a_second_up_changes_nothing(contract: OnApiServer) -> None:
    paint = contract.thing("ConfigMap", "paint", data={"colour": "blue"})
    assert contract.preview(contract.provider, paint).code == 0
    assert not contract.exists("configmap", "paint")
    assert contract.up(contract.provider, paint).changes == {"paint": "created"}
    version = contract.live("configmap", "paint")["metadata"]["resourceVersion"]
    assert contract.up(contract.provider, paint).changes == {}
    assert contract.live("configmap", "paint")["metadata"]["resourceVersion"] == version


def test_other_data_of_a_config_map_make_another_one_under_its_name(contract: OnApiServer) -> None:
    contract.up(contract.provider, contract.thing("ConfigMap", "paint", data={"colour": "blue"}))
    before = contract.live("configmap", "paint")["metadata"]["uid"]
    changed = contract.thing("ConfigMap", "paint", data={"colour": "red"})
    assert '"blue" => "red"' in contract.preview(contract.provider, changed).text
    assert contract.live("configmap", "paint")["data"] == {"colour": "blue"}
    outcome = contract.up(contract.provider, changed)
    assert "1 replaced" in outcome.text
    after = contract.live("configmap", "paint")
    assert after["data"] == {"colour": "red"}
    assert after["metadata"]["uid"] != before


def test_an_immutable_object_of_a_new_name_is_there_before_the_old_one_goes(contract: OnApiServer) -> None:
    first = contract.thing("ConfigMap", "paint-1", data={"colour": "blue"}, immutable=True)
    contract.up(contract.provider, {**first, "name": "paint"})
    second = contract.thing("ConfigMap", "paint-2", data={"colour": "red"}, immutable=True)
    outcome = contract.up(contract.provider, {**second, "name": "paint"})
    assert outcome.code == 0, outcome.text
    assert contract.exists("configmap", "paint-2")
    assert not contract.exists("configmap", "paint-1")


def test_a_secrets_data_are_secret_in_the_state(contract: OnApiServer) -> None:
    told = contract.thing("Secret", "login", type="Opaque", immutable=True, stringData={"password": "planted-7d2e"})
    told["options"] |= {"additional_secret_outputs": ["data", "stringData"]}
    told["inputs"]["stringData"] = {"secret": {"password": "planted-7d2e"}}
    outcome = contract.up(contract.provider, told)
    assert outcome.code == 0, outcome.text
    assert "planted-7d2e" not in outcome.text
    assert contract.live("secret", "login")["data"]["password"] == "cGxhbnRlZC03ZDJl"
    kept = contract.state()["login"]["outputs"]
    assert "planted-7d2e" not in str(kept)
    assert "cGxhbnRlZC03ZDJl" not in str(kept)


def test_a_refresh_sees_what_was_changed_and_what_is_gone(contract: OnApiServer) -> None:
    budget, other = contract.budget(1), contract.thing("ConfigMap", "other", data={"colour": "grey"})
    contract.up(contract.provider, budget, other)
    patch = ("patch", "poddisruptionbudget", "relay", f"--namespace={contract.namespace}", "--type=merge")
    contract.api.kubectl(*patch, "--patch", '{"spec": {"maxUnavailable": 5}}')
    contract.api.kubectl("delete", "configmap", "other", f"--namespace={contract.namespace}")
    assert contract.refresh(contract.provider, budget, other).code == 0
    assert contract.up(contract.provider, budget, other).changes == {"budget": "updated", "other": "created"}
    assert contract.live("poddisruptionbudget", "relay")["spec"]["maxUnavailable"] == 1


def test_what_is_removed_is_gone_when_the_update_ends(contract: OnApiServer) -> None:
    contract.up(contract.provider, contract.thing("ConfigMap", "paint", data={"colour": "blue"}))
    assert contract.up(contract.provider).code == 0
    assert not contract.exists("configmap", "paint")


def test_what_can_change_in_place_keeps_its_identity_and_the_clusters_own_fields(contract: OnApiServer) -> None:
    ports = [{"name": "smtp", "port": 25, "targetPort": "smtp", "protocol": "TCP"}]
    spec = {"selector": {"app": "relay"}, "ports": ports, "clusterIP": "None"}
    service = contract.thing("Service", "relay", spec=spec)
    up = contract.up(contract.provider, service, contract.budget(1))
    assert up.changes == {"relay": "created", "budget": "created"}
    before = contract.live("poddisruptionbudget", "relay")["metadata"]["uid"]
    assert contract.up(contract.provider, service, contract.budget(2)).changes == {"budget": "updated"}
    after = contract.live("poddisruptionbudget", "relay")
    assert (after["metadata"]["uid"], after["spec"]["maxUnavailable"]) == (before, 2)
    assert contract.refresh(contract.provider, service, contract.budget(2)).code == 0
    assert contract.up(contract.provider, service, contract.budget(2)).changes == {}


def test_a_field_that_the_api_lets_nobody_change_makes_a_new_object_once_the_old_one_is_gone(
    contract: OnApiServer,
) -> None:
    def balancer(kind: str, **options: Any) -> dict[str, Any]:
        ports = [{"name": "smtp", "port": 25, "targetPort": "smtp", "protocol": "TCP"}]
        spec = {"type": "LoadBalancer", "loadBalancerClass": kind, "selector": {"app": "postal"}, "ports": ports}
        made = contract.thing("Service", "smtp", spec=spec)
        made["inputs"]["metadata"]["annotations"] = {"pulumi.com/skipAwait": "true"}  # no controller gives an address
        made["options"] |= options
        return made

    contract.up(contract.provider, balancer("example.com/one"))
    refused = contract.up(contract.provider, balancer("example.com/two"))
    assert refused.code != 0
    assert "spec.loadBalancerClass" in refused.text
    fixed = {"replace_on_changes": ["spec.loadBalancerClass"], "delete_before_replace": True}
    outcome = contract.up(contract.provider, balancer("example.com/two", **fixed))
    assert outcome.code == 0, outcome.text
    assert contract.live("service", "smtp")["spec"]["loadBalancerClass"] == "example.com/two"
