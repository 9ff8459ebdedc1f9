"""How tests are spread over processes: a module keeps its hosts, and the engine's modules share theirs."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Group tests by what they share: modules of tests/engine one stack, other modules nothing."""
    for item in items:
        place = item.path.relative_to(HERE)
        group = place.parts[0] if place.parts[0] == "engine" else str(place)
        # Tests without hosts share nothing at all and go wherever there is time.
        if place.parts[0] not in {"unit", "graph"}:
            item.add_marker(pytest.mark.xdist_group(group))
