"""The engine itself asks the policy pack: committed stacks pass, and what violates a policy is refused.

It is given the folder, as by every user. A full installation starts it by its language host; the CLI that `make engine`
builds has none, and finds a stand-in for that (``rehearsal.plugins.language``).
"""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import analyzer_pb2_grpc

from mailstack.policy import POLICIES
from mailstack.settings.initialise import rehearsal_config
from rehearsal.engine import Engine, EngineError
from tests.engine.contract import Contract

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "policy"
PACK = ("--policy-pack", str(FOLDER))
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ+3yT5hZZz1Uo3u+8zcWzdehVKbgCO947DtCvIzA640"
SECRET = "planted-4f0c"


class Preview:
    """A preview of one stack under the pack: its exit, and what was printed."""

    def __init__(self, folder: Path, stack: str, raw: Mapping[str, Any], *arguments: str) -> None:
        lines: list[str] = []
        engine = Engine(stack, folder, lines.append)
        engine.configure({**raw, "dns": {**raw["dns"], "look_seconds": 0}})
        engine.select()
        self.refused = False
        try:
            engine.preview(*PACK, *arguments)
        except EngineError:
            self.refused = True
        self.text = "\n".join(lines)

    def violations(self) -> set[tuple[str, str, str]]:
        """Return level, policy and resource of each."""
        lines = (line.split() for line in self.text.splitlines() if line.strip().startswith("- ["))
        return {(level.strip("-[]"), policy, resource.strip(")")) for _, level, policy, _, resource in lines}


def stack(name: str) -> dict[str, Any]:
    return rehearsal_config(ROOT / f"Pulumi.{name}.yaml")


@pytest.mark.engine
@pytest.mark.parametrize("name", ["local", "staging", "prod"])
def test_the_engine_finds_every_committed_stack_in_order(cli: None, name: str, tmp_path: Path) -> None:
    seen = Preview(tmp_path, name, stack(name))
    assert not seen.refused, seen.text
    assert "✅ mailstack@v1.0.0" in seen.text
    assert seen.violations() == set()


@pytest.mark.engine
def test_the_engine_refuses_a_stack_that_violates_policies(cli: None, tmp_path: Path) -> None:
    raw = stack("staging")
    raw["relay"]["upstream"]["tls"] = "encrypt"
    raw["relay_rule"].update(allowed_senders="any-address", accept_any_address=True)
    del raw["hosts"]["ns1"]["host_key"]
    seen = Preview(tmp_path, "staging", raw)
    assert seen.refused
    assert seen.violations() == {
        ("mandatory", "tls-is-checked", "relay"),
        ("mandatory", "workspace-rule-names-senders", "relay-rule"),
        *(("mandatory", "host-keys-are-pinned", name) for name in ("ns1", "ns1-preflight", "dns-server")),
        ("mandatory", "host-keys-are-pinned", "dns-server-mail"),
    }
    assert "Fix: set hosts.NAME.host_key" in seen.text


@pytest.mark.engine
def test_a_configuration_lets_a_stack_pass_with_a_warning(cli: None, tmp_path: Path) -> None:
    raw = stack("staging")
    raw["relay"]["upstream"]["tls"] = "encrypt"
    config = tmp_path / "policies.json"
    config.write_text(json.dumps({"tls-is-checked": "advisory", "ttl-has-bounds": {"max_seconds": 300}}))
    seen = Preview(tmp_path, "staging", raw, "--policy-pack-config", str(config))
    assert not seen.refused, seen.text
    found = seen.violations()
    assert ("advisory", "tls-is-checked", "relay") in found
    assert ("advisory", "ttl-has-bounds", "dns") in found


def connection(**more: Any) -> dict[str, Any]:
    return {"host": "192.0.2.1", "hostKey": HOST_KEY, **more}


def command(name: str, **inputs: Any) -> dict[str, Any]:
    told = {"connection": {"secret": connection(privateKey=SECRET)}, "create": "true", **inputs}
    return {"type": "command:remote:Command", "name": name, "inputs": told}


@pytest.mark.engine
def test_the_engine_tells_a_secret_input_from_one_in_clear(cli: None, tmp_path: Path) -> None:
    """In a program that is not ours: the pack does not build on its components.

    A connection in clear is not among them: the plugin makes it a secret before anybody looks.
    """
    contract = Contract(tmp_path, "command", "stand-in")
    good = command("good", stdin={"secret": "x"})
    assert contract.run([good], "preview", *PACK).code == 0
    for bad, policy in (
        (command("bad", stdin="x"), "secrets-are-secret"),
        (command("bad", create=f"send smtp://user:{SECRET}@up.example.net"), "secrets-are-secret"),
        (command("bad", connection={"host": "192.0.2.1"}), "host-keys-are-pinned"),
        (command("bad", delete="rm -rf /var/lib/mysql"), "deletes-are-safe"),
    ):
        outcome = contract.run([good, bad], "preview", *PACK)
        assert outcome.code == 1
        assert f"[mandatory]  {policy}  (command:remote:Command: bad)" in outcome.text
        assert "Command: good)" not in outcome.text
        assert SECRET not in outcome.text


@pytest.mark.engine
def test_what_only_an_update_tells_is_said_in_the_preview(cli: None, tmp_path: Path) -> None:
    contract = Contract(tmp_path, "command", "stand-in")
    good, bad = command("good", stdin={"secret": "x"}), command("bad", stdin={"stdout_of": "good"})
    preview = contract.run([good, bad], "preview", *PACK)
    assert preview.code == 0, preview.text
    assert "can't run policy 'secrets-are-secret'" in preview.text
    assert "bad.stdin can't be known during preview" in preview.text


@pytest.mark.engine
def test_an_update_stops_before_it_makes_what_violates_a_policy(cli: None, tmp_path: Path) -> None:
    contract = Contract(tmp_path, "command", "stand-in")
    bad = command("bad", delete="rm -rf /var/lib/mysql")
    outcome = contract.run([bad], "up", "--yes", "--skip-preview", *PACK)
    assert outcome.code == 1
    assert "deletes-are-safe" in outcome.text
    assert "bad" not in contract.state()


def test_the_pack_answers_the_engines_questions_about_itself() -> None:
    """Started as the language host starts it, with nothing but the SDK."""
    command = [sys.executable, "-m", "pulumi.policy", "127.0.0.1:1", str(FOLDER)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
                info = analyzer_pb2_grpc.AnalyzerStub(channel).GetAnalyzerInfo(empty_pb2.Empty(), timeout=30)
        finally:
            process.terminate()
    told = {policy.name: policy for policy in info.policies}
    assert list(told) == ["secret-marks", *(policy.name for policy in POLICIES)]
    assert info.supportsConfig
    for policy in POLICIES:
        assert told[policy.name].remediation_steps == policy.remedy
        assert set(told[policy.name].configSchema.properties) == {"except", *policy.settings}
