"""Zone files, read back by an independent parser."""

import ipaddress
from collections.abc import Iterable
from datetime import date
from typing import Any

import dns.rdatatype
import dns.zone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    NULL_MX,
    Address,
    Alias,
    Caa,
    DkimKey,
    DnsRuleError,
    MailExchanger,
    NameServer,
    Record,
    RecordSet,
    Srv,
    Text,
    Tlsa,
    next_serial,
    rdata_text,
    render_records,
    render_zone,
    zone_of,
)
from tests.unit.dns.dns_examples import RECORD_SETS, declared, domain, host, rsa_key

NAMESERVERS = ("ns1.example.net", "NS2.example.net.")


def zone_text(records: Iterable[Record], zone: str = "example.com", serial: int = 1, ttl: int = 3600) -> str:
    """Render a zone of two name servers elsewhere."""
    return render_zone(
        zone, records, nameservers=NAMESERVERS, hostmaster="hostmaster@example.net", serial=serial, ttl=ttl
    )


def parsed(text: str, origin: str = "example.com") -> set[tuple[str, int, str, object]]:
    """Read zone text with dnspython; SOA and NS are left out."""
    zone = dns.zone.from_text(text, origin=origin, relativize=False, check_origin="SOA" in text)
    found: set[tuple[str, int, str, object]] = set()
    rdata: Any
    for name, ttl, rdata in zone.iterate_rdatas():
        value: object
        match rdata.rdtype:
            case dns.rdatatype.A | dns.rdatatype.AAAA:
                value = Address(ip=str(ipaddress.ip_address(rdata.address)))
            case dns.rdatatype.MX:
                exchange = rdata.exchange.to_text()
                value = MailExchanger(
                    preference=rdata.preference, exchange=exchange if exchange == "." else exchange.removesuffix(".")
                )
            case dns.rdatatype.TXT:
                assert all(len(chunk) <= 255 for chunk in rdata.strings)
                value = Text(value=b"".join(rdata.strings).decode("ascii"))
            case dns.rdatatype.SRV:
                target = rdata.target.to_text()
                value = Srv(
                    priority=rdata.priority,
                    weight=rdata.weight,
                    port=rdata.port,
                    target=target if target == "." else target.removesuffix("."),
                )
            case dns.rdatatype.TLSA:
                value = Tlsa(
                    usage=rdata.usage, selector=rdata.selector, matching_type=rdata.mtype, certificate=rdata.cert.hex()
                )
            case dns.rdatatype.CAA:
                value = Caa(flags=rdata.flags, tag=rdata.tag.decode(), value=rdata.value.decode())
            case dns.rdatatype.CNAME:
                value = Alias(target=rdata.target.to_text().removesuffix("."))
            case dns.rdatatype.NS if name.to_text() != f"{origin}.":
                value = NameServer(host=rdata.target.to_text().removesuffix("."))
            case _:
                continue
        found.add((name.to_text().removesuffix("."), ttl, dns.rdatatype.to_text(rdata.rdtype), value))
    return found


def plain(records: RecordSet) -> set[tuple[str, int, str, object]]:
    return {(record.name, record.ttl, record.type, record.data) for record in records}


def example() -> RecordSet:
    keys = (DkimKey(selector="s1", public_key=rsa_key(4096)),)
    return declared(domain(dkim=keys, texts=('say "hi" \\ ; x',)), hosts=(host(ipv6=("2606:2800:220:1::34",)),)).records


def test_zone_reads_back_as_declared() -> None:
    records = example()
    assert parsed(zone_text(records, serial=7)) == plain(records)


def test_fragment_reads_back_as_declared() -> None:
    records = example()
    assert parsed(render_records(records)) == plain(records)


def test_zone_text_is_the_same_bytes_for_the_same_records() -> None:
    records = example()
    text = zone_text(records, "Example.com.", serial=2026112100)
    assert text == zone_text(reversed(records.records), serial=2026112100)
    assert text.splitlines()[:6] == [
        "$ORIGIN example.com.",
        "$TTL 3600",
        "example.com. 3600 IN SOA ns1.example.net. hostmaster.example.net. 2026112100 7200 3600 1209600 300",
        "example.com. 3600 IN NS ns1.example.net.",
        "example.com. 3600 IN NS ns2.example.net.",
        "example.com. 3600 IN MX 1 smtp.google.com.",
    ]


