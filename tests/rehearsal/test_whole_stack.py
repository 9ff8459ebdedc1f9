"""The whole stack on throw-away hosts: every committed stack file delivers a message."""

import os
import subprocess
from pathlib import Path

import pytest

from mailstack.reach.drift import repair
from mailstack.settings.initialise import rehearsal_config
from rehearsal.engine import find_cli
from rehearsal.ground import pieces
from rehearsal.rehearse import Rehearsal, rehearse
from tests.relay_only import relay_only
from tests.unit.test_init_file import answers, written

pytestmark = pytest.mark.hosts


def without_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no engine to be found, whatever the machine has and built: the engine has tests of its own."""
    folders = [folder for folder in os.environ["PATH"].split(":") if not (Path(folder) / "pulumi").exists()]
    monkeypatch.setenv("PATH", ":".join(folders))
    monkeypatch.setattr("rehearsal.engine.BUILT", Path("/nonexistent/pulumi"))
    assert find_cli() is None


@pytest.mark.parametrize("stack", ["local", "staging", "prod"])
def test_a_message_goes_through_every_committed_stack(stack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    without_cli(monkeypatch)
    said: list[str] = []
    assert rehearse(stack, said.append) == 0, "\n".join(said)
    assert any("ok    a message arrives at the upstream" in line for line in said)
    assert not any(line.startswith("FAIL") for line in said)
    looked = [line for line in said if line.endswith("ok   mailstack verify finds nothing that is not explained")]
    # Production's records are at a stand-in for Cloudflare's API: nobody could ask for them.
    assert len(looked) == (0 if stack == "prod" else 1), "\n".join(said)


def test_a_file_that_init_wrote_can_be_rehearsed_as_it_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Its zone is at Cloudflare: Postal asks a name server with what is declared."""
    without_cli(monkeypatch)
    raw = rehearsal_config(written(tmp_path, answers(dns="cloudflare")))
    monkeypatch.setattr("rehearsal.rehearse.rehearsal_config", lambda _path: raw)
    said: list[str] = []
    assert rehearse("fresh", said.append) == 0, "\n".join(said)
    assert any("ok    SMTP: DKIM verifies against the key in DNS" in line for line in said)


def test_drift_is_seen_and_repaired_and_a_rehearsal_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cli(monkeypatch)
    with Rehearsal("local", relay_only(), lambda _line: None) as rehearsal:
        name = rehearsal.ground.name
        assert [piece for piece in pieces() if piece.ground == name]
        rehearsal.bring_up()
        assert rehearsal.drift() == []
        edit = ["postconf", "-e", "smtp_tls_security_level = may"]
        rehearsal.ground.exec(rehearsal.hosts["mail1"], edit)
        drift = rehearsal.drift()
        assert any("smtp_tls_security_level: may -> secure" in difference for difference in drift), drift
        assert all(difference.startswith("relay-postfix: ") for difference in drift), drift
        repaired = dict(repair(rehearsal.plan, {"relay-postfix"}, lambda _line: None))
        assert list(repaired) == ["relay-postfix"]
        assert repaired["relay-postfix"], "it tells what it has changed"
        assert rehearsal.drift() == []
        rehearsal.ground.exec(rehearsal.hosts["mail1"], edit)
        rehearsal.bring_up()
        assert rehearsal.drift() == []
    assert not [piece for piece in pieces() if piece.ground == name]


def test_the_demo_fails_when_no_message_can_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    without_cli(monkeypatch)
    monkeypatch.setattr("rehearsal.rehearse.google_rule", _closed_rule)
    said: list[str] = []
    monkeypatch.setattr("rehearsal.rehearse.rehearsal_config", lambda _path: relay_only())
    assert rehearse("local", said.append) == 1
    text = "\n".join(said)
    assert "relay-rule-probe failed" in text
    assert "Fix" in text or "fix" in text


def _closed_rule(**wanted: object) -> dict[str, object]:
    """Play an administrator who listed another address."""
    return {
        "domains": wanted["domains"],
        "allowed_ips": ["192.0.2.1/32"],
        "allowed_senders": "domain-addresses",
        "registered_users": [],
        "require_tls": True,
        "require_smtp_auth": False,
        "smtp_auth_users": {},
    }


def test_demo_down_is_safe_to_repeat() -> None:
    for _ in range(2):
        finished = subprocess.run(
            [".venv/bin/python", "-m", "cli", "rehearse", "--stack", "staging", "--down"],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        assert finished.returncode == 0, finished.stderr
        assert "nothing of the rehearsal of staging is left" in finished.stdout
