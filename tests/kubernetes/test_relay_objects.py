"""A real API server takes every object of the relay: schema, strict fields, Pod Security, and who owns which field."""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from mailstack.kubernetes.objects import Placed
from mailstack.reach.kubectl import Kubectl, KubectlError, labelled_namespaces
from rehearsal.kubernetes.programs import PROGRAMS
from tests.unit.kubernetes_examples import VARIANTS, objects
from tests.unit.pod_security import beyond_restricted

kubernetes = pytest.importorskip("rehearsal.kubernetes")

every_variant = pytest.mark.parametrize(("name", "changes"), list(VARIANTS.items()), ids=list(VARIANTS))


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    reason = kubernetes.missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    with kubernetes.ApiServer("relay-objects") as running:
        yield running


def in_namespace(name: str, changes: Mapping[str, Any]) -> tuple[Placed, ...]:
    """Return the objects of a variant in a namespace of its own."""
    return objects({**changes, "relay.kubernetes.namespace": name})


def apply(api: Any, found: tuple[Placed, ...], *options: str) -> str:
    """Apply as the plugin does: on the server, under one manager of fields."""
    manifests = [dict(one.manifest) for one in sorted(found, key=lambda one: one.stage)]
    said: str = api.apply(manifests, "--server-side", "--field-manager=mailstack", *options)
    return said


def placed_namespace(api: Any, name: str, changes: Mapping[str, Any]) -> tuple[Placed, ...]:
    found = in_namespace(name, changes)
    if not any(one.manifest["kind"] == "Namespace" for one in found):
        api.kubectl("create", "namespace", name)
    return found


@every_variant
def test_every_object_is_taken_and_a_second_time_changes_nothing(api: Any, name: str, changes: dict[str, Any]) -> None:
    found = placed_namespace(api, f"taken-{name}", changes)
    said = apply(api, found).splitlines()
    assert len(said) == len(found)
    kinds = sorted({one.manifest["kind"].lower() for one in found})
    before = [_versions(api, kind, f"taken-{name}") for kind in kinds]
    apply(api, found)
    assert [_versions(api, kind, f"taken-{name}") for kind in kinds] == before


def _versions(api: Any, kind: str, namespace: str) -> list[str]:
    where = [] if kind == "namespace" else [f"--namespace={namespace}"]
    return sorted(one["metadata"]["resourceVersion"] for one in api.get(kind, *where)["items"])


def _pod(found: tuple[Placed, ...], namespace: str) -> dict[str, Any]:
    """Return a pod as the workload makes it; what a controller adds, the claim, is a volume in memory."""
    template = next(one.manifest for one in found if one.name == "workload")["spec"]["template"]
    spec = dict(template["spec"])
    if not any(volume["name"] == "queue" for volume in spec["volumes"]):
        spec["volumes"] = [*spec["volumes"], {"name": "queue", "emptyDir": {}}]
    spec.pop("priorityClassName", None)
    return {
        "apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": "probe", "namespace": namespace, "labels": template["metadata"]["labels"]},
    }  # fmt: skip


@every_variant
def test_pod_security_lets_the_pods_in_at_baseline_and_names_what_restricted_would_refuse(
    api: Any, name: str, changes: dict[str, Any]
) -> None:
    namespace = f"secure-{name}"
    found = in_namespace(namespace, changes)
    api.kubectl("create", "namespace", namespace)
    level = "pod-security.kubernetes.io/enforce"
    api.kubectl("label", "namespace", namespace, f"{level}=baseline")
    pod = _pod(found, namespace)
    assert "created" in api.apply([pod], "--dry-run=server")
    api.kubectl("label", "namespace", namespace, "--overwrite", f"{level}=restricted")
    with pytest.raises(kubernetes.KubernetesError) as refused:
        api.apply([pod], "--dry-run=server")
    words = {
        "runAsNonRoot": "runAsNonRoot != true",
        "runAsUser": "runAsUser=0",
        "capabilities.add": "unrestricted capabilities",
    }
    assert {field for field, text in words.items() if text in str(refused.value)} == set(beyond_restricted(pod["spec"]))
    for more in ("allowPrivilegeEscalation", "seccompProfile", "restricted volume types"):
        assert more not in str(refused.value)


def test_what_may_not_change_is_refused_and_a_new_version_has_a_new_name(api: Any) -> None:
    before = placed_namespace(api, "versions", {})
    apply(api, before)
    after = in_namespace("versions", {"relay.queue_lifetime_hours": 5})
    apply(api, after)
    names = [one["metadata"]["name"] for one in api.get("configmap", "--namespace=versions")["items"]]
    assert len([name for name in names if name.startswith("postfix-relay-")]) == 2
    settings = dict(next(one.manifest for one in before if one.name == "settings"))
    with pytest.raises(kubernetes.KubernetesError, match="immutable"):
        api.apply([{**settings, "data": {"relay.json": "{}"}}])


def test_an_autoscalers_number_of_pods_survives_an_update_that_does_not_name_it(api: Any) -> None:
    found = placed_namespace(api, "scaled-alone", {"relay.kubernetes": {"context": "prod", "autoscaling": {}}})
    apply(api, found)
    # As the autoscaler does it: by the subresource.
    api.kubectl("scale", "statefulset", "postfix-relay", "--replicas=5", "--namespace=scaled-alone")
    workload = next(one for one in found if one.name == "workload")
    assert workload.theirs == ("spec.replicas",)
    spec = {key: value for key, value in workload.manifest["spec"].items() if key != "replicas"}
    api.apply([{**workload.manifest, "spec": spec}], "--server-side", "--field-manager=mailstack")
    assert api.get("statefulset", "postfix-relay", "--namespace=scaled-alone")["spec"]["replicas"] == 5


def test_an_application_finds_its_secret_in_its_own_namespace_and_reads_what_env_would_write(api: Any) -> None:
    api.kubectl("create", "namespace", "shop")
    told = {"relay.kubernetes.application_secrets": [{"namespace": "shop", "name": "smtp"}]}
    apply(api, in_namespace("beside-shop", told))
    found = api.get("secret", "smtp", "--namespace=shop")
    read = {name: base64.b64decode(text).decode() for name, text in found["data"].items()}
    assert read["SMTP_HOST"] == "postfix-relay.beside-shop.svc.cluster.local"
    assert (read["SMTP_PORT"], read["SMTP_USE_TLS"], read["SMTP_FROM_EMAIL"]) == ("25", "false", "noreply@example.com")
    moved = {**told, "relay.from_email": "shop@example.com"}
    apply(api, in_namespace("beside-shop", moved))
    data = api.get("secret", "smtp", "--namespace=shop")["data"]
    assert base64.b64decode(data["SMTP_FROM_EMAIL"]) == b"shop@example.com"


def test_labelled_namespaces_are_found_as_kubectl_finds_them(api: Any) -> None:
    for name in ("labelled-shop", "labelled-news", "unlabelled"):
        api.kubectl("create", "namespace", name)
    api.kubectl("label", "namespace", "labelled-shop", "labelled-news", "mail=yes")
    kubectl = Kubectl(api.kubeconfig, program=PROGRAMS / "kubectl")
    assert labelled_namespaces(kubectl, "mail=yes") == ["labelled-news", "labelled-shop"]
    assert labelled_namespaces(kubectl, "mail=no") == []
    with pytest.raises(KubectlError, match="label selector"):
        labelled_namespaces(kubectl, "==")
