"""The records follow from the settings: the upstream decides SPF and MX, keys and hosts decide the rest."""

import ipaddress
import re
from typing import Any

import dns.rdatatype
import dns.zone
import pytest

from mailstack.plan import Plan, load_plan
from mailstack.settings.problems import SettingsError
from tests.unit.plan_parts import has_run, role_settings
from tests.unit.stack_examples import HOST_KEY, dkim_key, dkim_public_key, example, postal_example

SENDGRID = {"preset": "sendgrid", "auth": "sasl", "username": "apikey", "password": "SG.abc"}
CUSTOM = {"preset": "custom", "host": "smtp.example.net"}
SERVER: dict[str, Any] = {
    "provider": "server",
    "server": {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "dns.admin@example.com"},
}


def stack(upstream: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Return the example with another upstream; ``changes`` replace top-level keys."""
    raw = example(**changes)
    if upstream is not None:
        raw["relay"]["upstream"] = upstream
        del raw["relay_rule"]  # a rule of Google's
    return raw


def presented(settings: Plan) -> set[tuple[str, str, str]]:
    """Return name, type and data of all records as dnspython reads them from the zone outputs."""
    found: set[tuple[str, str, str]] = set()
    rdata: Any  # dnspython types only what all kinds have
    for zone, text in settings.dns.texts.items():
        lines = dns.zone.from_text(text, origin=zone, relativize=False, check_origin=False)
        for name, _, rdata in lines.iterate_rdatas():
            kind = dns.rdatatype.to_text(rdata.rdtype)
            value = b"".join(rdata.strings).decode() if kind == "TXT" else rdata.to_text()
            found.add((name.to_text(omit_final_dot=True), kind, value))
    return found


def values(raw: dict[str, Any], name: str, kind: str) -> list[str]:
    """Return the data of the records of one name and type, sorted."""
    return sorted(value for owner, type_, value in presented(load_plan(raw)) if (owner, type_) == (name, kind))


def refusals(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_plan(raw)
    return [str(problem) for problem in caught.value.problems]


def test_with_google_upstream_spf_contains_google() -> None:
    assert values(example(), "example.org", "TXT") == ["v=spf1 include:_spf.google.com ~all"]


def test_with_google_upstream_mail_arrives_at_google() -> None:
    assert values(example(), "example.com", "MX") == ["1 smtp.google.com."]


def test_two_senders_share_one_spf_record() -> None:
    record = "v=spf1 include:_spf.google.com include:spf.example.net -all"
    assert values(example(), "example.com", "TXT") == [record]


def test_the_upstream_listed_again_costs_nothing() -> None:
    raw = example()
    raw["domains"][1]["spf"] = {"mechanisms": ["include:_spf.google.com", "ip4:93.184.216.40/32"]}
    [record] = values(raw, "example.org", "TXT")
    assert record.count("_spf.google.com") == 1
    assert "ip4:93.184.216.40 " in record


def test_with_an_upstream_of_no_spf_the_relays_own_addresses_may_send() -> None:
    [record] = values(stack(CUSTOM), "example.org", "TXT")
    assert record == "v=spf1 ip4:93.184.216.34 ip6:2606:2800:220:1:248:1893:25c8:1946 ~all"


def test_only_the_addresses_in_use_are_in_spf_and_in_dns() -> None:
    raw = stack(CUSTOM)
    raw["relay"]["ip_protocol"] = "ipv4"
    assert values(raw, "example.org", "TXT") == ["v=spf1 ip4:93.184.216.34 ~all"]
    assert values(raw, "relay.example.com", "A") == ["93.184.216.34"]
    assert values(raw, "relay.example.com", "AAAA") == []


MACRO_INCLUDES = ("%{ir}.%{v}.%{d}.spf.has.pphosted.com", "%{ir}.%{d}._spf.myexpurgate.com", "%{d1r+}.spf.example.net")


@pytest.mark.parametrize("include", MACRO_INCLUDES)
def test_an_include_may_have_macros_and_costs_what_is_stated(include: str) -> None:
    raw = example()
    raw["domains"][1]["spf"] = {"include": [include], "lookups": {include: 3}}
    assert values(raw, "example.org", "TXT") == [f"v=spf1 include:_spf.google.com include:{include} ~all"]
    raw["domains"][1]["spf"]["lookups"][include] = 8
    assert any("12 DNS lookups" in line for line in refusals(raw)), "counted with the others"


@pytest.mark.parametrize("include", ["%{x}.example.net", "%{d", "%(d).example.net", "%{ir}.1", "a b%{d}"])
def test_a_wrong_macro_is_refused(include: str) -> None:
    raw = example()
    raw["domains"][1]["spf"] = {"include": [include]}
    [line] = refusals(raw)
    assert line.startswith("mailstack:domains[1].spf.include[0] is "), "the very item is named"


def test_redirect_takes_the_place_of_all() -> None:
    raw = example()
    raw["domains"][1]["spf"] = {"redirect": "_spf.example.net"}
    assert values(raw, "example.org", "TXT") == ["v=spf1 include:_spf.google.com redirect=_spf.example.net"]
    raw["domains"][1]["spf"]["all"] = "-all"
    [line] = refusals(raw)
    assert "a redirect together with -all" in line
    assert "remove `spf.all`" in line, "a fix that can be followed"


def test_a_neutral_ending_is_taken_with_a_warning() -> None:
    raw = example()
    raw["domains"][1]["spf"] = {"all": "?all"}
    assert values(raw, "example.org", "TXT") == ["v=spf1 include:_spf.google.com ?all"]
    assert any('"?all"' in sentence for sentence in load_plan(raw).dns.warnings)


def test_a_served_mta_sts_policy_has_its_record_with_an_id_of_the_policys_bytes() -> None:
    raw = postal_example()
    policy = {"domain": "example.com", "mode": "testing", "mx": ["smtp.google.com"]}
    raw["caddy"]["mta_sts"] = [policy]
    [testing] = values(raw, "_mta-sts.example.com", "TXT")
    assert re.fullmatch(r"v=STSv1; id=[A-Za-z0-9]{1,32}", testing)
    assert values(raw, "_mta-sts.example.com", "TXT") == [testing], "the same policy has the same id"
    policy["mode"] = "enforce"
    assert values(raw, "_mta-sts.example.com", "TXT") != [testing], "senders fetch a changed policy"
    plan = load_plan(raw)
    assert {record.name for record in plan.dns.last if record.type == "TXT"} >= {"_mta-sts.example.com"}
    assert values(postal_example(), "_mta-sts.example.com", "TXT") == []


def test_the_include_of_a_custom_upstream_stands_for_its_addresses() -> None:
    raw = stack({**CUSTOM, "spf_include": "spf.example.net"})
    assert values(raw, "example.org", "TXT") == ["v=spf1 include:spf.example.net ~all"]


def test_the_greeting_host_has_addresses_and_spf_of_its_own() -> None:
    assert values(example(), "relay.example.com", "A") == ["93.184.216.34"]
    [ipv6] = values(example(), "relay.example.com", "AAAA")
    assert ipv6 == str(ipaddress.ip_address("2606:2800:220:1:248:1893:25c8:1946"))
    assert values(example(), "relay.example.com", "TXT") == ["v=spf1 a -all"]


def test_a_key_of_ours_and_a_signers_key_are_published_alike() -> None:
    for selector in ("google", "mail202611"):
        [record] = values(example(), f"{selector}._domainkey.example.com", "TXT")
        assert record == f"v=DKIM1; t=s; h=sha256; p={dkim_public_key()};"


def test_dmarc_says_what_the_settings_say_and_quarantines_otherwise() -> None:
    [record] = values(example(), "_dmarc.example.com", "TXT")
    assert record.startswith("v=DMARC1; p=reject;")
    assert "rua=mailto:dmarc@example.com" in record
    [record] = values(example(), "_dmarc.example.org", "TXT")
    assert record.startswith("v=DMARC1; p=quarantine")


def test_reports_to_another_domain_of_ours_are_allowed_there() -> None:
    raw = example()
    raw["domains"][1]["dmarc"] = {"aggregate_reports": ["dmarc@example.com"]}
    assert values(raw, "example.org._report._dmarc.example.com", "TXT") == ["v=DMARC1;"]


@pytest.mark.parametrize(
    ("upstream", "mx", "published"),
    [
        ({}, None, ["1 smtp.google.com."]),
        (SENDGRID, None, []),
        (CUSTOM, None, []),
        (SENDGRID, [], ["0 ."]),
        ({}, [], ["0 ."]),
        (SENDGRID, [{"preference": 10, "exchange": "mx.example.net"}], ["10 mx.example.net."]),
        ({}, [{"preference": 10, "exchange": "MX.Example.net."}], ["10 mx.example.net."]),
    ],
)
def test_mx_records_of_others_are_left_alone_unless_settings_name_them(
    upstream: dict[str, Any], mx: list[Any] | None, published: list[str]
) -> None:
    raw = stack(upstream)
    if mx is not None:
        raw["domains"][1]["mx"] = mx
    assert values(raw, "example.org", "MX") == published


def test_an_exchanger_of_ours_without_address_is_an_error_only_where_the_zone_is_whole() -> None:
    raw = example()
    raw["domains"][1]["mx"] = [{"preference": 10, "exchange": "mail.example.org"}]
    assert any("mail.example.org" in str(warning) for warning in load_plan(raw).dns.warnings)
    raw["dns"] = SERVER
    assert any("mail.example.org" in line and "domains[1]" in line for line in refusals(raw))


def test_every_record_is_in_the_zone_that_holds_its_name() -> None:
    settings = load_plan(example())
    for zone, records in settings.dns.zones.items():
        assert records
        assert all(record.name == zone or record.name.endswith(f".{zone}") for record in records)
    assert sum(map(len, settings.dns.zones.values())) == len(settings.dns.records)


def test_a_subdomain_is_in_the_zone_of_its_parent_unless_it_has_one() -> None:
    raw = example(dns={"provider": "none"})
    raw["domains"].append({"name": "news.example.com"})
    assert set(load_plan(raw).dns.zones) == {"example.com", "example.org"}
    raw["dns"] = example()["dns"]
    raw["dns"]["cloudflare"]["zones"]["news.example.com"] = "f" * 32
    names = {record.name for record in load_plan(raw).dns.zones["news.example.com"]}
    assert names == {"news.example.com", "_dmarc.news.example.com"}


def test_the_order_of_domains_does_not_matter() -> None:
    raw = example()
    raw["domains"].reverse()
    assert set(load_plan(raw).dns.records) == set(load_plan(example()).dns.records)


def test_the_server_gets_whole_zones_that_name_it_with_its_address() -> None:
    given = role_settings(load_plan(example(dns=SERVER)), "dns_server")
    assert (given["server"], given["listen"], given["port"]) == ("auto", [], 53)
    zones = {zone["name"]: dns.zone.from_text(zone["text"], origin=zone["name"]) for zone in given["zones"]}
    assert set(zones) == {"example.com", "example.org"}
    assert [rdata.to_text() for rdata in zones["example.com"].find_rdataset("ns1", "A")] == ["93.184.216.34"]
    for zone in zones.values():
        [soa] = zone.find_rdataset("@", "SOA")
        assert soa.rname.derelativize(zone.origin).to_text() == r"dns\.admin.example.com."
        [server] = zone.find_rdataset("@", "NS")
        assert server.target.derelativize(zone.origin).to_text() == "ns1.example.com."


def test_a_server_on_a_host_of_its_own_is_named_with_that_hosts_address() -> None:
    dns_settings = {**SERVER, "server": {**SERVER["server"], "host": "ns1", "listen_addresses": ["93.184.216.53"]}}
    raw = example(dns=dns_settings)
    raw["hosts"]["ns1"] = {"address": "ns1.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.53"}
    settings = load_plan(raw)
    assert ("ns1.example.com", "A", "93.184.216.53") in presented(settings)
    assert role_settings(settings, "dns_server")["listen"] == ["93.184.216.53"]


def test_a_name_server_elsewhere_gets_no_record() -> None:
    raw = example(dns={**SERVER, "server": {**SERVER["server"], "nameservers": ["ns1.example.net"]}})
    assert not any(name == "ns1.example.net" for name, _, _ in presented(load_plan(raw)))


def test_without_a_server_there_are_no_server_settings() -> None:
    assert not has_run(load_plan(example()), "dns_server")


def test_a_damaged_dkim_key_is_told_by_its_field_and_not_shown() -> None:
    lines = dkim_key().splitlines()
    raw = example()
    raw["domains"][0]["dkim"][1]["private_key"] = "\n".join([*lines[:5], *lines[6:]])
    [line] = refusals(raw)
    assert line.startswith("mailstack:domains[0].dkim[1].private_key")
    assert "mailstack init" in line
    assert lines[4] not in line


@pytest.mark.parametrize(
    ("number", "change", "field", "part"),
    [
        (1, {"spf": {"mechanisms": ["ipv4:93.184.216.34"]}}, "domains[1]", "ip4:93.184.216.34"),
        (1, {"spf": {"include": [f"spf{n}.example.net" for n in range(8)]}}, "domains[1]", "RFC 7208 §4.6.4"),
        (0, {"dkim": [{"selector": "google", "public_key": "QUFB"}]}, "domains[0].dkim[0].public_key", "RFC 6376"),
        (1, {"spf": {"include": ["example.org"]}}, "domains[1]", "loop"),
        (0, {"spf": {"mechanisms": ["a:1.2.3.4"]}}, "domains[0]", "ip4:1.2.3.4"),
    ],
)
def test_a_broken_dns_rule_names_the_settings_field(number: int, change: dict[str, Any], field: str, part: str) -> None:
    raw = example()
    raw["domains"][number] |= change
    [line] = refusals(raw)
    assert line.startswith(f"mailstack:{field} is ")
    assert part in line
