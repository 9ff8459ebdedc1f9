"""One place for each placement, kept for all tests of a file that use it."""

from collections.abc import Callable, Iterator

import pytest

from rehearsal.ground import Ground
from rehearsal.kubernetes import missing
from tests.behaviour.cluster import ClusterRelay
from tests.behaviour.docker_engine import DockerPlace
from tests.behaviour.load import prove
from tests.behaviour.place import Load, Place
from tests.behaviour.vm import VmPlace

PLACES: dict[str, type[Place]] = {"vm": VmPlace, "docker": DockerPlace, "kubernetes": ClusterRelay}


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(
            name,
            marks=[
                pytest.mark.xdist_group(f"behaviour-{name}"),
                *([pytest.mark.cluster] if name == "kubernetes" else []),
            ],
        )
        for name in PLACES
    ],
)
def made(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A relay's place."""
    kind: str = request.param
    reason = missing() if kind == "kubernetes" else None
    if reason is not None:
        pytest.skip(reason)
    module = request.module.__name__.rpartition("test_")[2].replace("_", "-")
    with Ground(f"{kind}-{module}") as ground:
        place = PLACES[kind](ground)
        yield place
        place.close()


@pytest.fixture
def place(made: Place) -> Iterator[Place]:
    """The place with the plain relay, nothing queued, and a willing upstream."""
    yield made.settled()
    made.google.clear_faults()


@pytest.fixture
def proven(place: Place, record_property: Callable[[str, object], None]) -> Callable[[Load, int], None]:
    """Return what holds a load's end against what arrived (``load.prove``)."""
    return lambda load, cut_off: prove(place, load, cut_off, record_property)
