"""The versions of Kubernetes that manifests are held against."""

import functools
from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest
from kubernetes_validate import utils

__all__ = ["VERSIONS", "every_version", "hold_against"]

# The library reads its schemas, megabytes, once for every object.
utils.schema_contents = functools.cache(utils.schema_contents)

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
# In between a field comes or goes rarely; each version costs seconds.
every_version = pytest.mark.parametrize(
    "version",
    [pytest.param(version, marks=[pytest.mark.slow] if version in VERSIONS[1:-1] else []) for version in VERSIONS],
)


def hold_against(version: str, manifest: Mapping[str, Any]) -> None:
    """Raise ``kubernetes_validate.ValidationError`` for what an API server of this version would not take."""
    kubernetes_validate.validate(dict(manifest), version, strict=True)
