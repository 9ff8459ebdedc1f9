"""Stacks of others read ours, by StackReference and by `mailstack env`, with the real engine and its file back end.

The mail stack's outputs are those that the program tells for a stack with Postal; no host is needed to tell them.
"""

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pulumi.runtime import rpc

from cli.main import main
from mailstack.settings.stackfile import engine_config
from rehearsal.engine import Engine, EngineError
from rehearsal.in_process import run_program
from tests.graph.recording import Recorder
from tests.unit.stack_examples import postal_example

pytestmark = pytest.mark.engine

ROOT = Path(__file__).resolve().parents[2]
PRODUCER, CONSUMER = "told", "reading"
SMTP_KEY, API_KEY = "smtpsmtpsmtpsmtpsmtpsmtp", "apiapiapiapiapiapiapiapi"
SERVER = "example/apps"
SENDER = {"SMTP_FROM_EMAIL": "noreply@example.com", "SMTP_FROM_NAME": "example.com"}
HIDDEN = "[secret]"


def marked(value: Any) -> Any:
    """Return outputs as ``told_program`` reads them."""
    if rpc.is_rpc_secret(value):
        return {"secret": marked(rpc.unwrap_rpc_secret(value))}
    if isinstance(value, dict):
        return {key: marked(item) for key, item in value.items()}
    if isinstance(value, list):
        return [marked(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def project(folder: Path, name: str, program: Path) -> Path:
    folder.mkdir()
    (folder / "Pulumi.yaml").write_text(
        f"name: {name}\nruntime:\n  name: python\n  options:\n    toolchain: pip\n    virtualenv: .venv\n"
    )
    (folder / ".venv").symlink_to(ROOT / ".venv")
    shutil.copy(program, folder / "__main__.py")
    return folder


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What the program tells for a stack with Postal, with its secret marks."""
    found: dict[str, Any] = marked(run_program("test", engine_config(postal_example()), Recorder(), marked=True))
    return found


@pytest.fixture(scope="module")
def producer(cli: None, told: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Engine:
    folder = tmp_path_factory.mktemp("producer")
    place = project(folder / "project", "mailstack", ROOT / "tests/engine/told_program.py")
    (place / "told.json").write_text(json.dumps(told))
    engine = Engine(PRODUCER, folder / "engine", lambda _line: None, project_folder=place)
    engine.configure({})
    engine.select()
    engine.up()
    return engine


@pytest.fixture
def consume(producer: Engine, tmp_path: Path) -> Callable[..., Engine]:
    """Bring the example up beside the mail stack: the same back end, the same passphrase."""

    def up(**config: str) -> Engine:
        place = project(tmp_path / "project", "shop", ROOT / "docs/examples/consumer_stack/__main__.py")
        shutil.copy(producer.folder / "passphrase", tmp_path / "passphrase")
        engine = Engine(CONSUMER, tmp_path, lambda _line: None, project_folder=place)
        engine.environment["PULUMI_BACKEND_URL"] = producer.environment["PULUMI_BACKEND_URL"]
        engine.configure({"mail_stack": f"organization/mailstack/{PRODUCER}", **config}, "shop")
        engine.select()
        engine.up()
        return engine

    return up


def shown(engine: Engine) -> dict[str, Any]:
    """Return the outputs as the CLI shows them to whoever looks."""
    found: dict[str, Any] = json.loads(engine.run("stack", "output", "--json", "--stack", engine.stack, quiet=True))
    return found


def test_another_program_reads_keys_by_stack_reference_and_they_stay_secret(consume: Callable[..., Engine]) -> None:
    engine = consume(mail_server=SERVER, credential="shop")
    assert engine.outputs()["environment"] == {
        **SENDER,
        "MAIL_API_URL": "https://postal.example.com/api/v1",
        "MAIL_API_KEY": API_KEY,
        "SMTP_HOST": "mx.example.com",
        "SMTP_PORT": "25",
        "SMTP_USE_TLS": "true",
        "SMTP_USER": SERVER,
        "SMTP_PASSWORD": SMTP_KEY,
    }
    open_to_all = json.dumps(shown(engine))
    assert SMTP_KEY not in open_to_all
    assert API_KEY not in open_to_all
    exported = engine.run("stack", "export", "--stack", engine.stack, quiet=True)
    assert SMTP_KEY not in exported
    assert API_KEY not in exported


def test_a_credential_that_has_one_kind_of_key_is_enough_and_one_that_is_not_there_is_said(
    consume: Callable[..., Engine], producer: Engine, told: dict[str, Any]
) -> None:
    told_file = (
        Path(producer.environment["PULUMI_BACKEND_URL"].removeprefix("file://")).parents[1] / "project/told.json"
    )
    told_file.write_text(json.dumps({**told, "postal_smtp_keys": {"secret": {}}}))
    try:
        producer.up()
        engine = consume(mail_server=SERVER, credential="shop")
        api = {**SENDER, "MAIL_API_URL": "https://postal.example.com/api/v1", "MAIL_API_KEY": API_KEY}
        assert engine.outputs()["environment"] == api
        engine.run("config", "set", "credential", "gone", "--stack", CONSUMER, "--config-file", str(engine.config_file))
        with pytest.raises(EngineError, match=f"no credential {SERVER}/gone; it has {SERVER}/shop"):
            engine.up()
    finally:
        told_file.write_text(json.dumps(told))
        producer.up()


def test_another_program_reads_the_relay_by_stack_reference(
    consume: Callable[..., Engine], told: dict[str, Any]
) -> None:
    assert consume().outputs()["environment"] == told["smtp_environment"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"contract_version": 2}, "contract_version 2, this program knows 1"),
        ({"contract_version": 2, "api_url": None}, "contract_version 2, this program knows 1"),
        ({"contract_version": None}, "no contract_version: was `pulumi up` run there"),
        ({"api_url": None}, "does not tell api_url"),
    ],
    ids=["a later one", "a later one without what this one asks for", "none", "a part that is not there"],
)
def test_a_program_that_knows_another_contract_is_stopped_before_it_uses_anything(
    changes: dict[str, Any], said: str, consume: Callable[..., Engine], producer: Engine, told: dict[str, Any]
) -> None:
    told_file = (
        Path(producer.environment["PULUMI_BACKEND_URL"].removeprefix("file://")).parents[1] / "project/told.json"
    )
    later = {name: value for name, value in {**told, **changes}.items() if value is not None}
    told_file.write_text(json.dumps(later))
    try:
        producer.up()
        with pytest.raises(EngineError, match=said):
            consume(mail_server=SERVER, credential="shop")
    finally:
        told_file.write_text(json.dumps(told))
        producer.up()


def test_the_engine_hides_what_the_contract_calls_secret_and_nothing_else(
    producer: Engine, told: dict[str, Any]
) -> None:
    found = shown(producer)
    assert found["api_keys"] == found["postal_smtp_keys"] == HIDDEN
    assert found["mail_servers"][SERVER]["smtp_keys"] == HIDDEN
    assert found["mail_servers"][SERVER]["smtp_host"] == "mx.example.com"
    for name in ("api_url", "api_key_names", "smtp_host", "smtp_hosts", "smtp_environment", "health_urls"):
        assert found[name] == told[name], name


def test_env_asks_the_engine_and_writes_what_the_application_needs(
    producer: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in producer.environment.items():
        monkeypatch.setenv(name, text)
    out = tmp_path / "app.json"
    assert main(["env", "--stack", PRODUCER, "--format", "json", "--credential", "shop", "--out", str(out)]) == 0
    written = json.loads(out.read_text())
    assert (written["SMTP_PASSWORD"], written["MAIL_API_KEY"]) == (SMTP_KEY, API_KEY)
    assert stat.S_IMODE(out.stat().st_mode) == 0o600


def test_env_says_what_the_engine_said(
    producer: Engine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in producer.environment.items():
        monkeypatch.setenv(name, text)
    assert main(["env", "--stack", "not-there"]) == 1
    assert "no stack named 'not-there' found" in capsys.readouterr().err
    monkeypatch.setenv("PULUMI_CONFIG_PASSPHRASE", "wrong")
    assert main(["env", "--stack", PRODUCER]) == 1
    said = capsys.readouterr().err
    assert "passphrase" in said
    assert os.environ["PULUMI_CONFIG_PASSPHRASE"] == "wrong"
