"""`mailstack status` and the real stack: right while it is well, while the upstream is down, while parts are gone."""

import json
import time
from datetime import UTC, datetime

import pytest

from mailstack.operate.status import Part, gather, looks
from mailstack.plan import load_plan
from mailstack.reach.entry import Entry
from mailstack.reach.operations import Operations
from mailstack.reach.outputs import stack_outputs
from tests.engine.stage import Stage

pytestmark = [pytest.mark.engine, pytest.mark.hosts]

SECONDS = 120


def status(stage: Stage, monkeypatch: pytest.MonkeyPatch, seconds: float = SECONDS) -> dict[str, Part]:
    """Return every part, by its name; where things are comes from the stack's outputs."""
    for name, value in stage.engine.environment.items():
        monkeypatch.setenv(name, value)
    outputs = stack_outputs(stage.engine.stack, stage.engine.folder)
    entry = Entry(
        operations=Operations.model_validate_json(_text(outputs["operations"])),
        stack=stage.engine.stack,
        folder=stage.engine.folder,
        open_plan=lambda: load_plan(stage.declared),
    )
    return {part.name: part for part in gather(looks(entry, outputs, None, datetime.now(UTC)), seconds)}


def _text(output: object) -> str:
    return output if isinstance(output, str) else json.dumps(output)


def test_a_stack_that_is_well_says_what_runs(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.deliver("app@mailstack.test")
    found = status(deployed, monkeypatch)
    assert {"components", "host mail1", "host ns1", "relay mail1", "relay rule", "DNS"} == {*found}
    relay = found["relay mail1"]
    assert relay.state == "ok", relay.told
    (place,) = relay.details["places"]
    assert place["greeting"].startswith("220 relay.mailstack.test")
    assert place["last_delivery"] is not None
    assert place["queue"]["messages"] == 0
    assert found["host mail1"].details["system"]
    assert found["relay rule"].state == "ok"


def test_the_queue_is_told_while_the_upstream_is_down(deployed: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.rehearsal.google.take_down()
    try:
        deployed.submit("app@mailstack.test")
        deployed.wait_for_queue()
        relay = status(deployed, monkeypatch)["relay mail1"]
    finally:
        deployed.rehearsal.google.clear_faults()
        deployed.on("mail1", "postqueue", "-f")
    deployed.wait_for_queue(empty=True)
    (place,) = relay.details["places"]
    assert place["greeting"] is not None, "the relay itself is well"
    assert place["queue"]["by_queue"] == {"deferred": 1}
    assert place["queue"]["by_reason"]
    assert "1 deferred" in relay.told


def test_what_does_not_run_fails_and_a_host_that_hangs_is_unknown_in_time(
    deployed: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = deployed.rehearsal.hosts["ns1"]
    deployed.on("mail1", "systemctl", "stop", "postfix")
    deployed.ground.pause(hanging)
    began = time.monotonic()
    try:
        found = status(deployed, monkeypatch, seconds=30)
    finally:
        taken = time.monotonic() - began
        deployed.ground.unpause(hanging)
        deployed.on("mail1", "systemctl", "start", "postfix")
    assert taken < 60, "the time for all is kept"
    assert found["relay mail1"].state == "fail", found["relay mail1"].told
    assert "does not answer" in found["relay mail1"].told
    assert found["host ns1"].state == "unknown", found["host ns1"].told
    assert found["host mail1"].state in {"ok", "warn"}, "the others are seen all the same"
