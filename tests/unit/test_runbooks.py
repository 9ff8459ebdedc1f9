"""The runbooks: each has the same parts, and what one tells to do at night is what the rules of the settings take."""

import copy
from pathlib import Path
from typing import Any

import pytest

from mailstack.monitoring.rules import rule_groups
from mailstack.plan import load_plan
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.problems import SettingsError
from tests.unit.documents import anchors, links

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs/runbooks").glob("*.md"))
ON_CALL = "docs/runbooks/on-call.md"


@pytest.mark.parametrize("runbook", [name for name in RUNBOOKS if name != ON_CALL])
def test_a_runbook_says_what_is_seen_what_to_do_what_not_to_do_and_when_it_is_over(runbook: str) -> None:
    text = (ROOT / runbook).read_text()
    places = [text.find(f"\n## {part}") for part in ("Symptom", "Look", "Do not", "Proof")]
    assert -1 not in places
    assert places == sorted(places)
    assert {"fix", "cause-and-fix"} & anchors(runbook)
    assert "**It is over** when" in text[places[-1] :]
    assert "on-call.md#have-ready" in text[: places[0]]


def test_the_page_to_begin_with_leads_to_every_runbook() -> None:
    led_to = {link.partition("#")[0] for link in links(ON_CALL)}
    assert {Path(name).name for name in RUNBOOKS if name != ON_CALL} <= led_to


def test_every_alert_is_in_the_table_of_symptoms_and_its_section_leads_to_a_runbook() -> None:
    symptoms = (ROOT / ON_CALL).read_text()
    monitoring = (ROOT / "docs/how-to/monitoring.md").read_text()
    for alert in {rule["alert"] for group in rule_groups() for rule in group["rules"]}:
        assert f"`{alert}`" in symptoms
        section = monitoring.partition(f"### {alert}\n")[2].partition("\n### ")[0]
        assert "Runbook: [" in section, alert


def with_keys(*keys: dict[str, Any]) -> dict[str, Any]:
    raw = copy.deepcopy(rehearsal_config(ROOT / "Pulumi.local.yaml"))
    made = raw["domains"][0]["dkim"][-1]["private_key"]
    raw["domains"][0]["dkim"] = [{"private_key": made, **key} for key in keys]
    return raw


@pytest.mark.slow
def test_a_dkim_key_that_got_out_is_replaced_in_one_update() -> None:
    """As docs/runbooks/key-leak.md does: the old entry goes as a whole, the new one has no days."""
    plan = load_plan(with_keys({"selector": "postal-202611b"}), ROOT)
    names = {record.name for record in plan.dns.records}
    assert "postal-202611b._domainkey.mailstack.test" in names
    assert "postal-202611._domainkey.mailstack.test" not in names
    # With the day on which it was published it would not sign yet, and nothing else does.
    with pytest.raises(SettingsError, match="needs a key of ours"):
        load_plan(with_keys({"selector": "postal-202611b", "published": "2026-11-20"}), ROOT)
