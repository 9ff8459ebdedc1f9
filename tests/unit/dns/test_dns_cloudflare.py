"""Records as Cloudflare's API keeps them."""

import re
from dataclasses import asdict, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    NULL_MX,
    Address,
    Alias,
    Caa,
    CloudflareInput,
    DkimKey,
    DmarcPolicy,
    MailExchanger,
    NameServer,
    Record,
    RecordSet,
    SpfPolicy,
    Srv,
    Text,
    Tlsa,
    decode_content,
    decode_shown,
    decode_text,
    resource_name,
    to_cloudflare,
)
from mailstack.dns.rdata import RecordData
from tests.unit.dns.dns_examples import RECORD_SETS, declared, domain, host, mx, rsa_key

CAA = Caa(flags=0, tag="issue", value="letsencrypt.org")
SRV = Srv(priority=0, weight=1, port=465, target="relay.example.com")
TLSA = Tlsa(usage=3, selector=1, matching_type=1, certificate="0a" * 32)
LONG_KEY = domain(dkim=(DkimKey(selector="s1", public_key=rsa_key(2048)),))


def test_mx_has_its_preference_beside_a_name_without_dot() -> None:
    record = Record.of("example.com", 3600, MailExchanger(preference=1, exchange="smtp.google.com"))
    assert to_cloudflare(record) == CloudflareInput(
        name="example.com", type="MX", content="smtp.google.com", ttl=3600, priority=1, proxied=False
    )


def test_null_mx_keeps_its_dot() -> None:
    sent = to_cloudflare(Record.of("example.com", 3600, NULL_MX))
    assert (sent.content, sent.priority) == (".", 0)


def test_long_text_is_cut_into_quoted_strings_joined_by_one_blank() -> None:
    record = declared(LONG_KEY).records.at("s1._domainkey.example.com")[0]
    content = str(to_cloudflare(record).content)
    strings = re.fullmatch(r'"([^"]*)" "([^"]*)"', content)
    assert strings is not None
    assert len(strings[1]) == 255
    assert Text(value=strings[1] + strings[2]) == record.data


def test_quotes_and_backslashes_are_escaped() -> None:
    assert to_cloudflare(Record.of("example.com", 60, Text(value='a"b\\c'))).content == r'"a\"b\\c"'


def test_everything_is_whole_names_lower_case_and_never_proxied() -> None:
    for record in declared(domain(name="EXAMPLE.com"), hosts=(host(ipv6=("2606:2800:0220:1::34",)),)).records:
        sent = to_cloudflare(record)
        assert sent.name.endswith("example.com")
        assert sent.name == sent.name.lower()
        assert sent.proxied is False
        assert (sent.priority is None) == (sent.type != "MX")
        assert sent.content is not None
        assert record.type == "TXT" or not sent.content.endswith(".")


@given(RECORD_SETS)
@settings(deadline=None)
def test_what_is_sent_decodes_to_what_was_declared(records: RecordSet) -> None:
    for record in records:
        assert decode_shown(asdict(to_cloudflare(record))) == record.data


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ('"one"', "one"),
        ('"one" "two"', "onetwo"),
        ('"one""two"', "onetwo"),
        ('"one"   "two" ', "onetwo"),
        (r'"a\"b\\c\065"', 'a"b\\cA'),
        ("v=spf1 -all", "v=spf1 -all"),
        ('say "hi"', 'say "hi"'),
        ('"open', '"open'),
        ('""', ""),
        ("", ""),
    ],
)
def test_text_is_read_as_quoted_strings_or_as_it_stands(content: str, value: str) -> None:
    assert decode_text(content) == value


@pytest.mark.parametrize(
    ("type_", "content", "priority", "data"),
    [
        ("MX", "SMTP.Google.com.", 1, MailExchanger(preference=1, exchange="smtp.google.com")),
        ("MX", ".", 0, NULL_MX),
        ("MX", "smtp.google.com", None, None),
        ("MX", "no host", 1, None),
        ("AAAA", "2606:2800:0220:0001:0:0:0:34", None, Address(ip="2606:2800:220:1::34")),
        ("A", "nonsense", None, None),
        ("TXT", "v=spf1 -all", None, Text(value="v=spf1 -all")),
        ("CNAME", "Example.Net.", None, Alias(target="example.net")),
        ("CAA", "0 ISSUE letsencrypt.org", None, CAA),
        ("CAA", '0 issue "letsencrypt.org"', None, CAA),
        ("CAA", '0\tissue\t"letsencrypt.org"', None, CAA),
        ("CAA", "issue letsencrypt.org", None, None),
        ("SRV", "1 465 Relay.Example.com.", 0, SRV),
        ("SRV", "0 1 465 relay.example.com.", None, SRV),
        ("SRV", "0 1 465 relay.example.com", 0, SRV),
        ("SRV", "1 465 relay.example.com", None, None),
        ("SRV", "0 0 0 .", None, Srv(priority=0, weight=0, port=0, target=".")),
        ("TLSA", f"3 1 1 {'0A' * 16} {'0a' * 16}", None, TLSA),
        ("NS", "NS1.Example.net.", None, NameServer(host="ns1.example.net")),
        ("HINFO", "cpu os", None, None),
    ],
)
def test_listed_record_is_compared_in_our_form(type_: str, content: str, priority: int | None, data: object) -> None:
    assert decode_content(type_, content, priority) == data


