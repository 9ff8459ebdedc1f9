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
from mailstack.settings.problems import SettingsError
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


@pytest.mark.parametrize("shape", ["a text", ["a", "list"], 5])
@pytest.mark.parametrize(
    "place", ["postal", "postal.admin", "postal.database", "domains", "domains.0.dkim", "relay.upstream"]
)
def test_a_section_of_another_shape_is_told_by_name(place: str, shape: object, tmp_path: Path) -> None:
    """What fills in secrets for a check meets the file before any rule does."""
    config: Any = {"postal": {"signing_key": "there"}, "domains": [{"name": "example.com"}], "relay": {}}
    found, (*above, last) = config, place.split(".")
    for part in above:
        found = found[int(part)] if part.isdigit() else found[part]
    found[last] = shape
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{name}": value for name, value in config.items()}}))
    with pytest.raises(SettingsError) as error:
        load_plan(rehearsal_config(path))
    assert f"mailstack:{place.replace('.0.', '[0].')}" in str(error.value)


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
    assert engine_config(raw) == {"mailstack:relay": '{"upstream":{"password":"relay/upstream/password"}}'}


@pytest.mark.parametrize(
    ("text", "message"), [("a: [", "not YAML"), ("config: 3", "no `config:`"), ("", "no `config:`")]
)
def test_a_broken_stack_file_is_explained(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    with pytest.raises(StackFileError, match=message):
        read_stack_file(path, throwaway)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # What a merge of two branches leaves. The engine refuses the file, other readers take the last one.
        (
            "config:\n  mailstack:dns:\n    ttl: 60\n    ttl: 600\n",
            "`ttl` stands twice, in lines 3 and 4. Fix: keep one",
        ),
        ("config:\n  mailstack:dns: {}\n  mailstack:ssh: {}\n  mailstack:dns: {}\n", "`mailstack:dns` stands twice"),
        ("config:\n  dns: {}\n  mailstack:dns: {}\n", "two sections dns: mailstack:dns is one"),
        ("config:\n  mailstack:dns:\n\tttl: 60\n", "begins with a tab. Fix: indent it with spaces"),
    ],
)
def test_what_the_engine_refuses_in_a_file_is_told_without_it(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "Pulumi.x.yaml"
    path.write_text(text)
    with pytest.raises(StackFileError) as error:
        read_stack_file(path, throwaway)
    assert message in str(error.value)


def test_a_file_is_read_as_the_engine_reads_it(tmp_path: Path) -> None:
    """Anchors, keys that are merged over, Windows line ends, a byte order mark, sections without the project's name."""
    path = tmp_path / "Pulumi.x.yaml"
    lines = [
        "config:", "  ssh: {user: a}", "  mailstack:config:relay: {port: 25}", "  aws:region: x",
        "  mailstack:domains:",
        "    - {name: a.example, dmarc: &usual {policy: none, alignment: strict}}", "    - name: b.example",
        "      dmarc: {<<: *usual, policy: reject}",
    ]  # fmt: skip
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines).encode())
    assert read_stack_file(path, throwaway) == {
        "ssh": {"user": "a"},
        "relay": {"port": 25},
        "domains": [
            {"name": "a.example", "dmarc": {"policy": "none", "alignment": "strict"}},
            {"name": "b.example", "dmarc": {"policy": "reject", "alignment": "strict"}},
        ],
    }


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


@pytest.mark.slow
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


@pytest.mark.parametrize(("encrypted", "exists", "warned"), [(True, False, 1), (True, True, 0), (False, False, 0)])
def test_init_warns_where_a_colleague_is_logged_in_to_another_back_end(
    encrypted: bool, exists: bool, warned: int, tmp_path: Path
) -> None:
    """The stack it makes there is empty: an update would make everything once more."""
    sealed = "  mailstack:ssh: {private_key: {secure: v1:y}}\n" if encrypted else ""
    (tmp_path / "Pulumi.x.yaml").write_text(f"{STACK}{sealed}")
    said, warnings = list[str](), list[str]()
    initialise("x", tmp_path, said.append, FakePulumi(exists=exists), warn=warnings.append)
    assert len(warnings) == warned
    assert all("`pulumi stack rm x --preserve-config`, then log in there" in line for line in warnings)
    assert all(line.startswith("made ") for line in said)


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


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (
            "mycompny",
            "Pulumi.mycompny.yaml does not exist. Fix: name a stack that is here (mycompany, mycompany-staging)",
        ),
        ("acme/mycompany", "Fix: --stack mycompany: the file is called after the name without its organisation"),
    ],
)
def test_a_file_that_is_not_there_is_told_with_the_stacks_that_are(stack: str, said: str, tmp_path: Path) -> None:
    for name in ("mycompany", "mycompany-staging"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(STACK)
    with pytest.raises(StackFileError) as told:
        rehearsal_config(tmp_path / f"Pulumi.{stack}.yaml")
    assert said in str(told.value)
