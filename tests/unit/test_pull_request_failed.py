"""The comment of a pull request on a preview that failed, or did not come to its end."""

import json

import pytest

from mailstack.pull_request.comment import comment
from mailstack.pull_request.preview import read_preview
from tests.unit.test_pull_request_comment import Json, recorded, section, shown


def test_a_preview_that_broke_off_says_of_no_policy_that_it_is_kept() -> None:
    asked = json.dumps(
        {"events": [event for event in recorded("policies-events")["events"] if "policyEvent" not in event]}
    )
    text = comment("prod", read_preview(json.dumps(recorded("failing")), asked))
    assert "kept" not in text
    assert section(text, "Policies") == "Asked only of what was seen until the preview failed."
    whole = comment("prod", read_preview(json.dumps(recorded("nothing")), asked))
    assert "policies are kept" in section(whole, "Policies")


def test_a_preview_that_failed_is_told_with_its_reasons_once() -> None:
    text = shown(recorded("failing"))
    assert text.splitlines()[1].startswith("## ⛔")
    failed = section(text, "⛔ The preview failed")
    assert failed.count('mailstack:relay.hostname is "localhost"') == 1
    assert "Fix: write the whole name" in failed


def test_mistakes_that_diff_and_preview_both_refuse_are_told_once() -> None:
    preview = read_preview(json.dumps(recorded("failing")))
    [told] = {line.strip() for one in preview.messages for line in one.text.splitlines() if "relay.hostname is" in line}
    refusal = f"working tree, Pulumi.prod.yaml: by the rules of this code, 1 mistake in the settings:\n  {told}\n"
    text = comment("prod", preview, diff=refusal)
    assert text.count('mailstack:relay.hostname is "localhost"') == 1
    assert "Not judged" not in text
    other = refusal + "  - mailstack:relay.listen_port is 70000: must be a port. Fix: take another.\n"
    text = comment("prod", preview, diff=other)
    assert "relay.listen_port is 70000" in text
    assert "Not judged" in text


@pytest.mark.parametrize(
    "found", [{}, {"error": "no such stack"}, {"steps": recorded("create")["steps"], "duration": 9}]
)
def test_a_preview_that_was_cut_short_is_no_all_clear(found: Json) -> None:
    text = shown(found)
    assert text.splitlines()[1].startswith("## ⛔")
    assert "did not come to its end" in text
    assert "Nothing changes" not in text
    assert read_preview(json.dumps(found)).failed
