"""Compares the relay's objects on a cluster with the plan; changes nothing there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailstack.kubernetes.names import continued, never_changes, version_of, versions
from mailstack.kubernetes.objects import Placed, Stage
from mailstack.kubernetes.relay import relay_objects
from mailstack.plan.relay_cluster import KubernetesRelay
from mailstack.plan.shown import flat
from mailstack.reach.kubectl import Kubectl, KubectlError

__all__ = ["kubernetes_drift"]

MANAGER = "mailstack-check"
# What the server keeps for itself.
OF_THE_SERVER = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


def kubernetes_drift(placed: KubernetesRelay, cluster: Kubectl) -> Iterator[str]:
    """Yield what differs, in words: objects that are not there, and fields that are not as declared.

    The server itself says what each object would be, were it applied again: so defaults, and other ways to write a
    value, are no differences. Fields that others have added are theirs. Raises KubectlError where the cluster cannot
    be asked.
    """
    declared = relay_objects(placed.relay, placed.secrets, _secrets_version(placed, cluster))
    objects = continued(declared, dict(_there(declared, cluster)))
    for one in objects:
        kind, name = one.manifest["kind"], one.manifest["metadata"]["name"]
        live = cluster.get(one.manifest)
        if live is None:
            yield f"{kind} {name} is not there"
        elif one.manifest.get("immutable"):
            if not _same_data(one.manifest, live, cluster):
                yield f"{kind} {name} has other contents"
        else:
            applied = cluster.apply(_ours(one), manager=MANAGER, dry_run=True)
            yield from (f"{kind} {name}: {path} is not as declared" for path in _different(live, applied))
            if one.stage is Stage.WORKLOAD and not _rolled_out(live):
                yield f"{kind} {name}: its pods are not all of the newest version, and ready"


def _secrets_version(placed: KubernetesRelay, cluster: Kubectl) -> str:
    """Return the version of the Secret that the pods use: only the stack's state counts it."""
    declared = relay_objects(placed.relay, placed.secrets, "")
    workload = next(one for one in declared if one.name == "workload")
    secrets = next((one for one in declared if one.name == "secrets"), None)
    if secrets is None:
        return ""
    live = cluster.get(workload.manifest) or {}
    volumes = live.get("spec", {}).get("template", {}).get("spec", {}).get("volumes", [])
    for volume in volumes:
        if "secret" in volume:
            metadata = {**secrets.manifest["metadata"], "name": volume["secret"]["secretName"]}
            used = cluster.get({**secrets.manifest, "metadata": metadata})
            version = None if used is None else version_of(used)
            return (version or str(metadata["name"])).removeprefix(f"{placed.relay.name}-")
    return ""


def _there(declared: Iterable[Placed], cluster: Kubectl) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what the cluster has of objects that never change: of each, the one of the declared version."""
    listed: dict[str, list[dict[str, Any]]] = {}
    for one in declared:
        if not never_changes(one.manifest):
            continue
        kind = str(one.manifest["kind"])
        if kind not in listed:
            listed[kind] = cluster.all_of(one.manifest)
        found = versions((one.name, live) for live in listed[kind])
        yield from (pair for pair in found if pair[1][1] == one.manifest["metadata"]["name"])


def _ours(one: Placed) -> dict[str, Any]:
    """Return the manifest without the fields that belong to the cluster."""
    found = dict(one.manifest)
    for path in one.theirs:
        first, _, rest = path.partition(".")
        found[first] = {key: value for key, value in found[first].items() if key != rest}
    return found


def _same_data(manifest: Mapping[str, Any], live: Mapping[str, Any], cluster: Kubectl) -> bool:
    try:
        applied = cluster.apply(manifest, manager=MANAGER, dry_run=True)
    except KubectlError as error:
        if "immutable" in str(error):
            return False
        raise
    return bool(applied.get("data") == live.get("data"))


def _rolled_out(live: Mapping[str, Any]) -> bool:
    """Tell whether all pods are new and ready, by the same signs as `kubectl rollout status`."""
    wanted, status = live["spec"]["replicas"], live.get("status", {})
    seen = int(status.get("observedGeneration", 0)) >= int(live["metadata"]["generation"])
    counts = (status.get("replicas", 0), status.get("updatedReplicas", 0), status.get("readyReplicas", 0))
    return seen and counts == (wanted,) * len(counts)


def _different(live: Mapping[str, Any], applied: Mapping[str, Any]) -> list[str]:
    before, after = (dict(flat(_without_the_servers(one))) for one in (live, applied))
    return sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))


def _without_the_servers(found: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {key: value for key, value in found["metadata"].items() if key not in OF_THE_SERVER}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}
