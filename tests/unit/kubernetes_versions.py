"""The versions of Kubernetes that manifests are held against."""

import pytest

__all__ = ["VERSIONS", "every_version"]

VERSIONS = [f"1.{minor}" for minor in range(30, 38)]
# In between a field comes or goes rarely; each version costs seconds.
every_version = pytest.mark.parametrize(
    "version",
    [pytest.param(version, marks=[pytest.mark.slow] if version in VERSIONS[1:-1] else []) for version in VERSIONS],
)
