"""`mailstack drift`: the engine's look and the hosts', told together; a look that fails hides no other."""

import json
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cli.main import main
from mailstack import plan
from mailstack.plan import Plan, load_plan
from mailstack.reach import drift, engine_drift
from mailstack.reach.connection import Connection
from mailstack.reach.engine_drift import engine_preview
from mailstack.reach.errors import DriftError
from mailstack.reach.ssh import Finished, SshError
from tests.unit.stack_examples import example

URN = "urn:pulumi:prod::mailstack::mailstack:index:DnsRecords$cloudflare:index/dnsRecord:DnsRecord::"
RECORD = "cloudflare:index/dnsRecord:DnsRecord"


def step(operation: str, name: str, *, kind: str = RECORD, custom: bool = True, **more: Any) -> dict[str, Any]:
    state = {"type": kind, "custom": custom}
    before, after = more.pop("before", None), more.pop("after", None)
    old = {} if operation == "create" else {"oldState": state | {"inputs": before or {}}}
    new = {} if operation == "delete" else {"newState": state | {"inputs": after or {}}}
    return {"op": operation, "urn": URN + name, **old, **new, **more}


def document(*steps: dict[str, Any]) -> str:
    return json.dumps({"steps": steps, "diagnostics": []})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (step("create", "dns-a"), ["dns-a: is not there"]),
        (step("delete", "dns-a"), ["dns-a: is there, and declared no more"]),
        (
            step("update", "dns-a", before={"ttl": 60, "content": "old"}, after={"ttl": 3600, "content": "new"},
                 diffReasons=["ttl", "content"]),
            ["dns-a: is not as declared: ttl is 60, declared is 3600; content is old, declared is new"],
        ),
        (
            step("replace", "dns-a", before={}, after={"name": "x"}, diffReasons=["name"]),
            ["dns-a: is not as declared, and has to be made anew: name is not set, declared is x"],
        ),
        (step("update", "relay", kind="mailstack:index:PostfixRelay", custom=False, diffReasons=["code"]), []),
        (step("update", "dns-cloudflare", kind="pulumi:providers:cloudflare", diffReasons=["apiToken"]), []),
        (step("same", "dns-a"), []),
        (step("refresh", "dns-a"), []),
        (
            step("update", "relay-postfix", kind="command:remote:Command", before={"stdin": "[secret]"},
                 after={"stdin": "[secret]"}, diffReasons=["stdin"]),
            ["relay-postfix: is declared and was not brought up yet; `pulumi up` does"],
        ),
        (
            step("update", "dns-a", before={"key": "[secret]"}, after={"key": "[secret]"}, diffReasons=["key"]),
            ["dns-a: is not as declared: key is another secret, declared is another secret"],
        ),
    ],
)  # fmt: skip
def test_each_step_of_the_preview_is_told_by_its_resource(found: dict[str, Any], said: list[str]) -> None:
    assert engine_drift.engine_drift(document(found)) == said


def test_a_replacement_is_told_once() -> None:
    steps = [step("create-replacement", "dns-a"), step("replace", "dns-a"), step("delete-replaced", "dns-a")]
    assert len(engine_drift.engine_drift(document(*steps))) == 1


@pytest.mark.parametrize("text", ["", "[]", '{"steps": [{}]}', '{"steps": 1}'])
def test_what_is_no_preview_is_told(text: str) -> None:
    with pytest.raises(DriftError, match="not of the known form"):
        engine_drift.engine_drift(text)