def test_types_with_data_are_sent_without_content_and_with_whole_numbers() -> None:
    sent = [to_cloudflare(Record.of("a.example.com", 300, data)) for data in (CAA, SRV, TLSA)]
    assert [one.content for one in sent] == [None, None, None]
    assert [one.data for one in sent] == [
        {"flags": 0, "tag": "issue", "value": "letsencrypt.org"},
        {"priority": 0, "weight": 1, "port": 465, "target": "relay.example.com"},
        {"usage": 3, "selector": 1, "matching_type": 1, "certificate": "0a" * 32},
    ]
    # The API answers an SRV record's priority beside its data as well: unset, it would differ at every look.
    assert [one.priority for one in sent] == [None, 0, None]


@pytest.mark.parametrize(
    ("shown", "data"),
    [
        ({"type": "CAA", "content": "any", "data": {"flags": "0", "tag": "issue", "value": "letsencrypt.org"}}, CAA),
        ({"type": "CAA", "content": "any", "data": {"flags": 0.0, "tag": "issue", "value": "letsencrypt.org"}}, CAA),
        ({"type": "SRV", "content": "any", "priority": 7, "data": {"priority": 0.0, "weight": 1, "port": 465.0,
          "target": "relay.example.com"}}, SRV),
        ({"type": "TLSA", "data": {"usage": 3, "selector": 1, "matchingType": 1, "certificate": "0A" * 32}}, TLSA),
        ({"type": "CAA", "data": {"flags": 0}}, None),
        ({"type": "MX", "content": "smtp.google.com", "priority": 1.0},
         MailExchanger(preference=1, exchange="smtp.google.com")),
    ],
)  # fmt: skip
def test_data_of_the_api_and_of_the_engine_is_read_alike(shown: dict[str, object], data: object) -> None:
    assert decode_shown(shown) == data


def test_names_of_records_with_data_tell_what_cannot_change_in_place() -> None:
    def name(data: RecordData, owner: str = "a.example.com") -> str:
        return resource_name(Record.of(owner, 300, data))

    assert name(CAA) == "a.example.com-caa-issue-letsencrypt-org"
    assert name(replace(CAA, flags=128)) == name(CAA)
    assert name(replace(CAA, value=";")) == "a.example.com-caa-issue-nobody"
    assert name(replace(CAA, value="letsencrypt.org; accounturi=https://a.example/1")) != name(CAA)
    assert name(replace(SRV, priority=9, weight=9)) == name(SRV) == "a.example.com-srv-relay.example.com-465"
    assert name(replace(SRV, port=587)) != name(SRV)
    assert name(replace(TLSA, certificate="0b" * 32)) != name(TLSA)
    assert name(Text(value="v=DKIM1; p="), "*._domainkey.example.com") == "any-._domainkey.example.com-txt-dkim"


def names(records: RecordSet) -> list[str]:
    return [resource_name(record) for record in records]


def test_resource_names_are_stable_and_readable() -> None:
    result = declared(domain(texts=("google-site-verification=abc",)), hosts=(host(ipv6=("2606:2800:220:1::34",)),))
    assert names(result.records) == [
        "example.com-mx-smtp.google.com",
        "example.com-txt-google-site-verification-500f5e4b",
        "example.com-txt-spf",
        "_dmarc.example.com-txt-dmarc",
        "s1._domainkey.example.com-txt-dkim",
        "relay.example.com-a-93.184.216.34",
        "relay.example.com-aaaa-2606-2800-220-1--34",
        "relay.example.com-txt-spf",
    ]


def test_new_value_of_a_single_record_is_an_update() -> None:
    before = declared(mx((1, "smtp.google.com")))
    after = declared(
        domain(
            mx=(MailExchanger(preference=20, exchange="smtp.google.com"),),
            spf=SpfPolicy(mechanisms=("mx",), all="-all"),
            dkim=(DkimKey(selector="s1", public_key=rsa_key(3072)),),
            dmarc=DmarcPolicy(policy="reject", aggregate_reports=("other@example.com",)),
        )
    )
    assert names(before.records) == names(after.records)
    assert not {r.data for r in before.records.for_zone("example.com") if r.type in {"MX", "TXT"}} & {
        r.data for r in after.records if r.name != "relay.example.com"
    }


def test_another_record_at_a_name_leaves_the_names_of_the_rest() -> None:
    before = set(names(declared().records))
    more = declared(
        domain(mx=mx((1, "smtp.google.com"), (5, "a.example.net")).mx, texts=("x=1", "x=2")),
        hosts=(host(ipv4=("93.184.216.33", "93.184.216.34")),),
    )
    assert before < set(names(more.records))


def identity(data: RecordData) -> object:
    """Return what tells records of one name and type apart, as declare() has it."""
    match data:
        case MailExchanger(exchange=exchange):
            return exchange
        case Srv(target=target, port=port):
            return target, port
        case Caa(tag=tag, value=value):
            return tag, value.partition(";")[0].strip(), ";" in value
    return data


def has_one_record_of_a_kind(records: RecordSet) -> bool:
    """Tell whether a set is as declare() makes them: one exchanger once, one v= text of a kind."""
    keys = [
        (r.name, r.type, identity(r.data))
        for r in records
        if not (isinstance(r.data, Text) and r.data.value.startswith("v="))
    ]
    return len(keys) == len(set(keys))


@given(RECORD_SETS.filter(has_one_record_of_a_kind))
@settings(deadline=None)
def test_resource_names_are_unique_in_a_set(records: RecordSet) -> None:
    held = [r for r in records if not (isinstance(r.data, Text) and r.data.value.startswith("v="))]
    assert len({resource_name(record) for record in held}) == len(held)


@given(st.text(st.sampled_from('abcXY9 "\\=;:/.,'), max_size=60))
def test_resource_name_of_any_text_has_no_character_that_splits_a_urn(value: str) -> None:
    name = resource_name(Record.of("example.com", 60, Text(value=value)))
    assert re.fullmatch(r"[a-z0-9._-]+", name)
