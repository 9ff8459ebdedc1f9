"""A zone that is there: every record sorted, and the entries that take it over are those the settings understand."""

from typing import Any

import yaml

from mailstack.dns import MailExchanger, Record, Text
from mailstack.dns.adoption import entries, sort_records
from mailstack.dns.existing import Decision, Existing, decide
from mailstack.settings.dns_model import ExistingRecord

ZONE = "example.com"
DECLARED = [
    Record.of(ZONE, 300, MailExchanger(preference=1, exchange="smtp.google.com")),
    Record.of(ZONE, 300, Text(value="v=spf1 include:_spf.google.com ~all")),
    Record.of("_dmarc.example.com", 300, Text(value="v=DMARC1; p=reject")),
]


def there(identity: str, name: str, kind: str, content: str, **more: Any) -> Existing:
    shown = {"id": identity, "name": name, "type": kind, "content": content, "ttl": 300, **more}
    return Existing.at_cloudflare(ZONE, "z1", shown)


HELD = [
    there("r1", ZONE, "MX", "smtp.google.com", priority=1),
    there("r2", ZONE, "MX", "mx.former.example", priority=10),
    there("r3", ZONE, "TXT", '"v=spf1 include:spf.former.example ~all"'),
    there("r4", ZONE, "TXT", '"google-site-verification=abc"'),
    there("r5", "_dmarc.example.com", "TXT", '"v=DMARC1; p=reject"'),
    there("r6", "*.example.com", "MX", "park.example", priority=5),
    there("r7", "www.example.com", "A", "192.0.2.80"),
]


def test_every_record_is_sorted_by_what_it_is_to_the_stack() -> None:
    found = sort_records(DECLARED, HELD, ours={"r5"})
    assert {one.existing.record_id: (one.kind, one.action) for one in found} == {
        "r1": ("same", "take-over"),
        "r2": ("other", "keep"),  # one exchanger is declared, so there is one place
        "r3": ("other", "take-over"),
        "r4": ("foreign", None),
        "r5": ("ours", None),
        "r6": ("foreign", None),
        "r7": ("foreign", None),
    }
    assert len(found) == len(HELD)
    assert "two SPF records" in next(one.meaning for one in found if one.existing.record_id == "r3")


def test_the_entries_are_settings_and_decide_every_clash() -> None:
    found = sort_records(DECLARED, HELD, ours={"r5"})
    settings = [ExistingRecord.model_validate(entry) for entry in yaml.safe_load(entries(found))]
    decisions = [Decision(name=one.name, type=one.type, content=one.content, action=one.action) for one in settings]
    clashes = [one.clash for one in found if one.clash is not None]
    undecided, taken = decide(clashes, decisions)
    assert undecided == []
    assert {clash.existing.record_id for clash in taken} == {"r1", "r3"}


def test_a_zone_without_a_clash_needs_no_entries() -> None:
    assert entries(sort_records(DECLARED, [HELD[3], HELD[6]], ours=())) == ""
