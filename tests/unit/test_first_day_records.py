"""Records with data that a zone of before has: told with ways out, taken over or kept, and known as ours later."""

from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.dns.existing import declared_content
from mailstack.plan import Plan, load_plan
from mailstack.plan.first_day import Ours, Surroundings, first_day
from mailstack.settings.problems import SettingsError
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.unit.mistakes import changed
from tests.unit.stack_examples import example

TOKEN = "t" * 40
ZONES = {"example.com": f"{1:032x}", "example.org": f"{2:032x}"}
FORMER = {"flags": 0, "tag": "issue", "value": "former-ca.example"}


def plan(existing: list[dict[str, str]] | None = None) -> Plan:
    zones = {"api_token": TOKEN, "zones": ZONES}
    dns = {"provider": "cloudflare", "cloudflare": zones, "existing": existing or []}
    return load_plan(changed(example(dns=dns), {"domains.1.caa": {"issue": ["letsencrypt.org"]}}))


@pytest.fixture
def standin() -> Iterator[CloudflareStandin]:
    zones = tuple(ZoneConfig(id=identity, name=name) for name, identity in ZONES.items())
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as running:
        yield running


def add(standin: CloudflareStandin, data: dict[str, Any]) -> str:
    body = {"name": "example.org", "type": "CAA", "data": data, "ttl": 300}
    return str(standin.store.create(ZONES["example.org"], body)["id"])


def looked(declared: Plan, standin: CloudflareStandin, ours: Ours | None = None) -> Plan:
    return first_day(declared, ours or Ours(), Surroundings(cloudflare_url=standin.api_url))[0]


def test_caa_of_before_is_told_with_the_setting_that_would_declare_it(standin: CloudflareStandin) -> None:
    add(standin, FORMER)
    with pytest.raises(SettingsError) as caught:
        looked(plan(), standin)
    [problem] = caught.value.problems
    assert "stays permitted" in problem.rule
    assert "add `former-ca.example` to domains[1].caa.issue" in problem.fix
    content = '0 issue "former-ca.example"'
    assert content in problem.fix
    entry = {"name": "example.org", "type": "CAA", "content": content}
    looked(plan([{**entry, "action": "keep"}]), standin)


def test_the_very_caa_record_of_before_is_taken_over(standin: CloudflareStandin) -> None:
    record = add(standin, {**FORMER, "value": "letsencrypt.org"})
    with pytest.raises(SettingsError, match="the very record that is declared"):
        looked(plan(), standin)
    taken = looked(plan([{"name": "example.org", "type": "CAA", "action": "take-over"}]), standin).dns.taken
    assert taken == {"example.org-caa-issue-letsencrypt-org": f"{ZONES['example.org']}/{record}"}


def test_a_record_that_the_stack_made_is_known_as_ours_and_not_written_again(standin: CloudflareStandin) -> None:
    declared = plan()
    [record] = [record for record in declared.dns.records if record.type == "CAA"]
    add(standin, {**FORMER, "value": "letsencrypt.org"})
    place = (ZONES["example.org"], "example.org", declared_content(record))
    found = looked(declared, standin, Ours(contents={place: record.ttl}))
    assert record not in found.dns.unwritten