def test_reasons_of_a_preview_that_failed_are_those_of_its_document(monkeypatch: pytest.MonkeyPatch) -> None:
    said = json.dumps(
        {"diagnostics": [{"severity": "warning", "message": "w"}, {"severity": "error", "message": "no login"}]}
    )

    def run(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        assert command[:4] == ["pulumi", "preview", "--refresh", "--json"]
        return subprocess.CompletedProcess(command, 255, said, "noise")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(DriftError, match=r"could not look:\nno login$"):
        engine_preview("prod", Path())


class Looked:
    """The command with both looks replaced."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.engine: list[str] | Exception = []
        self.hosts: list[str] | Exception = []
        self.asked: list[str] = []
        monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: {})
        monkeypatch.setattr(plan, "load_plan", lambda _raw: None)
        monkeypatch.setattr(drift, "find_drift", lambda _plan, _say, **_options: self._told("hosts"))
        monkeypatch.setattr(engine_drift, "engine_preview", lambda _stack, _folder: "")
        monkeypatch.setattr(engine_drift, "engine_drift", lambda _text: self._told("engine"))

    def _told(self, source: str) -> list[str]:
        self.asked.append(source)
        told: list[str] | Exception = getattr(self, source)
        if isinstance(told, Exception):
            raise told
        return told


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Looked:
    return Looked(monkeypatch)


@pytest.mark.parametrize("command", ["drift", "check"])
def test_drift_ends_with_0_where_all_is_as_declared(
    command: str, looked: Looked, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--stack", "local"]) == 0
    assert looked.asked == ["engine", "hosts"]
    assert "as declared" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["engine", "hosts"])
def test_drift_ends_with_2_where_something_differs(
    source: str, looked: Looked, capsys: pytest.CaptureFixture[str]
) -> None:
    setattr(looked, source, ["relay1: main.cf differs"])
    assert main(["drift", "--stack", "local"]) == 2
    assert capsys.readouterr().out == "drift: relay1: main.cf differs\n1 differences\n"


def test_without_an_engine_only_hosts_are_looked_at(looked: Looked, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drift", "--stack", "local", "--no-engine", "--json"]) == 0
    assert looked.asked == ["hosts"]
    assert json.loads(capsys.readouterr().out)["looked"] == {"engine": False, "hosts": True}


def test_a_look_that_fails_hides_no_other(looked: Looked, capsys: pytest.CaptureFixture[str]) -> None:
    looked.engine, looked.hosts = DriftError("no passphrase"), ["container relay is not there"]
    assert main(["drift", "--stack", "local", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert told["not_seen"] == {"engine": "no passphrase"}
    assert told["differences"] == [{"source": "hosts", "resource": None, "what": "container relay is not there"}]
    looked.hosts = []
    assert main(["drift", "--stack", "local"]) == 1
    out = capsys.readouterr().out
    assert "not seen: the engine's preview with a refresh: no passphrase" in out
    assert "as declared" not in out, "nobody has seen that"


@dataclass
class Hosts:
    """Answers roles' checks: a host of ``away`` is not reached, the others differ in one thing each role."""

    away: set[str]
    asked: list[str] = field(default_factory=list)

    def run(self, connection: Connection, _command: str, _payload: str, **_: Any) -> Finished:
        self.asked.append(connection.address)
        assert connection.attempts <= 2, "an update waits for a host to come up, a look does not"
        if connection.address in self.away:
            raise SshError(f"{connection.address} was not reached over SSH: timed out")
        return Finished(code=2, stdout=json.dumps({"changed": ["main.cf: differs"]}), stderr="")


def two_hosts() -> Plan:
    raw = example()
    raw["dns"] = {"provider": "none"}
    spare = {**raw["hosts"]["relay1"], "address": "spare.example.com", "public_ipv4": "93.184.216.35"}
    spare.pop("public_ipv6", None)
    raw["hosts"]["spare"] = spare
    return load_plan(raw)


def test_a_host_that_is_away_is_named_once_and_hides_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = two_hosts()
    first, second = (plan.hosts[name].connection.address for name in ("relay1", "spare"))
    hosts = Hosts(away={first})
    monkeypatch.setattr(drift, "run_over_ssh", hosts.run)
    unseen: dict[str, str] = {}
    found = drift.find_drift(plan, lambda _line: None, unseen=unseen)
    assert unseen == {"relay1": f"{first} was not reached over SSH: timed out"}
    assert hosts.asked.count(first) == 1, "each look takes as long as a connection is waited for"
    assert sum(run.host == "relay1" for run in plan.runs()) > 1
    assert hosts.asked.count(second) == len(found) == sum(run.host == "spare" for run in plan.runs())
    with pytest.raises(SshError):
        drift.find_drift(plan, lambda _line: None)


def test_a_check_that_fails_hides_no_other_of_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken container engine is no reason not to look at the firewall."""
    plan = two_hosts()
    runs = [run for run in plan.runs() if run.host == "relay1"]
    answers = iter([Finished(code=1, stdout="", stderr="docker does not answer\n")])
    differs = Finished(code=2, stdout=json.dumps({"changed": ["main.cf: differs"]}), stderr="")
    monkeypatch.setattr(drift, "run_over_ssh", lambda *_, **__: next(answers, differs))
    unseen: dict[str, str] = {}
    found = drift.find_drift(plan, lambda _line: None, unseen=unseen)
    first = next(iter(plan.runs())).name
    assert unseen == {first: "the check failed with exit code 1\ndocker does not answer"}
    assert len(runs) > 1
    assert {line.partition(": ")[0] for line in found} == {run.name for run in plan.runs()} - {first}


def test_what_could_not_be_looked_at_is_told_beside_what_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = two_hosts()
    hosts = Hosts(away={plan.hosts["relay1"].connection.address})
    monkeypatch.setattr(drift, "run_over_ssh", hosts.run)
    monkeypatch.setattr(drift, "decrypted_config", lambda *_: {})
    monkeypatch.setattr("mailstack.plan.load_plan", lambda *_: plan)
    assert main(["drift", "--stack", "prod", "--no-engine", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert "timed out" in told["not_seen"]["relay1"]
    assert {one["what"] for one in told["differences"]} == {"main.cf: differs"}
    hosts.away |= {plan.hosts["spare"].connection.address}
    assert main(["drift", "--stack", "prod", "--no-engine"]) == 1
    assert "not seen: spare: " in capsys.readouterr().out
