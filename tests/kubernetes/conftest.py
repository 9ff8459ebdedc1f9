"""One cluster for all tests of the node: it takes half a minute."""

from collections.abc import Iterator

import pytest

from rehearsal.kubernetes import Cluster, missing
from rehearsal.kubernetes.images import of_programs
from tests.kubernetes.toolbox import IMAGE, TOOLS


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
