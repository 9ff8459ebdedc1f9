"""A first day that breaks nothing: a live zone's records of before are told, taken over or left, never doubled.

The engine is real, Cloudflare's API is the stand-in, and no host is reached (``dry_plugin``).
"""

import copy
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mailstack.settings.initialise import rehearsal_config
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from rehearsal.engine import Engine, EngineError
from tests.engine.conftest import ROOT
from tests.engine.dry_plugin import GATE_SECONDS
from tests.engine.stage import DONE

pytestmark = pytest.mark.engine

ZONE, ZONE_ID = "example.com", "0123456789abcdef0123456789abcdef"
OLD_SPF = "v=spf1 include:spf.newsletter.example ip4:93.184.216.99 ~all"
OLD_DMARC = "v=DMARC1; p=none; rua=mailto:old@example.com"
NEW_SPF = "v=spf1 include:_spf.google.com include:spf.example.net -all"
VERIFICATION = "google-site-verification=abc"
Record = dict[str, Any]


class Zone:
    """The production stack's zone as a company had it, and the stack that comes to it."""

    def __init__(self, folder: Path, standin: CloudflareStandin) -> None:
        self.standin = standin
        self.lines: list[str] = []
        self.engine = Engine("prod-first", folder, self.lines.append, plugins={"command": "tests.engine.dry_plugin"})
        self.engine.environment["CLOUDFLARE_BASE_URL"] = standin.api_url
        self.raw = rehearsal_config(ROOT / "Pulumi.prod.yaml")
        self.raw["dns"]["cloudflare"]["api_token"] = standin.config.token
        self.engine.configure(self.raw)
        self.engine.select()

    def add(self, kind: str, name: str, content: str, **more: Any) -> None:
        body = {"name": name, "type": kind, "content": f'"{content}"' if kind == "TXT" else content, "ttl": 300, **more}
        self.standin.store.create(ZONE_ID, body)

    def records(self) -> list[tuple[str, str, str]]:
        """Return name, type and content of everything in the zone, sorted."""
        shown = self.standin.store.records(ZONE_ID)
        return sorted((str(r["name"]), str(r["type"]), str(r["content"]).strip('"')) for r in shown)

    def at(self, name: str, kind: str) -> list[str]:
        return [content for owner, type_, content in self.records() if (owner, type_) == (name, kind)]

    def existing(self, *entries: Record) -> None:
        self.raw["dns"]["existing"] = list(entries)
        self.engine.configure(self.raw)

    def run(self, command: Callable[[], str]) -> tuple[int, str]:
        self.lines.clear()
        try:
            return 0, command()
        except EngineError as error:
            return 1, str(error) + "\n".join(self.lines)

    def preview(self) -> tuple[int, str]:
        return self.run(lambda: self.engine.preview("--diff"))

    def up(self) -> dict[str, str]:
        code, text = self.run(self.engine.up)
        assert code == 0, text
        return {name: done for _, name, done in DONE.findall(text)}


@pytest.fixture
def zone(cli: None, tmp_path: Path) -> Iterator[Zone]:
    config = CloudflareStandinConfig(token="t" * 40, zones=(ZoneConfig(id=ZONE_ID, name=ZONE),))
    with CloudflareStandin(config) as standin:
        yield Zone(tmp_path, standin)


def refused(zone: Zone, *parts: str) -> str:
    """Both preview and up refuse, before anything is made; return what they say."""
    before = zone.records()
    code, text = zone.preview()
    assert code == 1, text
    again, _ = zone.run(zone.engine.up)
    assert again == 1
    assert zone.records() == before, "nothing was made"
    for part in parts:
        assert part in text, text
    return text


def test_another_spf_record_is_told_with_the_ways_out(zone: Zone) -> None:
    zone.add("TXT", ZONE, OLD_SPF)
    zone.add("TXT", ZONE, VERIFICATION)
    text = refused(
        zone,
        "mailstack:dns.existing is example.com TXT v=spf1 include:spf.newsletter.example",
        "stands against the declared example.com TXT: two SPF records are a permanent error",
        "action: take-over",
        "domains[0].spf.include: [spf.newsletter.example]",
        "domains[0].spf.mechanisms: [ip4:93.184.216.99]",
    )
    assert VERIFICATION not in text, "free texts of others are nobody's business"


