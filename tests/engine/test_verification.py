"""What the engine makes of the look at the end of an update (docs/adr/0020): the update stands, whatever was seen."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rehearsal.engine import Engine, EngineError
from tests.engine.conftest import ROOT
from tests.engine.contract import PROJECT

FAILED = "verify: everything was made, and looked at from outside it is not right: 1 fail"


class Verified:
    """A stack of components whose update ends with a look."""

    def __init__(self, folder: Path) -> None:
        self._project = folder / "project"
        self._project.mkdir()
        self.lines: list[str] = []
        shutil.copy(ROOT / "tests/engine/verified_program.py", self._project / "__main__.py")
        (self._project / "Pulumi.yaml").write_text(PROJECT)
        (self._project / ".venv").symlink_to(ROOT / ".venv")
        self.engine = Engine("verified", folder / "engine", self.lines.append, project_folder=self._project)
        self.engine.environment["PYTHONPATH"] = str(ROOT)
        self.engine.configure({}, "contract")
        self.engine.select()

    def run(self, command: str, **wanted: Any) -> bool:
        """Run a command; return whether it went well."""
        defaults = {"parts": ["one", "two"], "text": "first", "wrong": False, "after_up": "fail"}
        (self._project / "wanted.json").write_text(json.dumps({**defaults, **wanted}))
        self.lines.clear()
        try:
            self.engine.up() if command == "up" else self.engine.preview()
        except EngineError:
            return False
        return True

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def parts(self) -> dict[str, str]:
        """Return the resources of the state with the text each was given last."""
        text = self.engine.run("stack", "export", "--stack", "verified", quiet=True)
        listed = json.loads(text)["deployment"].get("resources", [])
        return {entry["urn"].rpartition("::")[2]: entry["inputs"]["text"] for entry in listed if "inputs" in entry}


@pytest.fixture(scope="module")
def stack(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Verified]:
    made = Verified(tmp_path_factory.mktemp("verified"))
    assert made.run("up"), made.said
    yield made
    made.engine.destroy()


def test_a_preview_says_nothing_of_it(stack: Verified) -> None:
    assert stack.run("preview", wrong=True), stack.said
    assert "verify" not in stack.said


def test_what_is_well_is_one_line_and_no_change(stack: Verified) -> None:
    assert stack.run("up"), stack.said
    assert "verify: 1 ok (" in stack.said
    assert "created" not in stack.said
    assert "updated" not in stack.said


def test_warn_ends_well_with_a_warning(stack: Verified) -> None:
    assert stack.run("up", wrong=True, after_up="warn"), stack.said
    assert "fail: spf, example.com: wrong. Fix: mend it" in stack.said


def test_fail_ends_with_an_error_and_the_update_stands(stack: Verified) -> None:
    assert stack.run("up"), stack.said
    assert not stack.run("up", wrong=True, parts=["one", "three"], text="second")
    assert FAILED in stack.said
    assert "Traceback" not in stack.said
    assert stack.engine.outputs() == {"text": "second"}
    assert {**stack.parts(), "two": "gone or not"} == {"one": "second", "three": "second", "two": "gone or not"}


def test_what_is_removed_goes_with_the_next_update_where_fail_ended_this_one(stack: Verified) -> None:
    assert stack.run("up", parts=["one", "two"]), stack.said
    assert not stack.run("up", parts=["one"], wrong=True)
    assert "two" in stack.parts(), "the engine deletes once the program has ended well"
    assert stack.run("up", parts=["one"], wrong=True, after_up="warn"), stack.said
    assert "two" not in stack.parts()
