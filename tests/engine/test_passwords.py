"""Secrets: they reach the one role that needs them, and nobody can read them on the way."""

import copy
import json
from typing import Any

import pytest

from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

USER = "relay@mailstack.test"
FIRST, SECOND = "planted-first-0c61", "planted-second-7e25"


def with_login(stage: Stage, password: str) -> dict[str, Any]:
    raw = copy.deepcopy(stage.declared)
    raw["relay"]["upstream"].update(auth="sasl", username=USER, password=password)
    raw["relay_rule"]["probe"]["wait_minutes"] = 0
    return raw


def planted(stage: Stage) -> list[str]:
    """Return the passwords, and a line from the middle of each private key."""
    dkim = stage.declared["domains"][0]["dkim"][1]["private_key"]
    keys = [stage.declared["hosts"]["mail1"]["private_key"], dkim]
    return [FIRST, SECOND, *(key.splitlines()[2] for key in keys)]


def test_a_changed_password_runs_relay_and_probe_only_and_shows_nowhere(deployed: Stage) -> None:
    secrets = planted(deployed)
    printed = []
    with deployed.put_back():
        deployed.enter_rule(login=(USER, FIRST))
        first = deployed.up(with_login(deployed, FIRST))
        assert first.code == 0, first.text
        assert deployed.deliver("app@mailstack.test").auth_user == USER

        deployed.enter_rule(login=(USER, SECOND))
        before = deployed.ssh_logs()
        raw = with_login(deployed, SECOND)
        preview = deployed.preview(raw, "--diff")
        with deployed.watch_processes("mail1", secrets) as processes:
            second = deployed.up(raw)
        assert (second.code, second.changes) == (0, {"relay-postfix": "updated", "relay-rule-probe": "updated"})
        after = deployed.ssh_logs()
        assert after["ns1"] == before["ns1"]
        assert after["mail1"].count("Accepted publickey") == before["mail1"].count("Accepted publickey") + 2
        assert deployed.deliver("app@mailstack.test").auth_user == USER
        assert {"postfix_relay", "relay_probe"} <= set(processes.modules), "the watch saw the roles"
        assert processes.secrets == []

        raw["relay"]["extra_parameters"] = {"default_process_limit": "many"}
        failed = deployed.up(raw)
        assert failed.code == 1
        printed = [first.text, preview.text, second.text, failed.text, deployed.exported(), outputs(deployed)]

        assert any(b"relay-postfix" in content for _, content in deployed.state_files()), "the state was looked at"
        for secret in secrets:
            assert [text[:200] for text in printed if secret in text] == []
            assert [path.name for path, content in deployed.state_files() if secret.encode() in content] == []
            for name in deployed.rehearsal.hosts:
                assert secret not in deployed.on(name, "journalctl", "--no-pager", "--output", "json")
        readable = {"/etc/postfix/mailstack/sasl_passwd", "/etc/postfix/mailstack/sasl_passwd.db"}
        found = deployed.files_with("mail1", secrets)
        assert set(found) == readable, "the password is where Postfix reads it, and only there"
        assert deployed.on("mail1", "stat", "-c", "%a %U", *found).splitlines() == ["600 root"] * 2
        assert deployed.files_with("ns1", secrets) == []
    assert deployed.files_with("mail1", secrets) == [], "without a login the password is gone"
    deployed.enter_rule()


def outputs(stage: Stage) -> str:
    text = stage.engine.run("stack", "output", "--json", "--show-secrets", "--stack", stage.engine.stack, quiet=True)
    assert json.loads(text)["smtp_host"] == "127.0.0.1"
    return text
