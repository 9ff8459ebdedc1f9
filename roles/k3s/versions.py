"""Versions of k3s: reading them, and which step from one to another is allowed. Pure."""

import re
from typing import Optional, Tuple

__all__ = ["of_output", "parse", "step_problem"]

PATTERN = re.compile(r"v(\d+)\.(\d+)\.(\d+)\+k3s(\d+)")


def parse(version: str) -> Tuple[int, int, int, int]:
    """Return the numbers of ``v1.33.5+k3s1``. Raises ValueError for another form."""
    found = PATTERN.fullmatch(version)
    if found is None:
        raise ValueError(f"{version} is not a release of k3s such as v1.33.5+k3s1")
    major, minor, patch, build = (int(part) for part in found.groups())
    return major, minor, patch, build


def of_output(text: str) -> Optional[str]:
    """Return the version in the output of ``k3s --version``: ``k3s version v1.33.5+k3s1 (fab4a5c3)`` and more."""
    found = re.search(r"^k3s version (\S+)", text, re.MULTILINE)
    return found.group(1) if found else None


def step_problem(old: str, new: str) -> Optional[str]:
    """Say why a node may not go from ``old`` to ``new``; None when it may.

    Kubernetes goes up one minor version at a time, and its database does not go down one
    (https://kubernetes.io/releases/version-skew-policy/).
    """
    before, after = parse(old), parse(new)
    if after[:2] < before[:2]:
        return (
            f"a node does not go down from {old} to {new}: the newer one has changed the database. Declare "
            f"v{before[0]}.{before[1]} again; to really go back, restore a snapshot of etcd taken before the upgrade"
        )
    if after[0] != before[0] or after[1] > before[1] + 1:
        return (
            f"a node does not go from {old} to {new} at once: Kubernetes goes up one minor version at a time. Declare "
            f"a v{before[0]}.{before[1] + 1} first"
        )
    return None