def test_a_record_taken_over_is_imported_as_it_is_and_changed_by_the_next_update(zone: Zone) -> None:
    zone.add("TXT", ZONE, OLD_SPF, comment="made by hand in 2019")
    zone.add("TXT", ZONE, VERIFICATION)
    zone.existing({"name": ZONE, "type": "TXT", "action": "take-over", "content": OLD_SPF})
    code, text = zone.preview()
    assert code == 0, text
    done = zone.up()
    assert done["dns-example.com-txt-spf"] == "imported"
    assert zone.at(ZONE, "TXT") == [VERIFICATION, OLD_SPF], "zero difference"
    code, text = zone.preview()
    assert code == 0
    assert OLD_SPF in text
    assert NEW_SPF in text, "the reviewer sees the live record change"
    assert zone.up() == {"dns-example.com-txt-spf": "updated"}
    assert zone.at(ZONE, "TXT") == [VERIFICATION, NEW_SPF], "one SPF record at every moment"
    zone.existing()
    assert zone.up() == {}, "the decision is not needed any more"


def test_another_dmarc_record_is_told_and_taken_over(zone: Zone) -> None:
    zone.add("TXT", f"_dmarc.{ZONE}", OLD_DMARC)
    refused(
        zone,
        "with two DMARC records none counts",
        "domains[0].dmarc.policy: none",
        "domains[0].dmarc.aggregate_reports: [old@example.com]",
    )
    zone.existing({"name": f"_dmarc.{ZONE}", "type": "TXT", "action": "keep"})
    refused(zone, "with two DMARC records none counts")
    zone.existing({"name": f"_dmarc.{ZONE}", "type": "TXT", "action": "take-over"})
    zone.up()
    assert zone.at(f"_dmarc.{ZONE}", "TXT") == [OLD_DMARC]
    zone.up()
    [now] = zone.at(f"_dmarc.{ZONE}", "TXT")
    assert now.startswith("v=DMARC1; p=reject")


def test_mx_of_a_former_provider_is_told_and_may_stay(zone: Zone) -> None:
    zone.add("MX", ZONE, "mx.former.example", priority=10)
    refused(
        zone,
        "example.com MX 10 mx.former.example",
        "mail would go to both",
        "add `{preference: 10, exchange: mx.former.example}` to domains[0].mx",
        "action: keep",
    )
    zone.existing({"name": ZONE, "type": "MX", "action": "keep"})
    zone.up()
    assert zone.at(ZONE, "MX") == ["mx.former.example", "smtp.google.com"]
    assert zone.up() == {}


def test_mx_taken_over_becomes_the_new_one_in_place(zone: Zone) -> None:
    zone.add("MX", ZONE, "mx.former.example", priority=10)
    zone.existing({"name": ZONE, "type": "MX", "action": "take-over"})
    zone.up()
    assert zone.at(ZONE, "MX") == ["mx.former.example"]
    zone.up()
    assert zone.at(ZONE, "MX") == ["smtp.google.com"]


def test_an_identical_record_is_told_before_half_of_the_stack_is_up(zone: Zone) -> None:
    zone.add("A", "relay.example.com", "93.184.216.34")
    refused(zone, "is the very record that is declared", "81058")
    zone.existing({"name": "relay.example.com", "type": "A", "action": "take-over"})
    assert zone.up()["dns-relay.example.com-a-93.184.216.34"] == "imported"
    assert zone.at("relay.example.com", "A") == ["93.184.216.34"]


def test_a_cname_where_a_text_goes_is_told(zone: Zone) -> None:
    zone.add("CNAME", "mail202611._domainkey.example.com", "dkim.provider.example")
    text = refused(zone, "a CNAME is alone at its name", "remove it where the zone is kept")
    assert "action: take-over" not in text, "another type cannot become this one"


def test_a_wildcard_that_answers_for_a_new_name_is_told_and_may_stay(zone: Zone) -> None:
    zone.add("A", "*.example.com", "198.51.100.9")
    refused(zone, "*.example.com A 198.51.100.9", "it answers for these names today", "action: keep")
    zone.existing({"name": "*.example.com", "type": "A", "action": "keep"})
    zone.up()
    assert zone.at("*.example.com", "A") == ["198.51.100.9"]


def test_foreign_records_are_never_touched(zone: Zone) -> None:
    zone.add("A", "www.example.com", "198.51.100.7")
    zone.add("TXT", ZONE, VERIFICATION)
    zone.add("MX", "lists.example.com", "mx.lists.example", priority=5)
    zone.up()
    assert zone.at("www.example.com", "A") == ["198.51.100.7"]
    assert VERIFICATION in zone.at(ZONE, "TXT")
    zone.engine.destroy()
    assert len(zone.records()) == 3


