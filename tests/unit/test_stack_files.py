"""The committed stack files, their schema, and the making of secrets."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from cli.main import main
from mailstack.plan import load_plan
from mailstack.settings.initialise import InitError, initialise, missing_secrets, rehearsal_config
from mailstack.settings.schema import settings_reference, stack_file_schema
from mailstack.settings.stackfile import StackFileError, engine_config, read_stack_file, throwaway

STACKS = ("local", "staging", "prod")
PUBLISHED_SCHEMA = Path("docs/reference/stack.schema.json")
SECRET_KEYS = {"private_key", "password", "api_token"}


@pytest.mark.parametrize("stack", STACKS)
def test_committed_stack_files_are_valid(stack: str) -> None:
    plan = load_plan(rehearsal_config(Path(f"Pulumi.{stack}.yaml")))
    assert plan.settings.environment == stack


@pytest.mark.parametrize("stack", STACKS)
def test_committed_stack_files_match_the_schema(stack: str) -> None:
    jsonschema.validate(yaml.safe_load(Path(f"Pulumi.{stack}.yaml").read_text()), json.loads(stack_file_schema()))


def test_the_schema_refuses_an_unknown_key() -> None:
    document = yaml.safe_load(Path("Pulumi.prod.yaml").read_text())
    document["config"]["mailstack:relay"]["hostnme"] = "relay.example.com"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(stack_file_schema()))


def test_the_published_schema_is_current() -> None:
    assert PUBLISHED_SCHEMA.read_text() == stack_file_schema(), "run: mailstack schema --write"


def test_the_published_reference_is_current() -> None:
    assert Path("docs/reference/settings.md").read_text() == settings_reference(), "run: mailstack schema --write"


@pytest.mark.parametrize("stack", STACKS)
def test_no_secret_is_committed_in_clear(stack: str) -> None:
    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for key, item in value.items():
                assert key not in SECRET_KEYS or set(item) == {"secure"}, key
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    text = Path(f"Pulumi.{stack}.yaml").read_text()
    walk(yaml.safe_load(text))
    assert "PRIVATE KEY" not in text


@pytest.mark.parametrize("stack", STACKS)
def test_project_file_knows_every_key(stack: str) -> None:
    declared = set(yaml.safe_load(Path("Pulumi.yaml").read_text())["config"])
    assert set(yaml.safe_load(Path(f"Pulumi.{stack}.yaml").read_text())["config"]) <= declared


def test_encrypted_values_are_replaced_and_never_read(tmp_path: Path) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(
        "config:\n  mailstack:relay:\n    upstream:\n      password:\n        secure: v1:abc:def\n  other:a: 1\n"
    )
    raw = read_stack_file(path, lambda where, _raw: "/".join(map(str, where)))
    assert raw == {"relay": {"upstream": {"password": "relay/upstream/password"}}}
    assert engine_config(raw) == {"mailstack:relay": '{"upstream": {"password": "relay/upstream/password"}}'}


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not YAML"), ("config: 3", "no `config:`"), ("", "no `config:`")]
)
def test_a_broken_stack_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    with pytest.raises(StackFileError, match=message):
        read_stack_file(path, throwaway)


def test_a_missing_stack_file_is_told_by_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--stack", "nowhere"]) == 1
    assert "Pulumi.nowhere.yaml does not exist" in capsys.readouterr().err


class FakePulumi:
    """Stands in for the CLI: remembers what it was told. The real one is used in tests/engine."""

    def __init__(self, *, exists: bool = False) -> None:
        self.calls: list[tuple[tuple[str, ...], str]] = []
        self.exists = exists

    def __call__(self, argv: Sequence[str], stdin: str) -> None:
        self.calls.append((tuple(argv), stdin))
        if self.exists and argv[:2] == ["stack", "init"]:
            raise InitError("error: stack 'x' already exists")


STACK = """
config:
  mailstack:hosts: {relay1: {address: relay.example.com}}
  mailstack:domains:
    - name: example.com
      dkim: [{selector: google, public_key: MIIB}, {selector: mail1}]
  mailstack:relay: {upstream: {auth: sasl, username: relay@example.com}}
  mailstack:dns: {provider: cloudflare}
"""


def test_init_makes_our_secrets_and_names_the_others(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(STACK)
    pulumi, said = FakePulumi(), list[str]()
    rest = initialise("x", tmp_path, said.append, pulumi)
    assert [step.path for step in rest] == [
        "mailstack:relay.upstream.password",
        "mailstack:dns.cloudflare.api_token",
    ]
    set_calls = {argv[4]: stdin for argv, stdin in pulumi.calls if argv[0] == "config"}
    assert set(set_calls) == {"mailstack:ssh.private_key", "mailstack:domains[0].dkim[1].private_key"}
    assert set_calls["mailstack:ssh.private_key"].startswith("-----BEGIN OPENSSH PRIVATE KEY-----")
    assert "PRIVATE KEY" in set_calls["mailstack:domains[0].dkim[1].private_key"]


def test_init_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(STACK)
    pulumi, said = FakePulumi(), list[str]()
    initialise("x", tmp_path, said.append, pulumi)
    for argv, stdin in pulumi.calls:
        for line in stdin.splitlines()[1:-1]:
            assert line not in " ".join(argv)
            assert line not in "\n".join(said)
    assert any("ssh-ed25519 " in line for line in said)


def test_init_again_keeps_every_existing_secret(tmp_path: Path) -> None:
    text = STACK.replace("{selector: mail1}", "{selector: mail1, private_key: {secure: v1:x}}")
    (tmp_path / "Pulumi.x.yaml").write_text(f"{text}\n  mailstack:ssh: {{private_key: {{secure: v1:y}}}}\n")
    pulumi = FakePulumi(exists=True)
    initialise("x", tmp_path, lambda _line: None, pulumi)
    assert pulumi.calls == []


def test_init_works_on_an_existing_stack(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(STACK)
    pulumi = FakePulumi(exists=True)
    initialise("x", tmp_path, lambda _line: None, pulumi)
    assert len(pulumi.calls) == 3


def test_init_without_a_cli_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Pulumi.x.yaml").write_text(STACK)
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    with pytest.raises(InitError, match=r"install-pulumi\.sh"):
        initialise("x", tmp_path, lambda _line: None)


def test_a_stack_with_all_secrets_needs_none() -> None:
    raw = rehearsal_config(Path("Pulumi.local.yaml"))
    raw["ssh"] = {"private_key": "set"}
    assert missing_secrets(raw) == []
