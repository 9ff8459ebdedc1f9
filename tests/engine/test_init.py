"""`mailstack init` with the real CLI."""

import json
import subprocess
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest
import yaml

from cli.init import Options, Real, init_stack
from mailstack.plan import load_plan
from mailstack.settings import initialise as initialise_module
from mailstack.settings.initialise import InitError, initialise
from mailstack.settings.stackfile import read_stack_file, throwaway
from mailstack.settings.written import Written
from mailstack.start.pins import command, unpinned
from rehearsal.engine import Engine
from tests.engine.stage import PLANNED
from tests.unit.stack_examples import HOST_KEY

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]


def without_secrets(stack: str) -> dict[str, object]:
    """Return a stack file of this repository as its README says to start: no `secure:` values, no salt."""
    raw = read_stack_file(ROOT / f"Pulumi.{stack}.yaml", lambda _where, _raw: "")

    def stripped(value: object) -> object:
        if isinstance(value, dict):
            return {key: stripped(item) for key, item in value.items() if item != ""}
        return [stripped(item) for item in value] if isinstance(value, list) else value

    config = {f"mailstack:{key}": stripped(value) for key, value in raw.items()}
    return {"config": {key: value for key, value in config.items() if value != {}}}


@pytest.fixture
def folder(cli: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project with a stack that has no secrets yet, and an engine of its own."""
    engine = Engine("fresh", tmp_path, lambda _line: None)
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "Pulumi.fresh.yaml").write_text(yaml.safe_dump(without_secrets("staging"), sort_keys=False))
    return tmp_path


def test_init_makes_secrets_that_read_back_as_they_were(folder: Path) -> None:
    made: dict[str, str] = {}

    def run(argv: Sequence[str], stdin: str) -> None:
        if argv[:2] == ["config", "set"]:
            made[argv[argv.index("--path") + 1]] = stdin
        initialise_module.run_pulumi(argv, stdin, folder)

    said: list[str] = []
    missing = initialise("fresh", folder, said.append, run)
    assert set(made) == {"mailstack:ssh.private_key", "mailstack:domains[0].dkim[0].private_key"}
    assert [step.path for step in missing] == ["mailstack:relay.upstream.password"]

    command = ["pulumi", "config", "set", "--secret", "--path", missing[0].path, "--stack", "fresh"]
    subprocess.run(command, input="typed-by-hand\n", text=True, check=True, cwd=folder, capture_output=True)
    text = (folder / "Pulumi.fresh.yaml").read_text()
    assert text.count("secure:") == 3
    for value in [*made.values(), "typed-by-hand"]:
        assert value.splitlines()[len(value.splitlines()) // 2] not in text

    shown = subprocess.run(
        ["pulumi", "config", "--show-secrets", "--json", "--stack", "fresh"],
        text=True, check=True, cwd=folder, capture_output=True,
    ).stdout  # fmt: skip
    entries = json.loads(shown)
    raw = {
        key.removeprefix("mailstack:"): entry.get("objectValue", entry["value"])
        for key, entry in entries.items()
        if entry["value"] != "{}"
    }
    settings = load_plan(raw).settings
    ssh_key, dkim_key = settings.ssh.private_key, settings.domains[0].dkim[0].private_key
    assert ssh_key is not None
    assert dkim_key is not None
    assert ssh_key.get_secret_value() == made["mailstack:ssh.private_key"]
    assert dkim_key.get_secret_value() == made["mailstack:domains[0].dkim[0].private_key"]

    key_file = folder / "key"
    key_file.touch(mode=0o600)
    key_file.write_text(ssh_key.get_secret_value())
    public = subprocess.run(["ssh-keygen", "-y", "-f", str(key_file)], text=True, check=True, capture_output=True)
    assert " ".join(public.stdout.split()[:2]) in "\n".join(said), "the line to authorise belongs to the stored key"


def test_a_second_init_replaces_no_key(folder: Path) -> None:
    initialise("fresh", folder, lambda _line: None)
    before = (folder / "Pulumi.fresh.yaml").read_text()
    said: list[str] = []
    initialise("fresh", folder, said.append)
    assert said == []
    assert (folder / "Pulumi.fresh.yaml").read_text() == before


def test_a_stack_begun_from_nothing_keeps_its_comments_and_is_one_the_engine_previews(
    cli: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine("begun", tmp_path, lambda _line: None)
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    given = {
        "domains": ["example.com", "shop.example.com"], "host_text": "admin@mail.example.com",
        "upstream": "google-workspace", "dns": "server", "tls": "acme",
    }  # fmt: skip
    options = Options(stack="begun", given=given, host_key=HOST_KEY, public_ipv4="93.184.216.34", look=False)
    drafts: list[str] = []

    def run(argv: Sequence[str], stdin: str) -> None:
        drafts.append((tmp_path / "Pulumi.begun.yaml").read_text())
        initialise_module.run_pulumi(argv, stdin, tmp_path)

    init_stack(
        options, root=tmp_path, today=date(2026, 11, 29), asker=None, looks=Real(resolvers=(), root=tmp_path), run=run
    )
    text = (tmp_path / "Pulumi.begun.yaml").read_text()
    comments = [line.partition("#")[2] for line in drafts[0].splitlines() if "#" in line]
    kept = [line.partition("#")[2] for line in text.splitlines() if "#" in line]
    assert kept == comments, "Pulumi writes the file anew with each secret"
    assert text.startswith("# yaml-language-server: $schema=")
    assert text.count("secure:") == 10
    load_plan(initialise_module.rehearsal_config(engine.config_file), written=[Written.in_file(engine.config_file)])
    planned = {name: what for _, name, what in PLANNED.findall(engine.preview())}
    assert set(planned.values()) == {"create"}
    assert {"mail1-preflight", "relay-postfix", "postal", "caddy", "dns-server"} <= {*planned}


BY_FLAGS = {
    "domains": ["example.com"], "host_text": "admin@mail.example.com", "upstream": "google-workspace", "dns": "none",
    "tls": "acme",
}  # fmt: skip


@pytest.fixture
def begin(cli: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """Begin stack ``begun`` in a folder of the project, on an engine of its own, without looking anywhere."""
    engine = Engine("begun", tmp_path, lambda _line: None)
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    options = Options(stack="begun", given=BY_FLAGS, host_key=HOST_KEY, public_ipv4="93.184.216.34", look=False)
    looks = Real(resolvers=(), root=tmp_path)
    return lambda: init_stack(options, root=tmp_path, today=date(2026, 11, 29), asker=None, looks=looks)


def pulumi(folder: Path, *arguments: str, stdin: str = "") -> str:
    return subprocess.run(
        ["pulumi", *arguments, "--stack", "begun"],
        input=stdin, text=True, check=True, cwd=folder, capture_output=True,
    ).stdout  # fmt: skip


def test_a_stack_that_pulumi_has_begun_keeps_its_encryption(begin: Callable[[], int], tmp_path: Path) -> None:
    subprocess.run(["pulumi", "stack", "init", "begun", "--no-select"], check=True, cwd=tmp_path, capture_output=True)
    file = tmp_path / "Pulumi.begun.yaml"
    salt = yaml.safe_load(file.read_text())["encryptionsalt"]
    assert begin() == 0
    document = yaml.safe_load(file.read_text())
    assert document["encryptionsalt"] == salt
    assert "PRIVATE KEY" in pulumi(tmp_path, "config", "get", "mailstack:ssh.private_key", "--path")


def test_the_commands_that_pin_images_are_ones_the_engine_takes(begin: Callable[[], int], tmp_path: Path) -> None:
    assert begin() == 0
    file = tmp_path / "Pulumi.begun.yaml"
    before = [line for line in file.read_text().splitlines() if line.lstrip().startswith("#")]
    pins = unpinned(read_stack_file(file, throwaway))
    assert len(pins) == 2
    for pin in pins:
        line = command("begun", pin, f"sha256:{'1' * 64}")
        subprocess.run(["sh", "-c", line], check=True, cwd=tmp_path, capture_output=True)
    assert unpinned(read_stack_file(file, throwaway)) == []
    assert [line for line in file.read_text().splitlines() if line.lstrip().startswith("#")] == before
    load_plan(initialise_module.rehearsal_config(file), written=[Written.in_file(file)])


def test_no_new_keys_for_a_deployed_stack_whose_file_is_lost(begin: Callable[[], int], tmp_path: Path) -> None:
    assert begin() == 0
    state = json.loads(pulumi(tmp_path, "stack", "export"))
    of_the_stack = "urn:pulumi:begun::mailstack::pulumi:pulumi:Stack::mailstack-begun"
    state["deployment"]["resources"] = [{"urn": of_the_stack, "custom": False, "type": "pulumi:pulumi:Stack"}]
    pulumi(tmp_path, "stack", "import", stdin=json.dumps(state))
    (tmp_path / "Pulumi.begun.yaml").unlink()
    with pytest.raises(InitError, match="is deployed, with 1 resources"):
        begin()
    assert not (tmp_path / "Pulumi.begun.yaml").exists()
