"""`mailstack drift --repair`: what somebody changed on a host is undone by the role, and nothing else is done."""

import io
import json
from typing import Any

import pytest

from cli.main import main
from mailstack.plan import Plan, load_plan
from mailstack.reach import drift, engine_drift
from mailstack.reach.connection import Connection
from mailstack.reach.engine_drift import NOT_BROUGHT_UP
from mailstack.reach.ssh import Finished
from tests.unit.stack_examples import example

EDITED, ALSO = "relay-postfix", "relay1-preflight"


class Host:
    """Answers roles: those in ``edited`` differ until they ran; those in ``failing`` cannot run, and those in
    ``stubborn`` do in vain."""

    def __init__(self, plan: Plan) -> None:
        self.edited: list[str] = []
        self.failing: set[str] = set()
        self.stubborn: set[str] = set()
        self.ran: list[str] = []
        self.engine: list[str] = []
        self._names = {json.dumps([run.role, dict(run.settings)], default=str): run.name for run in plan.runs()}

    def payload(self, role: str, settings: Any, _secrets: Any) -> str:
        return self._names[json.dumps([role, dict(settings)], default=str)]

    def run(self, _connection: Connection, command: str, name: str, **_: Any) -> Finished:
        if " check " in command:
            changed = ["/etc/postfix/main.cf: differs"] if name in self.edited else []
            return Finished(code=2 if changed else 0, stdout=json.dumps({"changed": changed}), stderr="")
        assert " apply " in command
        if name in self.failing:
            return Finished(code=1, stdout="", stderr="no room on /etc\n")
        self.ran.append(name)
        if name not in self.stubborn:
            self.edited.remove(name)
        return Finished(code=0, stdout='noise\n{"changed": ["/etc/postfix/main.cf"]}', stderr="")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    raw = example()
    raw["dns"] = {"provider": "none"}
    plan = load_plan(raw)
    host = Host(plan)
    monkeypatch.setattr(drift, "run_over_ssh", host.run)
    monkeypatch.setattr(drift, "payload", host.payload)
    monkeypatch.setattr(drift, "decrypted_config", lambda *_: {})
    monkeypatch.setattr("mailstack.plan.load_plan", lambda *_: plan)
    monkeypatch.setattr(engine_drift, "engine_preview", lambda *_: "")
    monkeypatch.setattr(engine_drift, "engine_drift", lambda _text: host.engine)
    assert {EDITED, ALSO} <= {run.name for run in plan.runs()}
    return host


def repair(*flags: str) -> int:
    return main(["drift", "--stack", "prod", "--repair", *flags])


def test_only_the_role_whose_host_differs_runs_and_then_all_is_as_declared(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.edited = [EDITED]
    assert repair("--yes") == 0
    assert host.ran == [EDITED]
    printed = capsys.readouterr()
    assert printed.out == f"repaired: {EDITED}: /etc/postfix/main.cf\nhosts, objects and records are as declared\n"
    assert f"{EDITED} runs again on relay1" in printed.err, "what is about to be done is said first"
    assert "main.cf: differs" in printed.err


def test_roles_run_in_the_order_of_an_update_and_the_first_that_fails_is_the_last(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.edited = [EDITED, ALSO]
    host.failing = {EDITED}
    assert repair("--yes", "--json") == 2
    told = json.loads(capsys.readouterr().out)
    assert host.ran == [ALSO]
    assert told["repaired"] == {ALSO: ["/etc/postfix/main.cf"]}
    assert "the repair failed with exit code 1" in told["not_repaired"]
    assert "no room on /etc" in told["not_repaired"]
    assert [one["resource"] for one in told["differences"]] == [EDITED]


def test_what_is_declared_and_not_brought_up_is_left_to_the_update(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.edited = [EDITED]
    host.engine.append(f"{EDITED}: {NOT_BROUGHT_UP}")
    assert repair("--yes") == 2
    assert host.ran == []
    assert f"not repaired: {EDITED}: is declared and was not brought up yet" in capsys.readouterr().out


def test_without_the_engines_look_nothing_runs(
    host: Host, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    host.edited = [EDITED]
    with pytest.raises(SystemExit) as error:
        repair("--yes", "--no-engine")
    assert error.value.code == 2

    def failing(*_: Any) -> str:
        raise drift.DriftError("no passphrase")

    monkeypatch.setattr(engine_drift, "engine_preview", failing)
    assert repair("--yes") == 2
    assert "not repaired: the engine has not looked: no passphrase" in capsys.readouterr().out
    assert host.ran == []


def test_nobody_to_ask_and_no_yes_changes_nothing(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    host.edited = [EDITED]
    monkeypatch.setattr("sys.stdin", io.StringIO())
    with pytest.raises(SystemExit) as error:
        repair()
    assert error.value.code == 2
    assert host.ran == []


def test_where_nothing_differs_nobody_is_asked(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    assert repair() == 0
    assert host.ran == []
    assert "as declared" in capsys.readouterr().out


def test_other_differences_stay_and_are_told(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    host.edited = [EDITED]
    host.engine.append("dns-a: is not there")
    assert repair("--yes") == 2
    assert host.ran == [EDITED]
    assert capsys.readouterr().out.splitlines()[1:] == ["drift: dns-a: is not there", "1 differences"]


def test_a_host_that_still_differs_afterwards_is_not_said_to_be_repaired(
    host: Host, capsys: pytest.CaptureFixture[str]
) -> None:
    host.edited, host.stubborn = [EDITED], {EDITED}
    assert repair("--yes") == 2
    out = capsys.readouterr().out
    assert not out.startswith("repaired"), out
    assert f"not repaired: {EDITED}: has run, and its host still differs: /etc/postfix/main.cf: differs" in out
