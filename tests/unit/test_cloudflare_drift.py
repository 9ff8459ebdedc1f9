"""Drift at Cloudflare: a record that is gone or changed is named, and each zone is read once."""

from collections.abc import Iterator
from dataclasses import asdict, replace

import pytest

from mailstack.dns import to_cloudflare
from mailstack.plan import Plan, load_plan
from mailstack.reach.cloudflare import CloudflareError
from mailstack.reach.drift import find_drift
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.unit.stack_examples import example

TOKEN = "t" * 40
ZONES = ("example.com", "example.org")


@pytest.fixture
def plan() -> Plan:
    """A plan of records only: no host is reached."""
    records = [
        {"name": "example.org", "type": "CAA", "values": ['0 issue "letsencrypt.org"']},
        {"name": "_sip._tcp.example.org", "type": "SRV", "priority": 5, "values": ["1 5060 sip.example.net"]},
        {"name": "_443._tcp.www.example.org", "type": "TLSA", "values": [f"3 1 1 {'0a' * 32}"]},
        {"name": "*.example.org", "type": "A", "values": ["93.184.216.80"]},
        {"name": "sub.example.org", "type": "NS", "values": ["ns1.example.net"]},
    ]
    zones = {"api_token": TOKEN, "zones": list(ZONES)}
    dns = {"provider": "cloudflare", "cloudflare": zones, "records": records, "signed_zones": ["example.org"]}
    found = load_plan(example(dns=dns))
    return replace(found, hosts={}, relay=replace(found.relay, runs=()), relay_rule=None)


@pytest.fixture
def standin() -> Iterator[CloudflareStandin]:
    zones = tuple(ZoneConfig(id=f"{number:032x}", name=name) for number, name in enumerate(ZONES))
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as running:
        yield running


def publish(plan: Plan, standin: CloudflareStandin) -> None:
    for zone, records in plan.dns.zones.items():
        for record in records:
            body = {key: value for key, value in asdict(to_cloudflare(record)).items() if value is not None}
            standin.store.create(standin.zone_id(zone), body)


def drift(plan: Plan, standin: CloudflareStandin) -> list[str]:
    return find_drift(plan, lambda _line: None, cloudflare_url=standin.api_url)


def test_records_as_declared_are_no_drift_and_cost_a_call_for_each_zone(plan: Plan, standin: CloudflareStandin) -> None:
    publish(plan, standin)
    assert drift(plan, standin) == []
    assert len(standin.requests()) == 1 + len(ZONES)


def test_a_record_that_is_gone_and_one_that_was_changed_are_named(plan: Plan, standin: CloudflareStandin) -> None:
    publish(plan, standin)
    zone = standin.zone_id("example.com")
    for shown in standin.records("example.com"):
        if shown["name"] == "_dmarc.example.com":
            standin.store.delete(zone, shown["id"])
        if shown["type"] == "MX":
            standin.store.update(zone, shown["id"], {"priority": 50}, merge=True)
        if shown["type"] == "A" and shown["name"] == "relay.example.com":
            standin.store.update(zone, shown["id"], {"content": "203.0.113.99"}, merge=True)
    assert sorted(line.partition(": ")[2] for line in drift(plan, standin)) == [
        "A relay.example.com is not as declared",
        "MX example.com is not as declared",
        "TXT _dmarc.example.com is not as declared",
    ]


@pytest.mark.parametrize(("seen", "hidden"), [ZONES, ZONES[::-1]])
def test_a_zone_that_the_token_does_not_see_is_said_and_hides_no_other(plan: Plan, seen: str, hidden: str) -> None:
    config = CloudflareStandinConfig(token=TOKEN, zones=(ZoneConfig(id="0" * 32, name=seen),))
    with CloudflareStandin(config) as standin:
        with pytest.raises(CloudflareError, match=f"{hidden} is no zone"):
            drift(plan, standin)
        unseen: dict[str, str] = {}
        found = find_drift(plan, lambda _line: None, cloudflare_url=standin.api_url, unseen=unseen)
    assert unseen == {"Cloudflare": f"{hidden} is no zone that the API token sees"}
    assert len(found) == len(plan.dns.zones[seen])
