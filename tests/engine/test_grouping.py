"""A stack costs minutes to bring up: the tests that share one run in one process, whatever xdist would like."""

import pytest


def test_what_shares_a_stack_runs_in_one_process(request: pytest.FixtureRequest) -> None:
    grouped = bool(getattr(request.config.option, "loadgroup", False))  # set in a worker of --dist loadgroup
    assert request.node.nodeid.endswith("@test_grouping") is grouped
