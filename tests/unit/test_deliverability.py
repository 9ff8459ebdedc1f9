"""The summary of each domain at preview: from the records themselves, short, and with what changes."""

from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.plan.deliverability import summaries
from tests.unit.mistakes import changed
from tests.unit.stack_examples import REMOVE, dkim_public_key, example, postal_example


def told(raw: dict[str, Any], before: dict[str, Any] | None = None) -> dict[str, dict[str, str]]:
    """Return, by domain, what each line of its summary says."""
    zones = {} if before is None else load_plan(before).dns.texts
    found = {}
    for text in summaries(load_plan(raw), zones):
        name, *lines = text.split("\n")
        found[name] = {line[2:13].strip(): line[13:] for line in lines}
    return found


def test_it_says_who_may_send_and_how_many_lookups_that_costs() -> None:
    raw = changed(example(), {"domains.0.spf": {"include": ["spf.crm.example"], "lookups": {"spf.crm.example": 3}}})
    said = told(raw)["example.com"]["may send"]
    assert "include:_spf.google.com" in said
    assert said.endswith("(7 of 10 lookups)"), said


def test_it_says_who_signs_with_which_key() -> None:
    said = told(postal_example())["example.com"]["signs"]
    assert "RSA 2048, Postal signs" in said
    assert "google (RSA 2048, another signer's)" in said


def test_a_return_path_elsewhere_is_said_not_to_align() -> None:
    own = told(changed(postal_example(), {"postal.custom_return_paths": True}))["example.com"]["aligned"]
    assert "MAIL FROM psrp.example.com is (relaxed)" in own
    strict = changed(postal_example(), {"domains.0.dmarc.spf_alignment": "strict"})
    assert "is not (strict)" in told(strict)["example.com"]["aligned"]


def test_it_says_the_policy_and_where_mail_to_the_domain_goes() -> None:
    said = told(changed(example(), {"domains.1.dmarc.policy": "reject", "domains.1.mx": []}))["example.org"]
    assert said["policy"].startswith("p=reject")
    assert said["mail to it"] == "none is taken (null MX)"
    assert "smtp.google.com (1)" in told(example())["example.com"]["mail to it"]


def test_it_names_what_changes_and_nothing_else() -> None:
    assert told(example(), example())["example.com"]["changes"] == "none"
    new = changed(example(), {"domains.1.dmarc.policy": "reject", "domains.1.mx": []})
    said = told(new, example())["example.org"]["changes"]
    assert said == "~ TXT _dmarc.example.org, MX example.org"
    assert told(new, example())["example.com"]["changes"] == "none"
    fresh = told(example())["example.com"]["changes"]
    assert fresh.startswith("+ ")
    assert "more" in fresh


def test_records_that_nobody_will_publish_any_more_are_said_to_go() -> None:
    after = load_plan(changed(example(), {"dns.cloudflare": REMOVE, "dns.provider": "none"}))
    assert "every record goes" in summaries(after, load_plan(example()).dns.texts, published=True)[0]
    assert not any("every record goes" in text for text in summaries(after, after.dns.texts))
    staying = load_plan(example())
    assert not any("every record goes" in text for text in summaries(staying, staying.dns.texts, published=True))


def test_a_domain_that_is_no_longer_declared_is_told_among_names_of_no_domain() -> None:
    further = {"name": "example.net", "dkim": [{"selector": "s1", "public_key": dkim_public_key()}]}
    two = changed(example(), {"domains.1": further, "dns.cloudflare": REMOVE, "dns.provider": "none"})
    one = changed(example(), {"dns.cloudflare": REMOVE, "dns.provider": "none"})
    assert told(one, two)["names of no domain"]["changes"].startswith("- ")


@pytest.mark.parametrize("changing", [0, 3, 30])
def test_of_many_domains_only_those_are_told_that_change(changing: int) -> None:
    def stack(policies: int) -> dict[str, Any]:
        key = dkim_public_key()
        domains = [
            {
                "name": f"d{number}.test",
                "dkim": [{"selector": "s1", "public_key": key}],
                "dmarc": {"policy": "reject" if number < policies else "quarantine"},
            }
            for number in range(60)
        ]
        base = changed(example(), {"dns": {"provider": "none"}})
        return {**base, "domains": [*base["domains"], *domains]}

    texts = summaries(load_plan(stack(changing)), load_plan(stack(0)).dns.texts)
    single = [text for text in texts if "\n" in text]
    assert len(single) == min(changing, 20)
    assert f"{62 - changing} of 62 domains: nothing changes" in texts
    assert any("further domains change" in text for text in texts) == (changing > 20)
