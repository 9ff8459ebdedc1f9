"""`mailstack dns diff`: declared records against what zones hold; foreign ones are told, and are no difference."""

import json
from pathlib import Path
from typing import Any

import pytest

from cli.dns_diff import WAYS, diff_zones
from cli.main import main
from mailstack.dns import MailExchanger, Record, Text
from mailstack.dns.difference import Difference, differences
from mailstack.dns.existing import Existing
from mailstack.dns.records import Address
from mailstack.plan import Plan, load_plan
from mailstack.reach import drift
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.unit.mistakes import changed
from tests.unit.stack_examples import example

ZONE = "example.com"
TOKEN = "t" * 40
MX = Record.of(ZONE, 3600, MailExchanger(preference=1, exchange="smtp.google.com"))
SPF = Record.of(ZONE, 3600, Text(value="v=spf1 include:_spf.google.com -all"))
RELAY = Record.of(f"relay.{ZONE}", 3600, Address(ip="93.184.216.34"))


def there(record: Record, **changes: Any) -> Existing:
    given = {"zone": ZONE, "name": record.name, "type": record.type, "content": "", "data": record.data,
             "ttl": record.ttl}  # fmt: skip
    return Existing(**{**given, **changes})


def of(*found: Existing, declared: tuple[Record, ...] = (MX, SPF, RELAY)) -> list[tuple[str, str, str]]:
    return [(one.kind, one.name, one.type) for one in differences(ZONE, declared, found)]


def test_what_is_there_as_declared_is_no_difference() -> None:
    assert of(there(MX), there(SPF), there(RELAY)) == []
    assert of(there(MX, ttl=0), there(SPF, ttl=1), there(RELAY)) == [], "no TTL, and an automatic one"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([there(SPF), there(RELAY)], ("missing", ZONE, "MX")),
        ([there(MX), there(SPF), there(RELAY, ttl=60)], ("different", RELAY.name, "A")),
        ([there(MX), there(SPF), there(RELAY, proxied=True)], ("different", RELAY.name, "A")),
        ([there(MX), there(SPF), there(RELAY), there(RELAY, data=Address(ip="93.184.216.99"))],
         ("different", RELAY.name, "A")),
        ([there(MX), there(SPF, data=Text(value="v=spf1 mx -all")), there(RELAY)], ("different", ZONE, "TXT")),
        ([there(MX), there(SPF), there(SPF, data=Text(value="v=spf1 mx -all")), there(RELAY)],
         ("different", ZONE, "TXT")),
        ([there(MX), there(SPF), there(RELAY), there(SPF, data=Text(value="site-verification=1"))],
         ("foreign", ZONE, "TXT")),
        ([there(MX), there(SPF), there(RELAY), there(RELAY, name=f"www.{ZONE}")], ("foreign", f"www.{ZONE}", "A")),
    ],
)  # fmt: skip
def test_each_kind_is_told(found: list[Existing], expected: tuple[str, str, str]) -> None:
    assert of(*found) == [expected]


def test_the_zones_own_records_are_not_foreign() -> None:
    assert of(there(MX), there(SPF), there(RELAY), there(MX, type="NS", data=None, content="ns1.example.net")) == []


def test_a_text_of_ours_beside_foreign_ones_is_missing_where_it_is_missing() -> None:
    ours = Record.of(ZONE, 3600, Text(value="ours"))
    foreign = there(ours, data=Text(value="theirs"))
    assert of(foreign, declared=(ours,)) == [("foreign", ZONE, "TXT"), ("missing", ZONE, "TXT")]


def test_both_sides_are_shown_as_a_zone_file_has_them() -> None:
    (found,) = differences(ZONE, [RELAY], [there(RELAY, data=Address(ip="93.184.216.99"), ttl=60)])
    assert found == Difference(zone=ZONE, kind="different", name=RELAY.name, type="A",
                               declared=("3600 93.184.216.34",), held=("60 93.184.216.99",))  # fmt: skip


def cloudflare_plan() -> Plan:
    return load_plan(changed(example(), {"dns": {"provider": "cloudflare", "cloudflare": {"api_token": TOKEN}}}))


def test_a_whole_zone_at_cloudflare_is_compared_and_nothing_is_changed(tmp_path: Path) -> None:
    plan, lines = cloudflare_plan(), list[str]()
    config = CloudflareStandinConfig(token=TOKEN, zones=(ZoneConfig(name=ZONE), ZoneConfig(name="example.org")))
    with CloudflareStandin(config) as standin:
        body = {"name": f"www.{ZONE}", "type": "A", "content": "192.0.2.80", "ttl": 300}
        standin.store.create(standin.zone_id(ZONE), body)
        code = diff_zones(plan, lines.append, zone_files={}, as_json=True, url=standin.api_url)
        changes = [request for request in standin.requests() if request.method != "GET"]
    document = json.loads(lines[0])
    assert (code, changes) == (2, [])
    kinds = [one["kind"] for one in document["differences"]]
    assert (kinds.count("missing"), kinds.count("foreign")) == (len(plan.dns.records), 1)
    assert document["zones"] == {ZONE: True, "example.org": True}


def test_a_zone_that_was_not_seen_is_no_success_and_no_difference() -> None:
    plan, lines = cloudflare_plan(), list[str]()
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=())) as standin:
        assert diff_zones(plan, lines.append, zone_files={}, url=standin.api_url) == 1
    assert f"{ZONE}: not looked at: the API token sees no such zone" in lines


def test_an_export_of_what_is_declared_is_as_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = changed(example(), {"dns": {"provider": "none"}})
    plan = load_plan(raw)
    flags = []
    for zone, text in plan.dns.texts.items():
        (tmp_path / zone).write_text(f"@ 3600 IN SOA a. b. 1 2 3 4 5\n@ 3600 IN NS a.\n{text}")
        flags += ["--zone-file", f"{zone}={tmp_path / zone}"]
    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: raw)
    assert main(["dns", "diff", "--stack", "prod", *flags]) == 0
    assert capsys.readouterr().out == "example.com: as declared\nexample.org: as declared\n"
    zone_file = tmp_path / ZONE
    zone_file.write_text(zone_file.read_text().replace("93.184.216.34", "93.184.216.99", 1))
    assert main(["dns", "diff", "--stack", "prod", *flags]) == 2
    out = capsys.readouterr().out
    assert "~ relay.example.com A: different" in out
    assert "declared 3600 93.184.216.34" in out
    assert "enter declared records where the zones are kept" in out


@pytest.mark.parametrize(
    ("provider", "way"), [("cloudflare", "`pulumi up --refresh`"), ("server", "`mailstack drift --repair`")]
)
def test_what_brings_a_record_back_that_somebody_took_away_is_told_for_each_provider(provider: str, way: str) -> None:
    assert way in WAYS[provider]
