"""`mailstack relay show-config`: what each Postfix runs by, beside what is declared."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
from typer.testing import CliRunner

from cli.main import app
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.reach import operations
from mailstack.reach.entry import Entry
from mailstack.reach.place import Report
from mailstack.reach.ssh import SshError
from mailstack.settings.stackfile import StackFileError
from tests.unit.stack_examples import example

Relay = Callable[..., tuple[int, str, str]]


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> Relay:
    text = operations_text(load_plan(example()))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)

    def call(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["relay", *arguments, "--stack", "prod"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def away(*_: object, **__: object) -> NoReturn:
    raise SshError("relay2 was not reached over SSH: timed out")


class Configured:
    """A place that tells what its Postfix runs by, and differs where ``declared`` is compared."""

    def __init__(self, name: str) -> None:
        self.name = name

    def run(self, _role: str, settings: Mapping[str, Any], *_: object) -> Report:
        differences = (
            [{"parameter": "mynetworks", "declared": "a", "effective": "b"}] if "declared" in settings else None
        )
        told = {"version": "3.7.11", "configuration": {"myhostname": self.name}, "differences": differences}
        return Report(place=self.name, changed=(), facts=told)


def test_the_configuration_is_told_of_each_host_that_answers(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = load_plan(example())
    monkeypatch.setattr("mailstack.reach.entry.Entry.plan", plan)
    one, two = Configured("relay1"), Configured("relay2")
    monkeypatch.setattr(Entry, "relay", lambda _self, **_: [one, two])
    code, text, _ = relay("show-config")
    assert (code, text.count("# mynetworks is not as declared")) == (2, 2)
    monkeypatch.setattr(two, "run", away)
    code, text, _ = relay("show-config")
    assert code == 1
    assert "myhostname = relay1" in text
    assert "# relay2 could not be asked: relay2 was not reached" in text
    found = json.loads(relay("show-config", "--json")[1])
    assert [(each["place"], bool(each["error"])) for each in found] == [("relay1", False), ("relay2", True)]
    assert found[0].keys() == found[1].keys(), "a program finds the same everywhere"


def test_with_a_key_of_ones_own_the_configuration_is_shown_and_only_not_compared(
    relay: Relay, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def locked(_entry: Entry) -> None:
        raise StackFileError("incorrect passphrase")

    monkeypatch.setattr("mailstack.reach.entry.Entry.plan", property(locked))
    monkeypatch.setattr(Entry, "relay", lambda _self, **_: [Configured("relay1")])
    key = tmp_path / "key"
    key.write_text("KEY")
    code, text, told = relay("show-config", "--identity", str(key))
    assert (code, "myhostname = relay1" in text) == (0, True)
    assert "not compared with what is declared: incorrect passphrase" in told
    assert "as declared" not in text, "what was not compared is not said to be right"
    result = CliRunner().invoke(app, ["relay", "show-config", "--stack", "prod"])
    assert isinstance(result.exception, StackFileError)
