"""What a stack with several upstreams tells others follows them: limits, Google's rule and its probe, Postal."""

from typing import Any

import pytest

from mailstack.dns.existing import Decision, decide, find_clashes, take_overs
from mailstack.plan import load_plan
from mailstack.postfix.relay import main_cf
from tests.unit.dns.test_dns_existing import DECLARED, ZONE, there
from tests.unit.mistakes import MAILGUN, SENDGRID, SES, problems
from tests.unit.plan_parts import dns_records, probe_settings, relay_definition, relay_rule
from tests.unit.stack_examples import example, postal_example


def with_google_for(domain: int) -> dict[str, Any]:
    """Return a stack whose mail goes to SES, and that of one domain to Google."""
    raw = example()
    raw["domains"][0]["spf"]["include"] = []
    raw["relay"]["upstream"] = SES
    raw["relay"]["upstreams"] = {"google": {"preset": "google-workspace"}}
    raw["domains"][domain]["upstream"] = "google"
    return raw


@pytest.mark.parametrize(("domain", "name"), [(0, "example.com"), (1, "example.org")])
def test_googles_rule_and_its_probe_are_about_google_where_it_is_a_further_upstream(domain: int, name: str) -> None:
    plan = load_plan(with_google_for(domain))
    assert relay_rule(plan).domains == (name,)
    probe = probe_settings(plan)
    assert (probe["host"], probe["port"]) == ("smtp-relay.gmail.com", 587)
    assert probe["sender"] == f"postmaster@{name}", "Google refuses senders that its rule does not hold"
    assert main_cf(relay_definition(plan))["relayhost"] == "[email-smtp.eu-west-1.amazonaws.com]:587"


def test_the_probe_sends_from_a_domain_that_goes_to_google() -> None:
    raw = example()
    raw["relay"]["upstreams"] = {"mailgun": MAILGUN}
    raw["domains"][0]["upstream"] = "mailgun"
    assert probe_settings(load_plan(raw))["sender"] == "postmaster@example.org"


@pytest.mark.parametrize(
    ("first", "spare", "limit"),
    [({"preset": "google-workspace"}, SES, 50), (SES, SENDGRID, 50), (SENDGRID, MAILGUN, 1000)],
)
def test_a_transaction_holds_no_more_recipients_than_the_fallback_takes(
    first: dict[str, Any], spare: dict[str, Any], limit: int
) -> None:
    raw = example()
    if first["preset"] != "google-workspace":
        del raw["relay_rule"]
    raw["domains"][0]["spf"]["include"] = []
    raw["relay"] |= {"upstream": first, "upstreams": {"spare": spare, "own": SENDGRID}, "fallback_upstream": "spare"}
    raw["domains"][1]["upstream"] = "own"
    parameters = main_cf(relay_definition(load_plan(raw)))
    assert parameters["smtp_destination_recipient_limit"] == limit
    assert parameters["upstream_own_destination_recipient_limit"] == min(1000, 50 if spare is SES else 1000)


def postal(*, custom_return_paths: bool) -> dict[str, Any]:
    raw = postal_example()
    raw["domains"][0]["spf"]["include"] = []
    raw["relay"]["upstreams"] = {"mailgun": MAILGUN}
    raw["domains"][1]["upstream"] = "mailgun"
    raw["postal"]["custom_return_paths"] = custom_return_paths
    return raw


def test_an_upstream_that_postals_mail_would_not_follow_is_refused() -> None:
    [problem] = problems(postal(custom_return_paths=False))
    assert problem.field == "domains[1].upstream"
    assert "rp.example.com in MAIL FROM" in problem.rule
    assert "postal.custom_return_paths" in problem.fix


def test_with_return_paths_of_their_own_postals_domains_follow_their_upstreams_in_spf_and_rule() -> None:
    plan = load_plan(postal(custom_return_paths=True))
    [mailgun] = relay_definition(plan).upstreams
    assert mailgun.sender_domains == ("example.org", "psrp.example.org")
    [spf] = [
        record.data.value  # type: ignore[union-attr]
        for record in dns_records(plan)
        if record.name == "rp.example.com" and record.type == "TXT"
    ]
    assert "include:mailgun.org" in spf, "the alias psrp.example.org is looked up here"
    assert "include:_spf.google.com" in spf
    assert relay_rule(plan).domains == ("example.com", "rp.example.com", "psrp.example.com")


def test_more_records_than_there_are_places_for_are_not_taken_over_in_silence() -> None:
    old = [there(ZONE, "MX", f"mx{number}.former.example", priority=number, id=f"r{number}") for number in range(3)]
    clashes = find_clashes(DECLARED, DECLARED, old)
    everything = Decision(name=ZONE, type="MX", content=None, action="take-over")
    undecided, taken = decide(clashes, [everything])
    assert len(taken) == 1
    assert len(take_overs(taken)) == 1
    assert [clash.existing for clash in undecided] == old[1:]
    assert all(clash.may_stay and not clash.may_be_taken for clash in undecided)
    assert all("another record is in its place" in clash.why for clash in undecided)
