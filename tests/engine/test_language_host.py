"""`pulumi` as people type it: by a language host, in the folder with the stack file. Also what a rehearsal has kept.

A full installation has the real host; the CLI that `make engine` builds gets the stand-in (rehearsal/plugins/language).
No host is reached (``dry_plugin``).
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailstack.reach.engine_drift import engine_drift
from mailstack.settings.config_size import LIMIT_BYTES, config_bytes
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.stackfile import engine_config
from rehearsal import kept
from rehearsal.engine import Engine
from tests.engine.conftest import ROOT
from tests.unit.stack_examples import example

pytestmark = pytest.mark.engine

STACK = "typed"


class Kept:
    """A stack that a rehearsal has left, and a shell that looks after it."""

    def __init__(self, folder: Path, raw: Mapping[str, Any]) -> None:
        self.engine = Engine(STACK, folder, lambda _line: None, plugins={"command": "tests.engine.dry_plugin"})
        self.engine.configure(raw)
        self.engine.select()
        (folder / ".venv/bin").mkdir(parents=True)  # as a language host leaves it where there is no link yet
        for _ in range(2):
            way = kept.engine_way(self.engine)
        self.file = folder / "shell.env"
        kept.leave_environment(self.file, folder, STACK, way, resolver=None, authorities="")

    def type(self, *command: str) -> "subprocess.CompletedProcess[str]":
        shell = ["sh", "-c", '. "$0" && cd "$MAILSTACK_PROJECT" && exec "$@"', str(self.file), *command]
        environment = {name: os.environ[name] for name in ("PATH", "HOME")}
        return subprocess.run(shell, env=environment, cwd="/", capture_output=True, text=True, check=False)

    def preview(self) -> "subprocess.CompletedProcess[str]":
        return self.type("pulumi", "preview", "--refresh", "--json", "--stack", STACK, "--non-interactive")


def of_size(raw: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return ``raw`` with so much beside it that all of it, with what Pulumi.yaml adds, takes ``size`` bytes."""
    sections = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    added = {name.partition(":")[2]: one["default"] for name, one in sections.items() if "default" in one}
    missing = size - config_bytes(engine_config({**added, **raw, "padding": ""}))
    return {**raw, "padding": "x" * missing}


def test_what_an_inline_run_brought_up_is_nothing_to_do_for_a_language_host(cli: None, tmp_path: Path) -> None:
    left = Kept(tmp_path, rehearsal_config(ROOT / "Pulumi.local.yaml"))
    left.engine.up()
    done = left.preview()
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document["changeSummary"]) == {"same"}
    assert document["changeSummary"]["same"] > 10
    assert engine_drift(done.stdout) == []
    again = left.type("pulumi", "up", "--yes", "--stack", STACK, "--non-interactive", "--color", "never")
    assert again.returncode == 0, again.stdout
    assert f"{document['changeSummary']['same']} unchanged" in again.stdout


def test_a_mistake_in_the_settings_is_told_once_and_without_a_trace(cli: None, tmp_path: Path) -> None:
    raw = example()
    raw["relay"]["hostname"] = "localhost"
    done = Kept(tmp_path, raw).type("pulumi", "preview", "--stack", STACK, "--non-interactive", "--color", "never")
    assert done.returncode != 0
    assert done.stdout.count('mailstack:relay.hostname is "localhost": must be') == 1, done.stdout
    assert "Traceback" not in done.stdout
    assert "non-zero" not in done.stdout


def test_a_configuration_of_exactly_the_limit_starts_the_program_and_one_byte_more_does_not(
    cli: None, tmp_path: Path
) -> None:
    """The limit that `mailstack validate` tells is that of the engine."""
    (tmp_path / "fits").mkdir()
    fits = Kept(tmp_path / "fits", of_size(example(), LIMIT_BYTES)).preview()
    assert "mailstack:padding" in fits.stdout.partition('"diagnostics"')[2], "the program began"
    (tmp_path / "over").mkdir()
    over = Kept(tmp_path / "over", of_size(example(), LIMIT_BYTES + 1)).preview()
    assert over.returncode != 0
    assert "argument list too long" in over.stdout.lower()
    assert "mailstack:padding" not in over.stdout.partition('"diagnostics"')[2]
