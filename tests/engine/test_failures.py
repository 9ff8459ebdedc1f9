"""What a user sees when something is wrong, and that the hosts keep working."""

import copy
import json
from typing import Any

import pytest

from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]


def test_a_refused_configuration_fails_with_its_reason_and_mail_still_flows(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["relay"]["extra_parameters"] = {"default_process_limit": "many"}
    running = deployed.on("mail1", "cat", "/var/spool/postfix/pid/master.pid")
    main_cf = deployed.on("mail1", "cat", "/etc/postfix/main.cf")

    failed = deployed.up(raw)
    assert failed.code == 1
    assert failed.changes == {}
    diagnostics = failed.text.partition("Diagnostics:")[2]
    assert "command:remote:Command (relay-postfix)" in diagnostics
    assert "Process exited with status 1" in diagnostics
    assert "[postfix_relay] FAILED in step 'check' (exit 1)" in diagnostics
    assert "bad numerical configuration: default_process_limit = many" in diagnostics
    assert "Traceback" not in failed.text

    assert deployed.on("mail1", "cat", "/var/spool/postfix/pid/master.pid") == running
    assert deployed.on("mail1", "cat", "/etc/postfix/main.cf") == main_cf
    assert deployed.deliver("app@mailstack.test").ehlo == "relay.mailstack.test"
    assert deployed.engine.outputs()["smtp_port"] == 25, "applications still find the relay"

    raw["relay"]["extra_parameters"] = {"default_process_limit": 150}
    with deployed.put_back():
        mended = deployed.up(raw)
        assert (mended.code, mended.changes) == (0, {"relay-postfix": "updated"})
        assert "default_process_limit = 150" in deployed.on("mail1", "postconf", "-n")


def test_a_refusing_upstream_fails_the_probe_with_cause_and_fix(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["relay_rule"]["name"] = "a rule nobody has entered yet"
    raw["relay_rule"]["probe"]["wait_minutes"] = 0
    deployed.enter_rule(domains=["elsewhere.test"])
    try:
        failed = deployed.up(raw)
    finally:
        deployed.enter_rule()
    assert failed.code == 1
    assert failed.changes == {}
    diagnostics = failed.text.partition("Diagnostics:")[2]
    assert "command:remote:Command (relay-rule-probe)" in diagnostics
    assert "[relay_probe] FAILED in step 'probe' (exit 1)" in diagnostics
    assert "550" in diagnostics
    assert "cause: " in diagnostics
    assert "fix: " in diagnostics
    assert "Traceback" not in failed.text
    assert deployed.engine.outputs()["smtp_port"] == 25, "applications still find the relay"

    with deployed.put_back():
        mended = deployed.up(raw)
        assert (mended.code, mended.changes) == (0, {"relay-rule-probe": "updated"})
        assert deployed.engine.outputs()["relay_rule_probe"]["ok"] is True


def test_bad_settings_are_all_told_before_anything_is_registered(deployed: Stage) -> None:
    raw = copy.deepcopy(deployed.declared)
    raw["relais"] = {"host": "mail1"}
    raw["relay"].update(host="relay9", conccurrency=7)
    before = registered(deployed)
    logs = deployed.ssh_logs()
    for attempt in (deployed.preview(raw), deployed.up(raw)):
        assert attempt.code == 1
        assert "3 mistakes in the settings" in attempt.text
        for field, fix in (
            ("mailstack:relais", "did you mean relay?"),
            ("mailstack:relay.conccurrency", "did you mean concurrency?"),
            ("mailstack:relay.host", "use one of mail1, ns1"),
        ):
            line = next(line for line in attempt.text.splitlines() if f"- {field}" in line)
            assert fix in line
        assert "Traceback" not in attempt.text
        assert (attempt.planned, attempt.changes) == ({}, {})
    assert registered(deployed) == before
    assert deployed.ssh_logs() == logs


@pytest.mark.parametrize(
    ("key", "value", "kind"),
    [
        ("hosts", ["mail1"], "object"),
        ("domains", {"name": "mailstack.test"}, "array<object>"),
        ("environment", {"a": 1}, "string"),
    ],
)
def test_the_engine_itself_refuses_a_section_of_the_wrong_type(stage: Stage, key: str, value: Any, kind: str) -> None:
    refused = stage.preview({**stage.declared, key: value})
    assert refused.code != 0
    assert f"'mailstack:{key}' must be of type '{kind}'" in refused.text


def registered(stage: Stage) -> dict[str, str]:
    """Return the resources in the state with the time of their last change."""
    resources = json.loads(stage.exported())["deployment"]["resources"]
    return {resource["urn"]: resource["modified"] for resource in resources}
