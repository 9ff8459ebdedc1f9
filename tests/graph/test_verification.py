"""The look at the end of an update: after everything else, never in a preview, and never instead of the update."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pulumi
import pytest

from mailstack.plan import load_plan
from mailstack.plan.verification import target_text
from mailstack.settings.stackfile import engine_config
from mailstack.verify.context import Context
from mailstack.verify.model import Check, Finding, fail, ok, warn
from rehearsal.in_process import run_program
from tests.graph.recording import Recorder
from tests.unit.cluster_examples import single
from tests.unit.mistakes import changed
from tests.unit.stack_examples import example, postal_example
from tests.unit.verify_examples import only_these

pytestmark = pytest.mark.slow

FINDINGS = {
    "ok": ok("example.com", "fine"),
    "warn": warn("example.com", "old", expected="new", fix="renew it"),
    "fail": fail("example.com", "wrong", expected="right", fix="mend it"),
}


@dataclass
class Run:
    """A run of the program: what was registered, what was there when the checks looked, and what was said."""

    recorder: Recorder = field(default_factory=Recorder)
    seen: list[tuple[Context, frozenset[str]]] = field(default_factory=list)
    said: list[tuple[str, str]] = field(default_factory=list)
    found: Finding = FINDINGS["ok"]

    def look(self, context: Context) -> Iterator[Finding]:
        self.seen.append((context, frozenset(self.recorder.resources)))
        yield self.found

    def program(self, raw: dict[str, Any], *, preview: bool = False) -> dict[str, Any]:
        checks = [
            Check(number=number, name=name, group=group, title="", source="", look=self.look)
            for number, name, group in ((14, "spf", "C"), (40, "open-relay", "G"))
        ]
        with only_these(*checks):
            return run_program("test", engine_config(raw), self.recorder, preview=preview)

    def verify_lines(self, level: str) -> list[str]:
        return [text for said, text in self.said if said == level and text.startswith("verify: ")]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    made = Run()

    def say(level: str) -> Any:
        return lambda text, *_arguments, **_options: made.said.append((level, text))

    for level in ("info", "warn"):
        monkeypatch.setattr(pulumi.log, level, say(level))
    return made


def asked(after_up: str, **more: Any) -> dict[str, Any]:
    return {**postal_example(), "verify": {"after_up": after_up, **more}}


@pytest.mark.parametrize("raw", [example(), asked("off")], ids=["absent", "off"])
def test_nobody_looks_unless_asked(run: Run, raw: dict[str, Any]) -> None:
    run.program(raw)
    assert run.seen == []


def test_a_preview_never_looks(run: Run) -> None:
    run.program(asked("fail"), preview=True)
    assert run.seen == []


@pytest.mark.parametrize("raw", [postal_example(), single()], ids=["hosts", "cluster"])
def test_an_update_looks_once_everything_was_made(run: Run, raw: dict[str, Any]) -> None:
    run.program({**raw, "verify": {"after_up": "warn", "checks": ["spf"]}})
    [(context, there)] = run.seen
    assert there == frozenset(run.recorder.resources), "nothing was made after it"
    assert "relay-rule-probe" in there
    assert context.target.model_dump_json(exclude_defaults=True) == target_text(load_plan(raw))


def test_it_registers_nothing_and_changes_no_output(run: Run) -> None:
    outputs = run.program(asked("warn"))
    without = Run()
    assert without.program(postal_example()) == outputs
    assert set(without.recorder.resources) == set(run.recorder.resources)


def test_what_is_well_is_one_line(run: Run) -> None:
    run.program(asked("fail"))
    [line] = run.verify_lines("info")
    assert line.startswith("verify: 2 ok (")
    assert run.verify_lines("warn") == []


def test_what_is_wrong_is_a_warning_that_says_what_to_do(run: Run) -> None:
    run.found = FINDINGS["fail"]
    run.program(asked("warn"))
    [text] = run.verify_lines("warn")
    assert "fail: spf, example.com: wrong. Fix: mend it" in text


def test_fail_ends_the_update_after_everything_was_made(run: Run) -> None:
    run.found = FINDINGS["fail"]
    with pytest.raises(
        pulumi.RunError, match="everything was made, and looked at from outside it is not right: 2 fail"
    ):
        run.program(asked("fail"))
    without = Run()
    without.program(postal_example())
    assert set(run.recorder.resources) == set(without.recorder.resources)


def test_a_warning_alone_fails_no_update(run: Run) -> None:
    run.found = FINDINGS["warn"]
    run.program(asked("fail"))
    assert len(run.verify_lines("warn")) == 1


@pytest.mark.parametrize(("checks", "looks"), [([], 2), (["spf"], 1), (["G"], 1)])
def test_only_the_checks_that_are_named_are_run(run: Run, checks: list[str], looks: int) -> None:
    run.program(asked("warn", checks=checks))
    assert len(run.seen) == looks


def test_the_time_is_limited_and_a_rehearsal_asks_nobody_outside(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAILSTACK_RESOLVERS", "127.0.0.1:5300")
    # The plan's own look would wait for a resolver that is not there.
    run.program(changed(asked("warn", seconds=7, checks=["spf"]), {"dns.look_seconds": 0}))
    [(context, _)] = run.seen
    assert context.around.resolvers == ("127.0.0.1:5300",)
    assert 0 < context.left(100) <= 7


def test_a_test_message_is_sent_where_one_is_declared_and_no_output_holds_its_passwords(run: Run) -> None:
    message = {
        "sender": "probe@example.com",
        "recipient": "someone@example.net",
        "imap": {"host": "imap.example.net", "username": "someone", "password": "mailbox-password"},
    }
    outputs = run.program(asked("warn", checks=["spf"], message=message))
    [(context, _)] = run.seen
    assert context.message is not None
    assert context.message.told.startswith("Postal's API at postal.example.com:443")
    registered = [resource.inputs for resource in run.recorder.resources.values()]
    assert "mailbox-password" not in repr((outputs, registered))


def test_no_message_is_sent_where_none_is_declared(run: Run) -> None:
    run.program(asked("warn", checks=["spf"]))
    assert run.seen[0][0].message is None


def test_a_resource_that_fails_is_all_that_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run.recorder.new_resource

    def broken(args: Any) -> Any:
        if args.name == "postal-postal":
            raise RuntimeError("no space left on the host")
        return made(args)

    monkeypatch.setattr(run.recorder, "new_resource", broken)
    with pytest.raises(Exception, match="no space left on the host"):
        run.program(asked("fail"))
    assert run.seen == [], "nobody looks at half a stack"
