"""The way without a CLI: the same program on the in-process back end, on the same hosts."""

import copy
from typing import Any

import pytest

from mailstack.settings.stackfile import engine_config
from rehearsal import rehearse
from rehearsal.engine import find_cli
from rehearsal.in_process import InProcessBackend, ResourceFailedError, run_program
from rehearsal.rehearse import Rehearsal
from tests.engine.stage import Stage

pytestmark = pytest.mark.hosts

PASSWORD = "planted-elsewhere-93b0"


@pytest.fixture
def no_cli(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearse, "find_cli", lambda: None)


def test_without_a_cli_the_result_is_the_same(
    rehearsal: Rehearsal, no_cli: None, request: pytest.FixtureRequest
) -> None:
    with_engine: dict[str, Any] | None = None
    if find_cli() is not None:
        deployed: Stage = request.getfixturevalue("deployed")
        with_engine = deployed.engine.outputs()
    outputs = rehearsal.bring_up()
    assert outputs["relay_rule_probe"]["ok"] is True
    assert outputs["smtp_port"] == 25
    if with_engine is not None:
        assert outputs == with_engine
    else:
        checks = rehearsal.prove(outputs)
        assert [f"{check.name}: {check.evidence}" for check in checks if not check.passed] == []


def test_a_second_run_finds_nothing_to_change(rehearsal: Rehearsal) -> None:
    config = engine_config(rehearsal.raw)
    run_program("engine-tests", config, InProcessBackend(lambda _line: None))
    lines: list[str] = []
    run_program("engine-tests", config, InProcessBackend(lines.append))
    done = [line.strip() for line in lines if "] done: " in line]
    assert sorted(done) == sorted(
        f"[{role}] done: nothing to change"
        for role in ("preflight", "preflight", "postfix_relay", "relay_probe", "dns_server", "dns_server")
    )


def test_a_failing_role_stops_the_run_and_says_why_without_a_secret(rehearsal: Rehearsal) -> None:
    raw = copy.deepcopy(rehearsal.raw)
    raw["hosts"]["mail1"]["minimum_memory_mb"] = 1_000_000
    raw["relay"]["upstream"].update(auth="sasl", username="relay@mailstack.test", password=PASSWORD)
    lines: list[str] = []
    backend = InProcessBackend(lines.append)
    with pytest.raises(ResourceFailedError) as failure:
        run_program("engine-tests", engine_config(raw), backend)
    text = str(failure.value)
    assert text.startswith("mail1-preflight failed with exit code 1\n")
    assert "[preflight] FAILED in step" in text
    assert "1000000" in text.replace(",", "").replace(" ", "")
    performed = {name for _, name in backend.performed}
    assert not {"relay-postfix", "relay-rule-probe"} & performed
    key = raw["hosts"]["mail1"]["private_key"].splitlines()[2]
    for secret in (PASSWORD, key):
        assert secret not in text
        assert not any(secret in line for line in lines)


def test_a_role_that_fails_late_shows_its_last_lines_without_a_secret(rehearsal: Rehearsal) -> None:
    raw = copy.deepcopy(rehearsal.raw)
    raw["relay"]["upstream"].update(auth="sasl", username="relay@mailstack.test", password=PASSWORD)
    raw["relay"]["extra_parameters"] = {"default_process_limit": "many"}
    raw["relay_rule"]["probe"].update(wait_minutes=0, on_failure="warn")
    lines: list[str] = []
    with pytest.raises(ResourceFailedError) as failure:
        run_program("engine-tests", engine_config(raw), InProcessBackend(lines.append))
    assert str(failure.value).startswith("relay-postfix failed with exit code 1\n")
    assert "[postfix_relay] FAILED in step 'check' (exit 1)" in str(failure.value)
    assert "default_process_limit = many" in str(failure.value)
    assert PASSWORD not in str(failure.value)
    assert not any(PASSWORD in line for line in lines)
