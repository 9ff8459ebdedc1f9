"""What all tests share."""

import pytest
from hypothesis import settings

# `make check` asks for it: fewer examples of each property. `make test` tries as many as Hypothesis thinks right.
settings.register_profile("fast", max_examples=25)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep a module's tests in one process (``--dist loadgroup``), as its hosts are; a folder may say otherwise."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
