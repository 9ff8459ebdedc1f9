"""Where a resource of a cluster describes its pods."""

from collections.abc import Iterator
from typing import Any

from mailstack.policy.model import Resource
from mailstack.policy.wire import UNKNOWN, mappings, within

__all__ = ["pod_spec", "pods_are_unknown", "pods_containers"]

CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# By kind; every other kind with pods has them in its template.
PLACES = {"Pod": ("spec",), "CronJob": ("spec", "jobTemplate", "spec", "template", "spec")}
TEMPLATE = ("spec", "template", "spec")


def pod_spec(resource: Resource) -> dict[str, Any]:
    """Return what the resource says of its pods, empty where it has none."""
    found = _spec(resource)
    return found if isinstance(found, dict) else {}


def pods_are_unknown(resource: Resource) -> bool:
    """Tell whether nobody knows before the update which containers its pods have."""
    found = _spec(resource)
    kinds = [within(found, kind) for kind in CONTAINERS]
    return UNKNOWN in kinds or any(UNKNOWN in kind for kind in kinds if isinstance(kind, list))


def _spec(resource: Resource) -> Any:
    if not resource.type.startswith("kubernetes:"):
        return None
    # A patch (DeploymentPatch) changes an object that somebody else made.
    place = PLACES.get(resource.type.rpartition(":")[2].removesuffix("Patch"))
    return within(resource.inputs, *(place or TEMPLATE))


def pods_containers(resource: Resource) -> Iterator[dict[str, Any]]:
    """Yield the containers of its pods, those that only begin or look into them too."""
    for kind in CONTAINERS:
        yield from mappings(pod_spec(resource).get(kind))
