"""Drift as the real engine sees it: what somebody changed at Cloudflare is told by resource, and nothing is changed."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailstack.reach.engine_drift import engine_drift, engine_preview
from mailstack.reach.errors import DriftError
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.engine import Engine
from tests.engine.test_first_day import ZONE, ZONE_ID, Zone

pytestmark = pytest.mark.engine

MX, DMARC = "dns-example.com-mx-smtp.google.com", "dns-_dmarc.example.com-txt-dmarc"


@pytest.fixture(scope="module")
def zone(cli: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Zone]:
    config = CloudflareStandinConfig(token="t" * 40, zones=(ZoneConfig(id=ZONE_ID, name=ZONE),))
    with CloudflareStandin(config) as standin:
        zone = Zone(tmp_path_factory.mktemp("drift"), standin)
        zone.engine.up()
        yield zone


def look(engine: Engine) -> list[str]:
    arguments = ["--stack", engine.stack, "--config-file", str(engine.config_file)]
    return engine_drift(engine.run("preview", "--refresh", "--json", *arguments, quiet=True))


def test_drift_is_told_by_resource_and_nothing_is_changed(zone: Zone) -> None:
    assert look(zone.engine) == []
    shown = {(one["name"], one["type"]): one for one in zone.standin.store.records(ZONE_ID)}
    mx = shown[ZONE, "MX"]
    zone.standin.store.update(ZONE_ID, mx["id"], {**mx, "ttl": 60}, merge=False)
    gone = next(one for (name, _), one in shown.items() if name == f"_dmarc.{ZONE}")
    zone.standin.store.delete(ZONE_ID, gone["id"])
    before = zone.records()
    told = [f"{MX}: is not as declared: ttl is 60, declared is 3600", f"{DMARC}: is not there"]
    assert sorted(look(zone.engine)) == sorted(told)
    assert sorted(look(zone.engine)) == sorted(told), "the first look has not entered it into the state"
    assert zone.records() == before
    zone.raw["relay"]["queue_lifetime_hours"] = 24
    zone.engine.configure(zone.raw)
    assert "relay-postfix: is declared and was not brought up yet; `pulumi up` does" in look(zone.engine)


def test_an_engine_that_cannot_look_is_told_with_its_reason(
    zone: Zone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in zone.engine.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DriftError, match="no stack named 'nowhere' found"):
        engine_preview("nowhere", zone.engine.folder)
    exported = json.loads(zone.engine.run("stack", "export", "--stack", zone.engine.stack, quiet=True))
    assert not exported["deployment"].get("pending_operations")
