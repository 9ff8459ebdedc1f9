"""Before anything is made: does the zone take it, and does anybody ask Cloudflare about it?"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from mailstack.dns.zone_facts import ZoneFacts
from mailstack.plan import Plan, load_plan
from mailstack.plan.first_day import Ours, Surroundings, first_day
from mailstack.settings.problems import SettingsError
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.unit.mistakes import changed
from tests.unit.name_server import NameServer
from tests.unit.stack_examples import example

TOKEN = "t" * 40
ZONE_ID, OTHER_ID = "0" * 31 + "1", "0" * 31 + "2"
SERVERS = ("ada.ns.cloudflare.com", "bob.ns.cloudflare.com")
Noted = tuple[str, ...]


def declared(*existing: dict[str, str]) -> Plan:
    zones = {"example.com": ZONE_ID, "example.org": OTHER_ID}
    cloudflare = {"api_token": TOKEN, "zones": zones}
    dns = {"provider": "cloudflare", "cloudflare": cloudflare, "existing": list(existing)}
    return load_plan(changed(example(), {"dns": dns}))


@pytest.fixture
def plan() -> Plan:
    return declared()


def look(declared_plan: Plan, *, resolvers: tuple[str, ...] = (), held: int = 0, **zone: object) -> tuple[Plan, Noted]:
    """Look at a zone that has ``held`` foreign records."""
    zones = [ZoneConfig(id=ZONE_ID, name="example.com", **zone), ZoneConfig(id=OTHER_ID, name="example.org")]  # type: ignore[arg-type]
    config = CloudflareStandinConfig(token=TOKEN, zones=tuple(zones), record_quota=5000)
    with CloudflareStandin(config) as standin:
        for number in range(held):
            body = {"name": f"h{number}.example.com", "type": "A", "content": "93.184.216.34", "ttl": 300}
            standin.store.create(ZONE_ID, body)
        around = Surroundings(cloudflare_url=standin.api_url, resolvers=resolvers)
        return first_day(declared_plan, Ours(), around)


def in_zone(plan: Plan) -> int:
    return len(plan.dns.zones["example.com"])


def test_a_zone_whose_plan_is_too_small_is_told_before_anything_is_made(plan: Plan) -> None:
    room = 200 - in_zone(plan)
    look(plan, held=room)
    with pytest.raises(SettingsError) as told:
        look(plan, held=room + 1)
    [problem] = told.value.problems
    assert problem.field == "dns.cloudflare.zones"
    assert f"holds {room + 1} records and is to get {in_zone(plan)} more" in problem.value
    assert "takes 200" in problem.rule
    look(plan, held=room + 1, plan="pro")


def test_a_record_that_is_taken_over_needs_no_place(plan: Plan) -> None:
    taken = {"name": "example.com", "type": "MX", "content": "10 old.example.net", "action": "take-over"}
    zones = (ZoneConfig(id=ZONE_ID, name="example.com"), ZoneConfig(id=OTHER_ID, name="example.org"))
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as standin:
        mx = {"name": "example.com", "type": "MX", "content": "old.example.net", "priority": 10, "ttl": 300}
        standin.store.create(ZONE_ID, mx)
        for number in range(200 - in_zone(plan)):
            body = {"name": f"h{number}.example.com", "type": "A", "content": "93.184.216.34", "ttl": 300}
            standin.store.create(ZONE_ID, body)
        found, _ = first_day(declared(taken), Ours(), Surroundings(cloudflare_url=standin.api_url, resolvers=()))
    assert len(found.dns.taken) == 1


@pytest.mark.parametrize(
    ("plan_name", "created", "quota"),
    [
        ("free", "2024-08-31T23:59:59Z", 1000),
        ("free", "2024-09-01T00:00:00Z", 200),
        ("pro", "2026-01-01T00:00:00Z", 3500),
        ("enterprise", "2020-01-01T00:00:00Z", 3500),
        ("partners_pro", "2020-01-01T00:00:00Z", None),
    ],
)
def test_what_a_zone_takes_follows_from_its_plan_and_age(plan_name: str, created: str, quota: int | None) -> None:
    shown = {"name": "example.com", "plan": {"legacy_id": plan_name}, "created_on": created, "status": "active"}
    assert ZoneFacts.at_cloudflare(shown).quota == quota


def test_a_token_that_may_not_see_zones_is_no_reason_to_fail(plan: Plan) -> None:
    _, notes = look(plan, held=300, permissions=("#dns_records:read", "#dns_records:edit"))
    assert notes == ()


def test_a_zone_that_is_not_active_yet_is_told_with_the_servers_to_name(plan: Plan) -> None:
    _, notes = look(plan, status="pending")
    [note] = notes
    assert "example.com is not delegated" in note
    assert "Cloudflare calls it pending" in note
    assert " and ".join(SERVERS) in note


@pytest.fixture
def resolver() -> Iterator[NameServer]:
    zone = "@ 300 SOA ns1 h 1 2 3 4 5\n@ 300 NS {}\n@ 300 NS ns2.{}\n"
    served = {
        "example.com": zone.format("ns1.old.example.", "old.example."),
        "example.org": zone.format("ADA.ns.cloudflare.com.", "x."),
    }
    with NameServer(served, recursive=True) as running:
        yield running


def test_a_zone_whose_registrar_names_others_is_told_with_who_they_are(plan: Plan, resolver: NameServer) -> None:
    _, notes = look(plan, resolvers=(f"127.0.0.1:{resolver.port}",))
    [note] = notes
    assert note.startswith(
        "zone example.com is not delegated to Cloudflare (resolvers see ns1.old.example, ns2.old.example)"
    )


def hasty(plan: Plan) -> Plan:
    settings = plan.settings.model_copy(update={"dns": plan.settings.dns.model_copy(update={"look_seconds": 1})})
    return replace(plan, settings=settings)


@pytest.mark.slow
def test_a_resolver_that_does_not_answer_says_nothing_against_a_zone(plan: Plan) -> None:
    with NameServer({}, silent=True) as silent:
        _, notes = look(hasty(plan), resolvers=(f"127.0.0.1:{silent.port}",))
    assert notes == ()
