"""Short ways to the objects of Postal on a cluster."""

from collections.abc import Iterator, Mapping
from typing import Any

from mailstack.kubernetes.objects import Placed

# Kinds that a cluster has only with cert-manager or the Gateway API.
FOREIGN = {"Certificate", "HTTPRoute"}


def of_kind(found: tuple[Placed, ...], kind: str) -> list[Mapping[str, Any]]:
    return [one.manifest for one in found if one.manifest["kind"] == kind]


def named(found: tuple[Placed, ...], name: str) -> Mapping[str, Any]:
    return next(one.manifest for one in found if one.name == name)


def name_of(found: tuple[Placed, ...], name: str) -> str:
    return str(named(found, name)["metadata"]["name"])


def templates(found: tuple[Placed, ...]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for one in found:
        if one.manifest["kind"] in {"StatefulSet", "Deployment", "Job"}:
            yield one.name, one.manifest["spec"]["template"]