def test_what_is_ours_already_is_not_looked_at_again(zone: Zone) -> None:
    zone.up()
    seen = len(zone.standin.store.requests())
    assert zone.up() == {}
    assert len(zone.standin.store.requests()) == seen, "a zone where nothing is made costs no call"
    raw = copy.deepcopy(zone.raw)
    raw["domains"][0]["spf"]["include"] = []
    raw["domains"][0]["spf"].pop("lookups")
    zone.engine.configure(raw)
    assert zone.up() == {"dns-example.com-txt-spf": "updated"}, "our own record of before is no clash"


def test_zone_ids_are_looked_up_and_a_zone_nobody_sees_is_told(zone: Zone) -> None:
    zone.raw["dns"]["cloudflare"]["zones"] = [ZONE]
    zone.engine.configure(zone.raw)
    assert zone.up()["dns-example.com-txt-spf"] == "created"
    zone.raw["dns"]["cloudflare"]["zones"] = [ZONE, "other.example"]
    zone.engine.configure(zone.raw)
    refused(zone, "mailstack:dns.cloudflare.zones is other.example: is no zone that the API token sees")


def test_without_an_answer_the_plan_goes_on_and_says_what_was_not_looked_at(zone: Zone) -> None:
    zone.engine.environment["CLOUDFLARE_BASE_URL"] = "http://127.0.0.1:9"
    code, text = zone.preview()
    assert code == 0, text
    assert "what zone example.com holds was not looked at" in text


def test_mx_and_dmarc_follow_spf_and_dkim_of_their_own_domain(zone: Zone) -> None:
    """Whatever fails or is slow, no receiver is told to reject what cannot be verified yet."""
    zone.up()
    exported = json.loads(zone.engine.run("stack", "export", "--stack", zone.engine.stack, quiet=True))
    waits = {
        entry["urn"].rpartition("::")[2]: {urn.rpartition("::")[2] for urn in entry.get("dependencies", ())}
        for entry in exported["deployment"]["resources"]
    }
    for last in ("dns-example.com-mx-smtp.google.com", "dns-_dmarc.example.com-txt-dmarc"):
        assert {
            "dns-example.com-txt-spf",
            "dns-mail202611._domainkey.example.com-txt-dkim",
            "relay-postfix",
        } <= waits[last]
    assert "dns-mail202611._domainkey.example.com-txt-dkim" not in waits["dns-_dmarc.notify.example.com-txt-dmarc"]


def _opens(gate: Path, when: Callable[[], bool]) -> bool:
    """Open the gate once ``when`` holds, and say whether it did within the time the failure is held back."""
    deadline = time.monotonic() + GATE_SECONDS
    while time.monotonic() < deadline:
        if when():
            gate.touch()
            return True
        time.sleep(0.05)
    return False


def test_mx_and_dmarc_follow_the_hosts(zone: Zone, tmp_path: Path) -> None:
    """A host that fails leaves MX and DMARC of a live domain as they were; addresses, SPF and DKIM wait for no host."""
    zone.add("MX", ZONE, "mx.former.example", priority=10)
    zone.existing({"name": ZONE, "type": "MX", "action": "keep"})
    gate = tmp_path / "relay-may-fail"
    zone.engine.environment |= {"DRY_FAILS": "relay-postfix", "DRY_FAILS_AFTER": str(gate)}
    with ThreadPoolExecutor(1) as beside:
        opened = beside.submit(
            _opens,
            gate,
            lambda: (
                zone.at("relay.example.com", "A") == ["93.184.216.34"]
                and zone.at(ZONE, "TXT") == [NEW_SPF]
                and len(zone.at("mail202611._domainkey.example.com", "TXT")) == 1
            ),
        )
        code, text = zone.run(zone.engine.up)
        assert opened.result(), f"made while the relay was still at work: {zone.records()}"
    assert code == 1
    assert "relay-postfix" in text
    assert zone.at(ZONE, "MX") == ["mx.former.example"]
    assert zone.at(f"_dmarc.{ZONE}", "TXT") == []
    assert zone.at("relay.example.com", "A") == ["93.184.216.34"]
    assert zone.at(ZONE, "TXT") == [NEW_SPF]
    del zone.engine.environment["DRY_FAILS"]
    zone.up()
    assert zone.at(ZONE, "MX") == ["mx.former.example", "smtp.google.com"]
    assert len(zone.at(f"_dmarc.{ZONE}", "TXT")) == 1
