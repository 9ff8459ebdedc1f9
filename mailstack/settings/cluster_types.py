"""Types of fields that Kubernetes and image registries have their own rules for."""

from typing import Annotated

from mailstack.settings.types import matching

__all__ = [
    "ClusterVersion",
    "LabelName",
    "LabelValue",
    "ObjectName",
    "Quantity",
    "RegistryName",
    "Sha256",
    "quantity",
]

# https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
SUFFIXES = {"m": 0.001, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}

ClusterVersion = Annotated[
    str,
    matching(
        r"v1\.[1-9][0-9]?\.[0-9]{1,2}\+k3s[1-9][0-9]?",
        "must be an exact release of k3s, such as v1.33.5+k3s1",
        "copy the tag from the releases page; a channel such as stable would change under you",
    ),
]
Sha256 = Annotated[
    str,
    matching(
        r"[0-9a-f]{64}",
        "must be a SHA-256: 64 hexadecimal digits, in small letters",
        "copy the first word of what sha256sum prints; releases have sha256sum-<architecture>.txt",
    ),
]
RegistryName = Annotated[
    str,
    matching(
        r"\*|[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?",
        "must be a registry as in an image's name, or * for all",
        "write it as docker.io or registry.example.com:5000, without https://",
    ),
]
LabelName = Annotated[
    str,
    matching(
        r"([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?",
        "must be the name of a Kubernetes label: prefix/name or name",
        "use letters, digits and inner . _ -; 63 at most in the name",
    ),
]
LabelValue = Annotated[
    str,
    matching(
        r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?",
        "must be the value of a Kubernetes label",
        "use letters, digits and inner . _ -, 63 at most; numbers and true in quotes",
    ),
]
ObjectName = Annotated[
    str,
    matching(
        r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?",
        "must be a name of Kubernetes: small letters, digits and inner hyphens, 63 at most (RFC 1123)",
        "write the name only, such as mail or priority-1",
    ),
]
Quantity = Annotated[
    str,
    matching(
        r"[1-9][0-9]{0,14}(\.[0-9]{1,3})?(m|k|M|G|T|Ki|Mi|Gi|Ti)?",
        "must be a quantity of Kubernetes, larger than 0",
        'write it in quotes, such as "100m" of a core, "256Mi" or "2Gi"',
    ),
]


def quantity(text: str) -> float:
    """Return what a ``Quantity`` stands for: bytes, or cores."""
    number = text.rstrip("mkMGTi")
    return float(number) * SUFFIXES.get(text.removeprefix(number), 1)
