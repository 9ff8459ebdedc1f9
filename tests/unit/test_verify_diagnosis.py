"""From symptom to cause: every troubleshooting entry of the wiki pages leads somewhere."""

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest

from cli.main import commands
from mailstack.verify.diagnosis import ENTRIES, SYMPTOMS, Cause, checks_for, diagnose
from mailstack.verify.model import Check, Finding, State, ok
from mailstack.verify.run import Report
from tests.unit.verify_examples import a_finding, example_report, only_these

# The troubleshooting entries of the five pages (docs/seeds.md), by page and heading. Page 001 has none.
OF_THE_PAGES = {
    "000 DNS Not Propagating",
    "000 Gmail Relay Rejecting Emails",
    "000 TLS Certificate Errors",
    "000 Emails Marked as Spam",
    "002 Authentication Failures",
    "002 Connection Timeouts",
    "002 TLS/SSL Errors",
    "002 Emails Not Delivering",
    "003 Connection Refused",
    "003 Email Bounces",
    "003 High Queue Size",
    "004 Email Not Sending",
    "004 relay access denied",
    "004 authentication failed",
    "004 connection refused",
}
CAUSES = list(dict.fromkeys(cause for entry in ENTRIES for cause in entry.causes))


@pytest.fixture(autouse=True)
def _all_numbers() -> Iterator[None]:
    """Let there be a check for each number of the list."""
    with only_these(
        *(
            Check(number=number, name=f"n{number}", group="A", title="", source="", look=lambda _context: ())
            for number in range(1, 46)
        )
    ):
        yield


def run(**states: State) -> Report:
    """Return a run in which the checks n1, n2, … are in these states."""
    findings: list[Finding] = [
        a_finding(name, replace(ok("example.com", "seen"), state=state)) for name, state in states.items()
    ]
    return replace(example_report(), findings=tuple(findings))


def test_every_entry_of_the_pages_is_covered_once() -> None:
    seeds = [entry.seed for entry in ENTRIES]
    assert set(seeds) == OF_THE_PAGES
    assert len(seeds) == len(set(seeds))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.seed)
def test_an_entry_has_symptoms_causes_and_checks_of_the_list(entry: object) -> None:
    [found] = [one for one in ENTRIES if one is entry]
    assert found.symptoms
    assert set(found.symptoms) <= set(SYMPTOMS)
    assert found.causes
    for cause in found.causes:
        assert cause.checks
        assert set(cause.checks) <= set(range(1, 46))


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.seed)
def test_a_failing_check_leads_from_the_entrys_symptom_to_its_cause(entry: object) -> None:
    [found] = [one for one in ENTRIES if one is entry]
    for symptom in found.symptoms:
        for cause in found.causes:
            for number in cause.checks:
                assert number in checks_for(symptom)
                told = diagnose(symptom, run(**{f"n{number}": State.FAIL})).found
                assert any(one.cause is cause and found.seed in one.seeds for one in told), (symptom, number)


def test_every_symptom_has_an_entry() -> None:
    assert {symptom for entry in ENTRIES for symptom in entry.symptoms} == set(SYMPTOMS)


def test_one_check_stands_for_one_cause() -> None:
    numbers = [number for cause in CAUSES for number in cause.checks]
    assert len(numbers) == len(set(numbers)), "else the report would name two causes for one fact"


def test_what_fails_comes_before_what_only_warns() -> None:
    told = diagnose("spam", run(n14=State.WARN, n45=State.FAIL)).found
    assert [one.cause.checks for one in told] == [(45,), (14, 12)]
    assert [one.certain for one in told] == [True, False]


def test_what_more_entries_name_is_likelier() -> None:
    order = checks_for("relay-refused")
    assert order.index(42) < order.index(40), "three entries name closed ports, and first"


def test_what_is_well_is_no_cause_and_what_was_not_seen_is_neither() -> None:
    told = diagnose("spam", run(n14=State.OK, n15=State.UNKNOWN, n16=State.NOT_APPLICABLE))
    assert told.found == ()
    assert [finding.check for finding in told.unseen] == ["n15"]


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: f"checks {cause.checks}")
def test_every_cause_is_a_sentence_with_something_to_do(cause: Cause) -> None:
    assert len(cause.cause) > 20
    assert cause.command


def test_every_command_of_ours_that_is_named_exists() -> None:
    texts = [cause.command for cause in CAUSES] + [command for entry in ENTRIES for command in entry.elsewhere]
    named = {name for text in texts for name in re.findall(r"mailstack ([a-z-]+)", text) if "mailstack:" not in text}
    assert named >= {"verify", "drift", "validate", "relay", "rotate", "status"}
    assert named <= set(commands())


def test_the_queue_and_the_log_are_looked_at_wherever_the_relay_runs() -> None:
    told = [command for entry in ENTRIES for command in entry.elsewhere]
    assert "mailstack relay queue list --stack <stack>" in told
    assert "mailstack relay logs --stack <stack> --since 1h" in told
    assert not [command for command in told if "postqueue" in command or "docker logs" in command]


def test_every_command_of_the_engine_names_the_stack() -> None:
    """The one that is selected on a person's machine may be another."""
    told = [cause.command for entry in ENTRIES for cause in entry.causes]
    told += [command for entry in ENTRIES for command in entry.elsewhere]
    engine = [command for command in told if "pulumi" in command]
    assert engine
    assert [command for command in engine if "--stack <stack>" not in command] == []
