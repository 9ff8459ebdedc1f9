"""A stack with many zones asks Cloudflare once, keeps within its rate limit, and never acts on what it saw before."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mailstack.plan import Plan, load_plan
from mailstack.plan.first_day import Ours, Surroundings, first_day
from mailstack.reach.pace import Pace
from mailstack.reach.recent import KEPT_SECONDS, Recent
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.problems import SettingsError
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
NAMES = ["example.com", *(f"d{number:03}.example" for number in range(119))]
TOKEN = "t" * 40
OLD_SPF = '"v=spf1 ip4:93.184.216.99 -all"'
TOLD = re.escape("d007.example TXT v=spf1 ip4:93.184.216.99")


def many(calls: int = 1100) -> Plan:
    """Return the plan of the production stack with all of ``NAMES``, zone IDs not known."""
    raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
    raw["domains"] = [{"name": name, "dmarc": {"policy": "reject"}} for name in NAMES]
    raw["dns"]["cloudflare"] = {"api_token": TOKEN, "rate_limit": {"calls": calls, "seconds": 300}}
    return load_plan(raw)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return many()


@pytest.fixture
def standin() -> Iterator[CloudflareStandin]:
    zones = tuple(ZoneConfig(id=f"{number:032x}", name=name) for number, name in enumerate(NAMES))
    with CloudflareStandin(CloudflareStandinConfig(token=TOKEN, zones=zones)) as running:
        yield running


def around(standin: CloudflareStandin, folder: Path) -> Surroundings:
    return Surroundings(cloudflare_url=standin.api_url, resolvers=(), recent=folder / "kept" / "recent.json")


def add_spf(standin: CloudflareStandin, zone: str) -> str:
    body = {"name": zone, "type": "TXT", "content": OLD_SPF, "ttl": 300}
    return str(standin.store.create(standin.zone_id(zone), body)["id"])


def test_the_update_after_a_preview_asks_nothing_again(plan: Plan, standin: CloudflareStandin, tmp_path: Path) -> None:
    first, warnings = first_day(plan, Ours(), around(standin, tmp_path))
    asked = len(standin.requests())
    assert asked == 3 + len(NAMES), "three pages of zones, and every zone once"
    assert warnings == ()
    second, _ = first_day(plan, Ours(), around(standin, tmp_path))
    assert len(standin.requests()) == asked
    assert second.dns.cloudflare is not None
    assert first.dns.cloudflare is not None
    assert second.dns.cloudflare.zone_ids == first.dns.cloudflare.zone_ids
    assert len(second.dns.cloudflare.made) == asked, "the update knows what the preview used of the rate limit"


def test_what_is_refused_is_refused_for_what_is_there_now(
    plan: Plan, standin: CloudflareStandin, tmp_path: Path
) -> None:
    record = add_spf(standin, "d007.example")
    with pytest.raises(SettingsError, match=TOLD):
        first_day(plan, Ours(), around(standin, tmp_path))
    asked = len(standin.requests())
    with pytest.raises(SettingsError, match=TOLD):
        first_day(plan, Ours(), around(standin, tmp_path))
    assert len(standin.requests()) == asked + 1, "only the zone in doubt is asked about again"
    standin.store.delete(standin.zone_id("d007.example"), record)
    first_day(plan, Ours(), around(standin, tmp_path))


def test_a_clash_is_told_where_there_are_no_calls_left_to_look_again(
    standin: CloudflareStandin, tmp_path: Path
) -> None:
    add_spf(standin, "d007.example")
    plan = many(calls=3 + len(NAMES))
    for _ in range(2):
        with pytest.raises(SettingsError, match=TOLD):
            first_day(plan, Ours(), around(standin, tmp_path))


def test_a_checkout_that_nobody_may_write_to_costs_calls_and_nothing_else(
    plan: Plan, standin: CloudflareStandin, tmp_path: Path
) -> None:
    (tmp_path / "kept").write_text("a file where the folder would be")
    for _ in range(2):
        _, warnings = first_day(plan, Ours(), around(standin, tmp_path))
        assert warnings == ()


def test_a_file_that_is_not_ours_is_as_good_as_none(plan: Plan, standin: CloudflareStandin, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    for text in ("", "[]", '{"answers": 1}', "\0"):
        (tmp_path / "kept" / "recent.json").write_text(text)
        first_day(plan, Ours(), around(standin, tmp_path))


def test_what_is_wrong_with_many_domains_is_said_once(plan: Plan) -> None:
    told = [sentence for sentence in plan.dns.warnings if "[dkim-missing;" in sentence]
    assert len(told) == 1
    assert told[0].startswith("example.com DKIM, d000.example DKIM, d001.example DKIM and 117 more: found no key")
    assert len(plan.dns.warnings) < 10


def test_zones_beyond_the_rate_limit_are_said_in_one_sentence(standin: CloudflareStandin, tmp_path: Path) -> None:
    _, warnings = first_day(many(calls=50), Ours(), around(standin, tmp_path))
    [sentence] = warnings
    assert "there was no time left to ask Cloudflare" in sentence
    assert "and 70 more hold was not looked at" in sentence
    assert len(standin.requests()) == 50


def test_records_that_are_as_declared_do_not_wait(plan: Plan, standin: CloudflareStandin, tmp_path: Path) -> None:
    found, _ = first_day(plan, Ours(), around(standin, tmp_path))
    assert len(found.dns.unwritten) == len(plan.dns.records)
    record = next(record for record in plan.dns.records if record.type == "A")
    zone = standin.zone_id("example.com")
    there = Ours(contents={(zone, record.name, str(record.data.ip)): record.ttl})  # type: ignore[union-attr]
    found, _ = first_day(plan, there, around(standin, tmp_path))
    assert found.dns.unwritten == frozenset(plan.dns.records) - {record}
    other_ttl = replace(there, contents=dict.fromkeys(there.contents, 60))
    found, _ = first_day(plan, other_ttl, around(standin, tmp_path))
    assert record in found.dns.unwritten, "a new TTL is a call as well"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_no_window_holds_more_calls_than_allowed() -> None:
    clock = Clock()
    pace = Pace(5, 10.0, made=[992.0, 999.0], clock=clock)
    times = []
    for step in (0, 0, 0, 0, 0.5, 3, 0, 0, 0, 20, 0, 0):
        clock.now += step
        wait = pace.turn()
        assert wait is not None
        times.append(clock.now + wait)
    every = sorted([992.0, 999.0, *times])
    assert all(later - sooner >= 10.0 for sooner, later in zip(every, every[5:], strict=False))
    assert times[:3] == [1000.0, 1000.0, 1000.0], "nobody waits who need not"
    assert times[3] == 1002.0


def test_calls_that_are_made_late_come_in_equal_distances() -> None:
    clock = Clock()
    pace = Pace(5, 10.0, made=[999.0, 999.0, 999.0], evenly=True, clock=clock)
    waits = [pace.turn() for _ in range(5)]
    assert waits == [1.0, 3.0, 9.0, 11.0, 13.0], "two are left of the window, then it goes on as it began"


def test_a_turn_that_would_come_too_late_is_not_taken() -> None:
    clock = Clock()
    pace = Pace(1, 10.0, clock=clock)
    assert pace.turn(within=0.0) == 0.0
    assert pace.turn(within=9.0) is None
    assert pace.turn(within=11.0) == 10.0


def test_answers_and_calls_of_long_ago_are_not_kept(tmp_path: Path) -> None:
    clock = Clock()
    file = tmp_path / "recent.json"
    recent = Recent(file, clock=clock)
    recent.put("question", {"answer": 1})
    recent.save([clock.now])
    assert Recent(file, clock=clock).get("question") == {"answer": 1}
    clock.now += KEPT_SECONDS + 1
    later = Recent(file, clock=clock)
    assert later.get("question") is None
    assert later.calls == []
