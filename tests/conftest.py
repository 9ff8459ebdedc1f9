"""What all tests share."""

import gc

import pytest
from hypothesis import HealthCheck, settings

# A property is true or false, however long a busy machine takes for one example.
settings.register_profile("whole", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# `make check` asks for it: fewer examples of each property. `make test` tries as many as Hypothesis thinks right.
settings.register_profile("fast", settings.get_profile("whole"), max_examples=10)
settings.load_profile("whole")


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module's tests in one process (``--dist loadgroup``), as its hosts are; a folder may say otherwise."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))


def pytest_collection_finish() -> None:
    """Take what was collected out of the garbage collector's rounds: thousands of tests that stay until the end."""
    gc.collect()
    gc.freeze()
