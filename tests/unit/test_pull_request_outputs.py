"""The comment of a pull request: outputs that applications and other stacks go by, from the engine's log of events."""

import json
from pathlib import Path
from typing import Any

from mailstack.pull_request.comment import comment
from mailstack.pull_request.preview import read_preview

RECORDED = Path(__file__).resolve().parent / "recorded_previews"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
SECRET = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "plaintext": '"planted"'}
Outputs = dict[str, Any]
OLD = {"smtp_environment": {"SMTP_HOST": "10.0.0.1"}, "names": ["a"], "gone": 1, "api_url": "a", "verify": "a"}
NEW = {"smtp_environment": {"SMTP_HOST": "10.0.0.2"}, "names": ["a", "b"], "api_url": UNKNOWN, "verify": "b"}


def told(old: Outputs, new: Outputs, name: str) -> str:
    event = {"metadata": {"type": "pulumi:pulumi:Stack", "old": {"outputs": old}, "new": {"outputs": new}}}
    log = json.dumps({"events": [{"resOutputsEvent": event}]})
    return comment("prod", read_preview((RECORDED / f"{name}.json").read_text(), log))


def test_outputs_that_change_are_told_and_none_that_only_the_update_knows() -> None:
    lines = told(OLD, NEW, "nothing").replace("`", "").splitlines()
    begin = lines.index("### Outputs, for applications and other stacks")
    assert lines[begin + 4 : begin + 7] == [
        "| gone | 1 |  |",
        '| names | ["a"] | ["a", "b"] |',
        "| smtp_environment.SMTP_HOST | 10.0.0.1 | 10.0.0.2 |",
    ]
    assert lines[begin + 7] == ""
    assert any("Only outputs change." in line for line in lines)


def test_no_output_that_is_secret_is_shown() -> None:
    text = told({**OLD, "api_keys": SECRET}, {**NEW, "api_keys": "x", "smtp_keys": SECRET}, "nothing")
    assert "planted" not in text
    assert "| `api_keys` | `[secret]` | `x` |" in text


def test_outputs_of_a_new_stack_and_of_a_program_that_broke_off_are_left_out() -> None:
    assert "### Outputs" not in told({}, NEW, "create")
    assert "### Outputs" not in told(OLD, {}, "failing")
