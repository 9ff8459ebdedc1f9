"""What the manifests of every workload share: names, labels, what is shown of them, and the order they are made in."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

__all__ = [
    "DIGEST_DIGITS",
    "VERSION",
    "Manifest",
    "Placed",
    "Stage",
    "digest",
    "labels",
    "manifest",
    "selector",
    "shown",
]

Manifest = Mapping[str, Any]
# Of 64 hexadecimal digits: enough that no two versions of one object share a name.
DIGEST_DIGITS = 10
# Annotation of objects that never change, see ``names``.
VERSION = "mailstack-version"


class Stage(IntEnum):
    """When an object is made; all of a stage are there before the next one begins, and go in the opposite order."""

    NAMESPACE = 0
    BASIS = 1
    # Jobs that have to end before a workload starts: its database, the tables there, what is in them; a try of what it
    # is told.
    DATABASE = 2
    TABLES = 3
    CONTENT = 4
    TRIAL = 5
    WORKLOAD = 6
    ACCESS = 7
    ERRAND = 8


@dataclass(frozen=True, kw_only=True)
class Placed:
    """An object and how Pulumi treats it.

    ``name`` is the resource's name, ``theirs`` fields that belong to the cluster after creation, ``stays`` that
    removing the stack leaves it there. ``fixed`` are fields that the API changes in no object that is there, which the
    plugin does not know: where they change, the object goes and a new one comes.
    """

    name: str
    manifest: Manifest
    stage: Stage
    theirs: tuple[str, ...] = ()
    stays: bool = False
    fixed: tuple[str, ...] = ()


def selector(application: str, instance: str, component: str | None = None) -> dict[str, str]:
    """Return the labels that tell an instance's pods from all others, or those of one component of it."""
    found = {"app.kubernetes.io/name": application, "app.kubernetes.io/instance": instance}
    return found if component is None else {**found, "app.kubernetes.io/component": component}


def labels(application: str, instance: str, component: str, further: Mapping[str, str]) -> dict[str, str]:
    """Return the recommended labels of an object, and ``further`` ones, which change none of them."""
    own = {
        **selector(application, instance, component),
        "app.kubernetes.io/part-of": "mailstack",
        "app.kubernetes.io/managed-by": "pulumi",
    }
    return {**further, **own}


def manifest(
    kind: str,
    name: str,
    namespace: str | None,
    *,
    version: str = "v1",
    labels: Mapping[str, str],
    annotations: Mapping[str, str] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    """Return an object; ``namespace`` None is for kinds that are in none."""
    metadata: dict[str, Any] = {"name": name, "labels": dict(labels)}
    if namespace is not None:
        metadata["namespace"] = namespace
    if annotations:
        metadata["annotations"] = dict(annotations)
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def digest(data: Any) -> str:
    """Return what tells two versions of plain JSON data apart, fit to be the end of a name. Never of a secret."""
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:DIGEST_DIGITS]


def shown(placed: Placed, common: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Yield (name, data) of what a reviewer is to see of an object, without the labels that all have in ``common``.

    Of one that never changes, its name says all: whoever uses it names it.
    """
    told = placed.manifest
    if told.get("immutable"):
        return
    metadata = told["metadata"]
    further = {
        "labels": {key: text for key, text in metadata["labels"].items() if key not in common},
        "annotations": metadata.get("annotations", {}),
    }
    rest = {key: value for key, value in told.items() if key not in {"apiVersion", "kind", "metadata"}}
    if told["kind"] == "Secret":  # whoever made it shows what may be seen
        rest = {"type": told["type"]}
    if told["kind"] == "ConfigMap":  # a dashboard has a thousand lines
        rest = {"data": {name: f"version {digest(text)}" for name, text in told.get("data", {}).items()}}
    yield f"{told['kind']} {metadata['name']}", {**further, **rest}
