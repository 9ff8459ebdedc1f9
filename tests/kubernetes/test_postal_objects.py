"""A real API server takes every object of Postal: schema, strict fields, Pod Security, immutability.

Kinds of cert-manager and of the Gateway API are not a server's own: they are left out here.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.kubernetes.objects import Placed
from tests.unit.postal_cluster_examples import POSTAL, VARIANTS, objects
from tests.unit.postal_manifest_parts import FOREIGN, templates

kubernetes = pytest.importorskip("rehearsal.kubernetes")

every_variant = pytest.mark.parametrize(("name", "changes"), list(VARIANTS.items()), ids=list(VARIANTS))


@pytest.fixture(scope="module")
def api() -> Iterator[Any]:
    reason = kubernetes.missing(api_server=True)
    if reason is not None:
        pytest.skip(reason)
    with kubernetes.ApiServer("postal-objects") as running:
        yield running


def in_namespace(api: Any, name: str, changes: dict[str, Any]) -> tuple[Placed, ...]:
    """Return the objects of a variant in a namespace of its own, which is there if it is not among them."""
    found = objects({**changes, f"{POSTAL}.namespace": name})
    if not any(one.manifest["kind"] == "Namespace" for one in found):
        api.kubectl("create", "namespace", name)
    return tuple(one for one in found if one.manifest["kind"] not in FOREIGN)


def apply(api: Any, found: tuple[Placed, ...]) -> str:
    """Apply as the plugin does: on the server, under one manager of fields."""
    manifests = [dict(one.manifest) for one in sorted(found, key=lambda one: one.stage)]
    said: str = api.apply(manifests, "--server-side", "--field-manager=mailstack")
    return said


def versions(api: Any, found: tuple[Placed, ...], namespace: str) -> dict[str, str]:
    kinds = ",".join(sorted({one.manifest["kind"].lower() for one in found} - {"namespace"}))
    items = api.get(kinds, f"--namespace={namespace}")["items"]
    return {f"{one['kind']} {one['metadata']['name']}": one["metadata"]["resourceVersion"] for one in items}


@every_variant
def test_every_object_is_taken_and_a_second_time_changes_nothing(api: Any, name: str, changes: dict[str, Any]) -> None:
    found = in_namespace(api, f"taken-{name}", changes)
    assert len(apply(api, found).splitlines()) == len(found)
    before = versions(api, found, f"taken-{name}")
    apply(api, found)
    assert versions(api, found, f"taken-{name}") == before


@every_variant
def test_pod_security_lets_every_pod_in_at_restricted(api: Any, name: str, changes: dict[str, Any]) -> None:
    namespace = f"secure-{name}"
    found = in_namespace(api, namespace, {**changes, f"{POSTAL}.create_namespace": False})
    api.kubectl("label", "namespace", namespace, "pod-security.kubernetes.io/enforce=restricted")
    for component, template in templates(found):
        spec = {key: value for key, value in template["spec"].items() if key != "priorityClassName"}
        metadata = {"name": f"probe-{component}", "namespace": namespace, "labels": template["metadata"]["labels"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        assert "created" in api.apply([pod], "--dry-run=server")
    broken = {**pod, "spec": {**spec, "hostNetwork": True}}
    with pytest.raises(kubernetes.KubernetesError, match="violates PodSecurity"):
        api.apply([broken], "--dry-run=server")


def test_a_new_version_is_a_new_job_and_the_old_one_cannot_be_changed(api: Any) -> None:
    before = in_namespace(api, "versions", {})
    apply(api, before)
    after = in_namespace(api, "versions", {"postal.image": {"tag": "3.3.8"}})
    apply(api, after)
    names = [one["metadata"]["name"] for one in api.get("jobs", "--namespace=versions")["items"]]
    assert len([name for name in names if name.startswith("postal-migrate-")]) == 2
    old, new = (next(dict(one.manifest) for one in found if one.name == "migrate") for found in (before, after))
    with pytest.raises(kubernetes.KubernetesError, match="immutable"):
        api.apply([{**new, "metadata": old["metadata"]}])


def test_the_ending_of_a_namespaces_stack_leaves_nothing(api: Any) -> None:
    found = in_namespace(api, "ending", {})
    apply(api, found)
    for one in sorted(found, key=lambda one: -one.stage):
        metadata = one.manifest["metadata"]
        where = [f"--namespace={metadata['namespace']}"] if "namespace" in metadata else []
        api.kubectl("delete", one.manifest["kind"].lower(), metadata["name"], *where, "--cascade=foreground")
    assert api.try_kubectl("get", "namespace", "ending").returncode != 0
