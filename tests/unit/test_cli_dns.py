"""`mailstack dns list`: what zones hold, by API, from name servers, or from an export; it changes nothing."""

import json
from pathlib import Path

import pytest
import yaml

from cli.dns import list_zones
from mailstack.plan import Plan, load_plan
from mailstack.reach.zone_file import ZoneFileError, read_zone_file
from rehearsal.cloudflare_standin import CloudflareStandin, CloudflareStandinConfig, ZoneConfig
from tests.unit.mistakes import changed
from tests.unit.stack_examples import example

TOKEN = "t" * 40
EXPORT = """
@ 3600 IN SOA ns1.example.net. h.example.net. 1 2 3 4 5
@ 3600 IN NS ns1.example.net.
@ 300 IN MX 10 mx.former.example.
@ 300 IN TXT "v=spf1 include:spf.former" ".example -all"
www 300 IN A 192.0.2.80
_dmarc 300 IN TXT "v=DMARC1; p=none"
"""


def stack(**dns: object) -> Plan:
    return load_plan(changed(example(), {"dns": dns}))


def at_cloudflare(*zones: ZoneConfig) -> tuple[int, str, int]:
    """Return exit code, text and the number of changes, where only the first zone has a record."""
    config = CloudflareStandinConfig(token=TOKEN, zones=zones)
    with CloudflareStandin(config) as standin:
        body = {"name": zones[0].name, "type": "TXT", "content": '"v=spf1 mx -all"', "ttl": 300}
        standin.store.create(standin.zone_id(zones[0].name), body)
        plan = stack(provider="cloudflare", cloudflare={"api_token": TOKEN})
        lines: list[str] = []
        code = list_zones(plan, lines.append, zone_files={}, url=standin.api_url)
        changes = [request for request in standin.requests() if request.method != "GET"]
        return code, "\n".join(lines), len(changes)


def test_a_zone_at_cloudflare_is_listed_with_what_can_be_done_and_nothing_is_changed() -> None:
    code, text, changes = at_cloudflare(ZoneConfig(name="example.com"), ZoneConfig(name="example.org"))
    assert (code, changes) == (0, 0)
    assert "example.com: 1 records" in text
    assert "two SPF records" in text
    assert "[take-over]" in text
    [entry] = yaml.safe_load(text[text.index("mailstack:dns:") :])["mailstack:dns"]["existing"]
    assert entry == {"name": "example.com", "type": "TXT", "content": "v=spf1 mx -all", "action": "take-over"}


def test_a_zone_that_the_token_does_not_see_is_said_and_is_no_success() -> None:
    code, text, _ = at_cloudflare(ZoneConfig(name="example.com"))
    assert code == 1
    assert "example.org: not looked at: the API token sees no such zone" in text


def test_an_export_lists_everything_but_what_its_host_makes(tmp_path: Path) -> None:
    files = {}
    for zone in ("example.com", "example.org"):
        files[zone] = tmp_path / zone
        files[zone].write_text(EXPORT)
    lines: list[str] = []
    assert list_zones(stack(provider="none"), lines.append, zone_files=files) == 0
    text = "\n".join(lines)
    assert "example.com: 4 records" in text
    assert "www.example.com A 192.0.2.80\n      nothing of ours: stays as it is" in text
    lines.clear()
    list_zones(stack(provider="none"), lines.append, zone_files=files, only_entries=True)
    listed = yaml.safe_load("\n".join(lines))["mailstack:dns"]["existing"]
    spf = {"name": "example.com", "type": "TXT", "content": "v=spf1 include:spf.former.example -all"}
    assert {**spf, "action": "take-over"} in listed
    taken = changed(example(), {"dns": {"provider": "none", "existing": listed}})
    assert load_plan(taken).settings.dns.existing, "what is printed is a stack file's"
    lines.clear()
    assert list_zones(stack(provider="none"), lines.append, zone_files=files, as_json=True) == 0
    document = json.loads("\n".join(lines))
    assert document["zones"] == {"example.com": True, "example.org": True}
    kinds = {(one["name"], one["type"]): (one["kind"], one["action"]) for one in document["records"]}
    assert kinds["www.example.com", "A"] == ("foreign", None)
    assert kinds["example.com", "TXT"] == ("other", "take-over")


@pytest.mark.parametrize("text", ["@ 300 IN MX ten mx.example.", "\0", "@ 300 IN A 1.2.3"])
def test_a_file_that_is_no_zone_is_told_with_its_name(text: str, tmp_path: Path) -> None:
    path = tmp_path / "zone.txt"
    path.write_text(text)
    with pytest.raises(ZoneFileError, match=r"zone\.txt is no zone file of example\.com"):
        read_zone_file("example.com", path)
    with pytest.raises(ZoneFileError, match="missing"):
        read_zone_file("example.com", tmp_path / "missing")
