"""Names of objects that never change: each version is an object of its own, and no name is ever used twice.

Pulumi makes a new version before it removes the old one, and remembers what it still has to remove when an update fails
in between. Put back what was there before, and the name made of its contents would be that of the object it removes at
the end: the pods would lose their settings. So a name goes on from the one in the state.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mailstack.kubernetes.objects import DIGEST_DIGITS, VERSION, Placed, digest

__all__ = ["Before", "continued", "never_changes", "version_of", "versions"]

# Name of a resource to the name and the version of its object.
Before = Mapping[str, tuple[str, str]]


def never_changes(manifest: Mapping[str, Any]) -> bool:
    """Tell whether an object is made anew for each version: what is immutable, and jobs, whose pods are."""
    return bool(manifest.get("immutable")) or manifest["kind"] == "Job"


def version_of(manifest: Mapping[str, Any]) -> str | None:
    """Return the version that an object of this project carries, None for any other object."""
    found = (manifest["metadata"].get("annotations") or {}).get(VERSION)
    return None if found is None else str(found)


def continued(objects: Iterable[Placed], before: Before) -> tuple[Placed, ...]:
    """Return ``objects`` with the names they go by, in everything that names them.

    The name that such an object has at first, which ends with a digest of what it is, is its version. One of the same
    version as ``before`` keeps the name it has; another one gets a name that none had.
    """
    listed = list(objects)
    names = {one.manifest["metadata"]["name"]: _name(one, before) for one in listed if never_changes(one.manifest)}
    return tuple(replace(one, manifest=_marked(one.manifest, names)) for one in listed)


def _name(one: Placed, before: Before) -> str:
    version = str(one.manifest["metadata"]["name"])
    if one.name not in before:
        return version
    name, seen = before[one.name]
    return name if seen == version else f"{version[:-DIGEST_DIGITS]}{digest([version, name])}"


def _marked(manifest: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    found = {key: _renamed(value, names) for key, value in manifest.items()}
    if never_changes(manifest):
        metadata = found["metadata"]
        version = {VERSION: str(manifest["metadata"]["name"])}
        found["metadata"] = {**metadata, "annotations": {**metadata.get("annotations", {}), **version}}
    return found


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {key: _renamed(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_renamed(item, names) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


def versions(resources: Iterable[tuple[str, Mapping[str, Any]]]) -> Iterator[tuple[str, tuple[str, str]]]:
    """Yield what ``Before`` holds, of (name of a resource, its object) as they are."""
    for name, manifest in resources:
        version = version_of(manifest) if "metadata" in manifest else None
        if version is not None:
            yield name, (str(manifest["metadata"]["name"]), version)
