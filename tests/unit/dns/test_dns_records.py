"""Records, record sets and names: one form, whatever the order and the spelling."""

import random
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    Address,
    DnsRuleError,
    MailExchanger,
    NameRuleError,
    Record,
    RecordSet,
    Text,
    normalise_name,
)
from mailstack.dns.names import read_name
from mailstack.dns.problems import Findings
from tests.unit.dns.dns_examples import (
    declared,
    domain,
)


@given(st.randoms(use_true_random=False))
@settings(max_examples=25, deadline=None)
def test_record_set_does_not_depend_on_order_or_repetition(dice: random.Random) -> None:
    records = list(declared(domain(), domain(name="example.net")).records)
    mixed = records + [dice.choice(records) for _ in range(5)]
    dice.shuffle(mixed)
    assert RecordSet.of(mixed).records == tuple(records)


def test_record_set_refuses_two_ttls_in_one_rrset() -> None:
    records = [Record.of("example.com", ttl, Text(value=f"t{ttl}")) for ttl in (60, 3600)]
    with pytest.raises(DnsRuleError, match=r"(?s)example\.com TXT.*60, 3600.*same TTL.*rrset-ttl; RFC 2181"):
        RecordSet.of(records)


def test_record_set_answers_by_name_type_and_zone() -> None:
    records = declared(domain(), domain(name="sub.example.com"), domain(name="notexample.com")).records
    assert [record.type for record in records.at("EXAMPLE.com.")] == ["MX", "TXT"]
    assert len(records.of_type("MX")) == 3
    zone = records.for_zone("Example.com.")
    assert {name for name in {record.name for record in zone} if not f".{name}".endswith(".example.com")} == set()
    assert records.at("notexample.com")
    cut = records.for_zone("example.com", children=("example.com", "sub.example.com", "example.net"))
    assert {record.name for record in zone} - {record.name for record in cut} == {
        "sub.example.com",
        "_dmarc.sub.example.com",
        "s1._domainkey.sub.example.com",
    }
    assert records.of_type("A")[0] in zone
    assert len(records) == len(list(records))


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Example.com", Text(value="x")),
        ("example.com.", Text(value="x")),
        ("@", Text(value="x")),
        ("example.com", Text(value="tab\t")),
        ("example.com", Text(value="ü")),
        ("example.com", Text(value="x" * 3801)),
        ("example.com", Address(ip="2606:2800:0220::1")),
        ("example.com", Address(ip="nonsense")),
        ("example.com", MailExchanger(preference=70000, exchange="mx.example.com")),
        ("example.com", MailExchanger(preference=5, exchange="MX.example.com")),
        ("example.com", MailExchanger(preference=5, exchange=".")),
    ],
)
def test_record_that_back_ends_could_read_differently_cannot_be_made(name: str, data: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        Record.of(name, 3600, data)  # type: ignore[arg-type]


def test_record_type_must_suit_its_data() -> None:
    with pytest.raises(ValueError, match="AAAA record with Address"):
        Record(name="example.com", type="AAAA", ttl=60, data=Address(ip="93.184.216.34"))


@pytest.mark.parametrize(("length", "accepted"), [(253, True), (254, False)])
def test_longest_name_has_253_bytes(length: int, accepted: bool) -> None:
    name = ".".join(["a" * 60] * 4) + "." + "b" * (length - 244)
    assert len(name) == length
    findings = Findings()
    assert (read_name(name, "a name", findings) == name) == accepted


LABELS = st.text(string.ascii_letters + string.digits, min_size=1, max_size=20)


@given(st.lists(LABELS, min_size=2, max_size=5).filter(lambda labels: not labels[-1].isdigit()))
def test_normalised_name_is_a_fixed_point(labels: list[str]) -> None:
    name = ".".join(labels)
    try:
        once = normalise_name(name)
    except NameRuleError:
        assert any(label.lower().startswith("xn--") for label in labels) or name.replace(".", "").isdigit()
        return
    assert normalise_name(once) == normalise_name(f"{once.upper()}.") == once


@given(st.text(max_size=40))
def test_any_text_as_name_is_normalised_or_refused_with_a_rule(text: str) -> None:
    findings = Findings()
    name = read_name(text, "a name", findings, service=True)
    if name is None:
        assert len(findings.errors) == 1
        assert findings.errors[0].rule.startswith("name-")
        assert findings.errors[0].fix
    else:
        assert normalise_name(name, service=True) == name
        assert name.isascii()