def test_dot_in_the_hostmasters_name_is_escaped() -> None:
    text = render_zone("example.com", (), nameservers=("ns.example.net",), hostmaster="dns.team@example.com", serial=1)
    soa = dns.zone.from_text(text).get_soa()
    assert soa.rname.labels[0] == b"dns.team"


def test_name_server_inside_the_zone_is_served_with_its_address() -> None:
    records = declared().records
    text = render_zone("example.com", records, nameservers=("relay.example.com",), hostmaster="h@example.com", serial=1)
    assert "example.com. 3600 IN NS relay.example.com." in text


def test_automatic_ttl_becomes_five_minutes() -> None:
    records = declared(ttl=1).records
    text = zone_text(records, ttl=1)
    assert {ttl for _, ttl, _, _ in parsed(text)} == {300}
    assert "$TTL 300\n" in text


def test_null_mx_is_a_single_dot() -> None:
    assert rdata_text(Record.of("example.com", 60, NULL_MX)) == "0 ."


@pytest.mark.parametrize(
    ("changes", "rule", "found", "fix"),
    [
        ({"zone": "example.net"}, "zone-scope", "example.com MX", "for_zone"),
        ({"nameservers": ()}, "zone-nameservers", "no name server", "delegated"),
        ({"nameservers": ("ns.example.com",)}, "zone-nameserver-address", "ns.example.com", "host"),
        ({"nameservers": ("93.184.216.34",)}, "name-syntax", "93.184.216.34", "host name"),
        ({"hostmaster": "nobody"}, "zone-hostmaster", "nobody", "in charge"),
        ({"hostmaster": "a b@example.com"}, "zone-hostmaster", "a b@example.com", "in charge"),
        ({"hostmaster": "a@localhost"}, "zone-hostmaster", "a@localhost", "in charge"),
        ({"serial": 2**32}, "zone-serial", "4294967296", "next_serial"),
        ({"serial": -1}, "zone-serial", "-1", "next_serial"),
        ({"zone": "exam ple.com"}, "name-syntax", "exam ple.com", "blanks"),
    ],
)
def test_zone_that_a_server_would_refuse_is_refused_first(
    changes: dict[str, object], rule: str, found: str, fix: str
) -> None:
    arguments: dict[str, Any] = {
        "zone": "example.com",
        "records": declared().records,
        "nameservers": NAMESERVERS,
        "hostmaster": "hostmaster@example.net",
        "serial": 1,
    }
    with pytest.raises(DnsRuleError) as caught:
        render_zone(**{**arguments, **changes})
    problem = next(problem for problem in caught.value.problems if problem.rule == rule)
    assert found in problem.found
    assert fix in problem.fix


@given(RECORD_SETS)
@settings(deadline=None)
def test_any_records_read_back_as_they_were(records: RecordSet) -> None:
    assert parsed(zone_text(records)) == plain(records)


TODAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("previous", "expected"),
    [
        (None, 2026112100),
        (2026112005, 2026112100),
        (2026112100, 2026112101),
        (2026112199, 2026112200),
        (2026112303, 2026112304),
        (1, 2026112100),
        (0, 2026112100),
        (4294967295, 2026112100),
        (4173595748, 4173595749),
        (4173595749, 2026112100),
    ],
)
def test_serial_is_dated_and_never_goes_back(previous: int | None, expected: int) -> None:
    assert next_serial(previous, TODAY) == expected


def test_serial_at_the_end_of_the_number_space_leaves_out_zero() -> None:
    # A date past 2147 is what it takes for the plain count to reach the end; the rule must hold all the same.
    assert next_serial(4294967295, date(4294, 1, 1)) == 1


@given(st.integers(0, 2**32 - 1), st.dates(date(2020, 1, 1), date(2100, 1, 1)))
def test_next_serial_is_newer_by_rfc_1982(previous: int, today: date) -> None:
    following = next_serial(previous, today)
    assert 0 < following < 2**32
    assert 0 < (following - previous) % 2**32 < 2**31


@pytest.mark.parametrize("previous", [-1, 2**32])
def test_serial_outside_32_bits_is_refused(previous: int) -> None:
    with pytest.raises(ValueError, match="RFC 1982"):
        next_serial(previous, TODAY)


def test_zone_of_a_name_is_the_longest_that_holds_it() -> None:
    zones = ("example.com", "mail.example.com", "example.net")
    assert zone_of("a.mail.example.com", zones) == "mail.example.com"
    assert zone_of("mail.example.com", zones) == "mail.example.com"
    assert zone_of("xmail.example.com", zones) == "example.com"
    assert zone_of("notexample.com", zones) is None
