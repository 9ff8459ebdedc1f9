"""Compares the stack's objects on a cluster with the plan; changes nothing there."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mailstack.kubernetes.names import continued, never_changes, version_of
from mailstack.kubernetes.objects import DIGEST_DIGITS, VERSION, Placed, Stage
from mailstack.plan.shown import flat
from mailstack.reach.kubectl import Kubectl, KubectlError

__all__ = ["kubernetes_drift"]

MANAGER = "mailstack-check"
# What the server keeps for itself.
OF_THE_SERVER = ("managedFields", "resourceVersion", "generation", "uid", "creationTimestamp")


def kubernetes_drift(declared: Iterable[Placed], cluster: Kubectl) -> Iterator[str]:
    """Yield what differs, in words: objects that are not there, and fields that are not as declared.

    The server itself says what each object would be, were it applied again: so defaults, and other ways to write a
    value, are no differences. Fields that others have added are theirs. Raises KubectlError where the cluster cannot
    be asked.
    """
    objects = list(declared)
    for one in continued(objects, dict(_newest(objects, cluster))):
        kind, name = one.manifest["kind"], one.manifest["metadata"]["name"]
        live = cluster.get(one.manifest)
        if live is None:
            yield f"{kind} {name} is not there"
        elif never_changes(one.manifest):
            if not _same(one.manifest, live, cluster):
                yield f"{kind} {name} has other contents"
        else:
            applied = cluster.apply(_ours(one), manager=MANAGER, dry_run=True)
            yield from (f"{kind} {name}: {path} is not as declared" for path in _different(live, applied))
            if one.stage is Stage.WORKLOAD and not _rolled_out(live):
                yield f"{kind} {name}: its pods are not all of the newest version, and ready"


def _newest(declared: Iterable[Placed], cluster: Kubectl) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield the name that each object which never changes goes by there: that of the newest of its versions.

    How often a secret has changed is known by the stack's state only, and is in such a name. So the name is taken from
    the cluster, and its contents are compared.
    """
    listed: dict[str, list[dict[str, Any]]] = {}
    for one in declared:
        if not never_changes(one.manifest):
            continue
        kind, name = str(one.manifest["kind"]), str(one.manifest["metadata"]["name"])
        if kind not in listed:
            listed[kind] = cluster.all_of(one.manifest)
        found = [live for live in listed[kind] if (version_of(live) or "")[:-DIGEST_DIGITS] == name[:-DIGEST_DIGITS]]
        if found:
            newest = max(found, key=lambda live: str(live["metadata"]["creationTimestamp"]))
            yield one.name, (str(newest["metadata"]["name"]), name)


def _ours(one: Placed) -> dict[str, Any]:
    """Return the manifest without the fields that belong to the cluster."""
    found = dict(one.manifest)
    for path in one.theirs:
        first, _, rest = path.partition(".")
        if rest:
            found[first] = {key: value for key, value in found[first].items() if key != rest}
        else:
            found.pop(first, None)
    return found


def _same(manifest: Mapping[str, Any], live: Mapping[str, Any], cluster: Kubectl) -> bool:
    try:
        applied = cluster.apply(manifest, manager=MANAGER, dry_run=True)
    except KubectlError as error:
        if "immutable" in str(error):
            return False
        raise
    # The version counts secrets' changes, which are not known here; what it stands for has just been compared.
    return set(_different(live, applied)) <= {f"metadata/annotations/{VERSION}"}


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
