"""One ground with one stack for all tests here: throw-away hosts cost half a minute."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

from mailstack.settings.stackfile import new_dkim_key
from rehearsal.engine import Engine, find_cli
from rehearsal.rehearse import Rehearsal
from tests.engine.stage import Stage
from tests.relay_only import relay_only

ROOT = Path(__file__).resolve().parents[2]
# Not "local": a demo that runs at the same time keeps its hosts.
STACK = "engine-tests"


def missing(plugin: str) -> str | None:
    """Say what this machine lacks to run the engine with ``plugin``; None when nothing."""
    if find_cli() is None:
        return "no pulumi on PATH: scripts/install-pulumi.sh installs it"
    # The engine takes a plugin only at the very version of its SDK.
    wanted = version(f"pulumi-{plugin}")
    listed = subprocess.run(["pulumi", "plugin", "ls"], capture_output=True, text=True, check=False).stdout
    if [plugin, "resource", wanted] in [line.split()[:3] for line in listed.splitlines()]:
        return None
    if shutil.which(f"pulumi-resource-{plugin}") and "PULUMI_IGNORE_AMBIENT_PLUGINS" not in os.environ:
        return None
    return f"the CLI has no plugin {plugin} {wanted}: scripts/install-pulumi.sh installs it"


@pytest.fixture(scope="session")
def cli() -> None:
    """Skip where no engine can run."""
    reason = missing("command")
    if reason is not None:
        pytest.skip(reason)


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
