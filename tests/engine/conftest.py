"""One ground with one stack for all tests here: throw-away hosts cost half a minute."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.settings.stackfile import new_dkim_key
from rehearsal.engine import Engine, find_cli
from rehearsal.plugins import PLUGINS, plugin_in_use
from rehearsal.rehearse import Rehearsal
from tests.engine.stage import Stage
from tests.relay_only import relay_only

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# Not "local": a demo that runs at the same time keeps its hosts.
STACK = "engine-tests"


def pytest_report_header() -> list[str]:
    """Say which engine and which plugins these tests use."""
    found = find_cli()
    return [f"engine: {found or 'none'}", *(plugin_in_use(plugin) for plugin in PLUGINS)]


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups, and before all other folders'
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep in one process what shares a stack: all that use the ground here, else a file's tests."""
    for item in items:
        if item.path.parent == HERE:
            shares = "rehearsal" in getattr(item, "fixturenames", ())
            item.add_marker(pytest.mark.xdist_group("ground" if shares else item.path.stem))


@pytest.fixture(scope="session")
def cli() -> None:
    """Skip where no engine can be had at all."""
    if find_cli() is None:
        pytest.skip("no Pulumi CLI: `make engine` builds one where Go is, scripts/install-pulumi.sh installs one")


@pytest.fixture(scope="session", autouse=True)
def stack_files() -> dict[str, str]:
    """The stack files of the checkout as they were before the first test."""
    return {path.name: path.read_text() for path in ROOT.glob("Pulumi*.yaml")}


@pytest.fixture(scope="session")
def rehearsal() -> Iterator[Rehearsal]:
    """The local stack's hosts and stand-ins; the relay host is reached through sudo, and one DKIM key is ours."""
    raw = relay_only()
    raw["hosts"]["mail1"]["user"] = "admin"
    raw["ssh"] = {"connect_attempts": 2}
    raw["domains"][0]["dkim"].append({"selector": "ours", "private_key": new_dkim_key()})
    with Rehearsal(STACK, raw, lambda _line: None) as running:
        yield running


@pytest.fixture(scope="session")
def stage(cli: None, rehearsal: Rehearsal, tmp_path_factory: pytest.TempPathFactory) -> Stage:
    """The stack, not yet brought up."""
    lines: list[str] = []
    return Stage(rehearsal, Engine(STACK, tmp_path_factory.mktemp("engine"), lines.append), lines)


@pytest.fixture
def deployed(stage: Stage) -> Stage:
    """The stack, up and as declared."""
    if not stage.deployed:
        stage.bring_up()
    return stage
