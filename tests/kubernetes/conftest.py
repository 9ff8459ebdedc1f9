"""One cluster for all tests of the node: it takes half a minute."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.kubernetes import Cluster, missing
from rehearsal.kubernetes.images import of_programs
from tests.kubernetes.toolbox import IMAGE, TOOLS

HERE = Path(__file__).resolve().parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a cluster: `make test` runs it last, once one is built."""
    for item in items:
        if item.path.parent == HERE:
            item.add_marker(pytest.mark.cluster)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A cluster that has the toolbox's image."""
    reason = missing()
    if reason is not None:
        pytest.skip(reason)
    with Cluster("node-tests") as running:
        running.load_image(of_programs(IMAGE, *TOOLS))
        yield running


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace of the test's own."""
    name = request.node.originalname.removeprefix("test_").replace("_", "-")[:40].strip("-")
    cluster.kubectl("create", "namespace", name)
    cluster.wait_for_namespace(name)
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")
