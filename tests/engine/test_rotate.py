"""Rotations and `mailstack doctor` with the real CLI, on a stack that `mailstack init` began."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.init import Options, Real, init_stack
from cli.rotate_secrets import EXIT_NOT_YET, Rotation, postal_credential, relay_password
from mailstack.plan import load_plan
from mailstack.reach.doctor import Machine, examine
from mailstack.reach.drift import decrypted_config
from mailstack.reach.upstream_login import Login
from mailstack.settings.initialise import run_pulumi
from rehearsal.engine import Engine
from tests.engine.conftest import ROOT
from tests.unit.stack_examples import HOST_KEY

pytestmark = pytest.mark.engine

TODAY, NOW = date(2026, 11, 29), datetime(2026, 11, 29, 12, tzinfo=UTC)
OLD, NEW = "SG.planted-old-key", "SG.planted-new-key"


@pytest.fixture
def folder(cli: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    engine = Engine("begun", tmp_path, lambda _line: None)
    for name, value in engine.environment.items():
        monkeypatch.setenv(name, value)
    given = {
        "domains": ["example.com"], "host_text": "admin@mail.example.com", "upstream": "sendgrid", "dns": "none",
        "tls": "acme",
    }  # fmt: skip
    options = Options(stack="begun", given=given, host_key=HOST_KEY, public_ipv4="93.184.216.34", look=False)
    init_stack(options, root=tmp_path, today=TODAY, asker=None, looks=Real(resolvers=(), root=tmp_path))
    (tmp_path / "scripts").symlink_to(ROOT / "scripts")
    return tmp_path


def rotation(folder: Path, said: list[str]) -> Rotation:
    return Rotation(stack="begun", root=folder, today=TODAY, say=said.append)


def settings(folder: Path) -> Any:
    return load_plan(decrypted_config("begun", folder)).settings


def test_what_was_begun_can_be_looked_at_and_rotated_and_keeps_its_comments(folder: Path) -> None:
    file = folder / "Pulumi.begun.yaml"
    checks = {check.name: check for check in examine(Machine(folder=folder, today=TODAY), "begun")}
    assert (checks["secrets"].state, checks["secrets"].found) == ("fail", "missing: password of the upstream")
    assert checks["secrets open"].state == checks["state back end"].state == checks["stack file"].state == "ok"
    password = ["config", "set", "--secret", "--path", "mailstack:relay.upstream.password", "--stack", "begun"]
    run_pulumi(password, OLD, folder)
    comments = file.read_text().count("#")
    said: list[str] = []

    def rotate(password: str) -> int:
        taken = Login(state="taken", said="taken")
        return relay_password(rotation(folder, said), upstream=None, username=None, ask=lambda _text: password,
                              login=lambda *_arguments: taken)  # fmt: skip

    assert rotate(OLD) == EXIT_NOT_YET, "the one in use, which only the CLI can open"
    assert rotate(NEW) == 0
    assert settings(folder).relay.upstream.password.get_secret_value() == NEW

    def rotate_key() -> int:
        return postal_credential(rotation(folder, said), "app", server=None, kind="SMTP", used=None,
                                 quiet=timedelta(hours=1), now=NOW)  # fmt: skip

    before = settings(folder).postal.organizations[0].mail_servers[0].credentials
    assert rotate_key() == 0
    both = settings(folder).postal.organizations[0].mail_servers[0].credentials
    assert [(key.name, key.type) for key in both] == [("app", "SMTP"), ("app", "API"), ("app-202611", "SMTP")]
    assert both[:2] == before, "the old ones are as they were"
    assert rotate_key() == 0
    after = settings(folder).postal.organizations[0].mail_servers[0].credentials
    assert after == (both[1], both[2])
    text = file.read_text()
    assert not [secret for secret in (OLD, NEW, after[1].key.get_secret_value()) if secret in text]
    assert text.count("#") >= comments - 2, "but those of the key that went"
