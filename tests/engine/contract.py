"""A stack whose resources a test writes down, run by the real engine with one plugin: the stand-in or the real one."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.engine import Engine, EngineError
from rehearsal.plugins import real_plugin
from tests.engine.conftest import ROOT
from tests.engine.stage import DONE

__all__ = ["Contract", "Outcome", "is_secret", "kinds"]

PROJECT = """name: contract
runtime:
  name: python
  options:
    toolchain: pip
    virtualenv: .venv
"""
KINDS = ("stand-in", "real")
Resource = dict[str, Any]


def kinds(plugin: str) -> list[str]:
    """Return which of the two can be had here: the stand-in always, the real plugin where it is installed."""
    return [kind for kind in KINDS if kind == "stand-in" or real_plugin(plugin) is not None]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a command printed, its exit code, and what it did: name of a resource to created, updated."""

    text: str
    code: int
    changes: Mapping[str, str]

    @property
    def diagnostics(self) -> str:
        """What is still said when everything is over."""
        return self.text.partition("Diagnostics:")[2]


class Contract:
    """One stack, all of whose commands use ``plugin`` as ``kind``."""

    def __init__(self, folder: Path, plugin: str, kind: str) -> None:
        self.kind = kind
        self._project = folder / "project"
        self._project.mkdir()
        self._lines: list[str] = []
        shutil.copy(ROOT / "tests/engine/resources_program.py", self._project / "__main__.py")
        (self._project / "Pulumi.yaml").write_text(PROJECT)
        (self._project / ".venv").symlink_to(ROOT / ".venv")
        instead = {plugin: f"rehearsal.plugins.{plugin}"} if kind == "stand-in" else {}
        self.engine = Engine(
            "contract", folder / "engine", self._lines.append, project_folder=self._project, plugins=instead
        )
        self.engine.configure({}, "contract")
        self.engine.select()

    def run(self, resources: list[Resource], *command: str) -> Outcome:
        """Run a command on the program that declares ``resources``; a failure is an outcome, not an exception."""
        (self._project / "resources.json").write_text(json.dumps(resources))
        self._lines.clear()
        code = 0
        try:
            self.engine.run(*command, "--stack", "contract", "--config-file", str(self.engine.config_file))
        except EngineError:
            code = 1
        text = "\n".join(self._lines)
        names = {resource["name"] for resource in resources if not resource["type"].startswith("pulumi:providers:")}
        # What an earlier test left goes by the way.
        changes = {name: what for _, name, what in DONE.findall(text) if name in names}
        return Outcome(text=text, code=code, changes=changes)

    def up(self, *resources: Resource) -> Outcome:
        """Run ``pulumi up``."""
        return self.run(list(resources), "up", "--yes", "--skip-preview")

    def preview(self, *resources: Resource) -> Outcome:
        """Run ``pulumi preview --diff``."""
        return self.run(list(resources), "preview", "--diff")

    def refresh(self, *resources: Resource) -> Outcome:
        """Run ``pulumi refresh``."""
        return self.run(list(resources), "refresh", "--yes", "--skip-preview")

    def destroy(self, *resources: Resource) -> Outcome:
        """Run ``pulumi destroy``."""
        return self.run(list(resources), "destroy", "--yes", "--skip-preview")

    def state(self, *arguments: str) -> dict[str, dict[str, Any]]:
        """Return the state by the resources' names; with ``--show-secrets`` opened."""
        text = self.engine.run("stack", "export", "--stack", "contract", *arguments, quiet=True)
        listed = json.loads(text)["deployment"].get("resources", [])
        return {entry["urn"].rpartition("::")[2]: entry for entry in listed}


def is_secret(value: Any) -> bool:
    """Tell whether a value of the state is encrypted as a whole."""
    return isinstance(value, dict) and "ciphertext" in value
