"""``mailstack policy`` as people and programs call it."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import cli.policy
from cli.main import main
from mailstack.policy import POLICIES, Resource

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/dev/null")  # and back again afterwards: the command sets it


def declared(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Write a stack file whose relay does not check whom it talks to; return the stack's name."""
    document: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.staging.yaml").read_text())
    document["config"]["mailstack:relay"]["upstream"]["tls"] = "encrypt"
    (folder / "Pulumi.weak.yaml").write_text(yaml.safe_dump(document))
    monkeypatch.setattr(cli.policy, "ROOT", folder)
    return "weak"


def test_a_violation_is_told_with_its_fix_and_ends_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["policy", "--stack", declared(tmp_path, monkeypatch)]) == 1
    told = capsys.readouterr().out
    assert "tls-is-checked (mandatory): relay\n" in told
    assert "smtp_tls_security_level is encrypt" in told
    assert "Fix: set relay.upstream.tls to secure" in told


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Register a weak relay. What a program registers, the test above has seen: it is not run again for it."""
    shown = {"environment": "staging", "main.cf/smtp_tls_security_level": "encrypt"}
    weak = [Resource("mailstack:index:PostfixRelay", "relay", shown)]
    monkeypatch.setattr("rehearsal.recorded.recorded_resources", lambda _stack, _raw: weak)


@pytest.mark.usefixtures("registered")
def test_a_program_gets_one_document_and_a_configuration_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "policies.json"
    config.write_text('{"tls-is-checked": "advisory"}')
    stack = declared(tmp_path, monkeypatch)
    assert main(["policy", "--stack", stack, "--config", str(config), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["stack"], report["environment"], report["ok"]) == ("weak", "staging", True)
    assert [one["name"] for one in report["policies"]] == [policy.name for policy in POLICIES]
    assert report["policies"][0]["level"] == "advisory"
    assert [wrong["resource"] for wrong in report["policies"][0]["violations"]] == ["relay"]


@pytest.mark.usefixtures("registered")
def test_exceptions_beside_the_stack_file_hold_without_being_named_and_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stack = declared(tmp_path, monkeypatch)
    (tmp_path / "policies-other.json").write_text('{"tls-is-checked": "disabled"}')
    assert main(["policy", "--stack", stack]) == 1
    assert "policies-" not in capsys.readouterr().out
    (tmp_path / f"policies-{stack}.json").write_text('{"tls-is-checked": {"except": ["relay"]}}')
    assert main(["policy", "--stack", stack]) == 0
    assert "with policies-weak.json" in capsys.readouterr().out


def test_a_configuration_that_is_not_there_is_told_in_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "--stack", "prod", "--config", "nowhere.json"]) == 1
    assert "nowhere.json" in capsys.readouterr().err
