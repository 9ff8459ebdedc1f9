"""SPF as receivers read it: macros by the examples of the RFC, and any record just as pyspf judges it."""

import ipaddress
import time
from collections.abc import Iterator

import pytest
import spf
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns.problems import Findings
from mailstack.dns.spf_read import SpfError, read_spf, spf_records
from mailstack.dns.spf_terms import TermReader
from mailstack.dns.spf_tree import expand
from mailstack.verify.answer import Answer, Outcome
from mailstack.verify.spf import replies
from mailstack.verify.spf_evaluation import Evaluation, expanded

V4, V6 = "192.0.2.3", "2001:db8::cb01"
SENDER, HELO = "strong-bad@email.example.com", "mail.example.com"
# RFC 7208 §7.4; and of the other letters, the parts and the joiners what §7.1 to §7.3 say.
EXPANSIONS = {
    "%{s}": "strong-bad@email.example.com",
    "%{o}": "email.example.com",
    "%{d}": "email.example.com",
    "%{d4}": "email.example.com",
    "%{d3}": "email.example.com",
    "%{d2}": "example.com",
    "%{d1}": "com",
    "%{dr}": "com.example.email",
    "%{d2r}": "example.email",
    "%{l}": "strong-bad",
    "%{l-}": "strong.bad",
    "%{lr}": "strong-bad",
    "%{lr-}": "bad.strong",
    "%{l1r-}": "strong",
    "%{ir}.%{v}._spf.%{d2}": "3.2.0.192.in-addr._spf.example.com",
    "%{lr-}.lp._spf.%{d2}": "bad.strong.lp._spf.example.com",
    "%{lr-}.lp.%{ir}.%{v}._spf.%{d2}": "bad.strong.lp.3.2.0.192.in-addr._spf.example.com",
    "%{d2}.trusted-domains.example.net": "example.com.trusted-domains.example.net",
    "%{h}": "mail.example.com",
    "a%%b%_c%-d": "a%b c%20d",
}


@pytest.mark.parametrize(("target", "name"), EXPANSIONS.items())
def test_macros_expand_as_in_the_rfc(target: str, name: str) -> None:
    found = expanded(target, domain="email.example.com", address=ipaddress.ip_address(V4), sender=SENDER, helo=HELO)
    assert found == name


def test_an_ipv6_address_expands_to_its_digits() -> None:
    six = ipaddress.ip_address(V6)
    found = expanded("%{ir}.%{v}._spf.%{d2}", domain="email.example.com", address=six, sender=SENDER, helo=HELO)
    assert found == "1.0.b.c.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6._spf.example.com"


def test_a_name_that_becomes_too_long_loses_labels_from_the_left() -> None:
    long = ".".join(["a" * 60] * 4)
    found = expanded(
        f"%{{l}}.{long}.example.com",
        domain="x.example",
        address=ipaddress.ip_address(V4),
        sender="b@x.example",
        helo=HELO,
    )
    assert len(found) <= 253
    assert found.endswith(".example.com")


@pytest.mark.parametrize(
    "text", ["v=spf1", "V=SPF1 -all", "v=spf1  a   -all", "v=spf1 unknown=%{d} -all", "v=spf1 exp=a.example -all"]
)
def test_what_receivers_take_is_read(text: str) -> None:
    assert spf_records([text]) == [text]
    read_spf(text)


@pytest.mark.parametrize(
    "text",
    [
        "v=spf1 all:x",
        "v=spf1 include",
        "v=spf1 include:a.example/24",
        "v=spf1 a/33",
        "v=spf1 mx//129",
        "v=spf1 ip6:192.0.2.1",
        "v=spf1 ip4:192.0.2.1/33",
        "v=spf1 -",
        "v=spf1 a:%{x}.example",
        "v=spf1 exp=a.example exp=b.example",
        "v=spf1 a:b\N{LATIN SMALL LETTER U WITH DIAERESIS}.example",
    ],
)
def test_what_is_permerror_is_refused(text: str) -> None:
    with pytest.raises(SpfError):
        read_spf(text)


@pytest.mark.parametrize("word", ["a:{}/x", "mx:{}//", "include:{}/24x", "a:{}%{{"])
def test_a_record_of_many_macros_is_refused_at_once(word: str) -> None:
    """A record of a stranger must not keep us busy: 60 macros once meant 2 to the power of 60 readings."""
    record = "v=spf1 " + word.format("%{i}" * 60)
    began = time.monotonic()
    with pytest.raises(SpfError):
        read_spf(record)
    findings = Findings()
    assert TermReader("x SPF", findings, production=True).term(record.split()[1]) is None
    assert findings.errors
    assert time.monotonic() - began < 1


def test_a_tree_of_includes_without_end_is_not_followed_to_its_end() -> None:
    asked = []

    def endless(name: str, kind: str) -> Answer:
        asked.append(name)
        text = "v=spf1 " + " ".join(f"include:{letter}.{name}" for letter in "abcdefghij") + " -all"
        return Answer(name=name, type=kind, server="test", outcome=Outcome.FOUND, values=(text,))

    costs = expand("x.example", "v=spf1 include:a.example -all", replies(endless))
    assert costs.lookups > 10
    assert len(asked) <= 100
    spent = Evaluation(address=ipaddress.ip_address(V4), sender="a@x.example", helo="x.example", look=endless)
    assert spent.run("x.example").result == "permerror"


HOSTS: dict[str, dict[str, tuple[str, ...]]] = {
    "four.example": {"A": ("192.0.2.3", "192.0.2.77")},
    "six.example": {"AAAA": ("2001:db8::cb01",)},
    "both.example": {"A": ("192.0.2.200",), "AAAA": ("2001:db8::77",)},
    # Hosts of both families: pyspf counts a host without the sender's as void (docs/reference/verify-differences.md).
    "mail.example": {"MX": ("10 both.example", "20 full.example")},
    "full.example": {"A": ("192.0.2.3",), "AAAA": ("2001:db8::cb01",)},
    "yes.example": {"TXT": ("v=spf1 ip4:192.0.2.0/24 ~all",)},
    "no.example": {"TXT": ("v=spf1 ?a:both.example -all",)},
    "deep.example": {"TXT": ("v=spf1 include:yes.example a:gone.example -all",)},
    "two.example": {"TXT": ("v=spf1 -all", "v=spf1 +all")},
    "3.2.0.192.listed.example": {"A": ("127.0.0.2",)},
}
TARGETS = (*HOSTS, "gone.example", "%{ir}.listed.example")


def look(name: str, kind: str, record: str = "") -> Answer:
    """Answer from ``HOSTS``, and for the domain itself with the record."""
    there = {"TXT": (record,)} if name == "own.example" else HOSTS.get(name)
    values = (there or {}).get(kind, ())
    outcome = Outcome.FOUND if values else Outcome.NO_NAME if there is None else Outcome.EMPTY
    return Answer(name=name, type=kind, server="test", outcome=outcome, values=values)


def terms() -> st.SearchStrategy[str]:
    names = st.sampled_from(TARGETS)
    lengths = st.sampled_from(["", "/24", "//64", "/25//120"])
    kinds = st.one_of(
        st.builds("{}:{}{}".format, st.sampled_from(["a", "mx"]), names, lengths),
        st.builds("{}:{}".format, st.sampled_from(["include", "exists"]), names),
        st.sampled_from(
            ["a", "mx", "ip4:192.0.2.0/28", "ip4:192.0.2.3", "ip6:2001:db8::/32", "ip6:2001:db8::77", "all"]
        ),
    )
    return st.builds("{}{}".format, st.sampled_from(["", "+", "-", "~", "?"]), kinds)


@pytest.fixture(scope="module")
def pyspf_dns() -> Iterator[list[str]]:
    record = [""]

    def lookup(name: str, kind: str, *_: object, **__: object) -> list[object]:
        values: list[object] = list(look(name, kind, record[0]).values)
        if kind == "MX":
            values = [(int(str(value).split()[0]), str(value).split()[1]) for value in values]
        elif kind == "TXT":
            values = [(str(value).encode(),) for value in values]
        return [((name, kind), value) for value in values]

    before, spf.DNSLookup = spf.DNSLookup, lookup
    yield record
    spf.DNSLookup = before


@given(
    words=st.lists(terms(), max_size=8),
    redirect=st.sampled_from(["", "redirect=yes.example", "redirect=no.example", "redirect=gone.example"]),
    address=st.sampled_from([V4, V6, "192.0.2.200"]),
)
@settings(max_examples=3 * settings().max_examples)
def test_any_record_is_evaluated_as_pyspf_does(
    pyspf_dns: list[str], words: list[str], redirect: str, address: str
) -> None:
    record = " ".join(["v=spf1", *words, *([redirect] if redirect else [])])
    pyspf_dns[0] = record
    ours = Evaluation(
        address=ipaddress.ip_address(address),
        sender="postmaster@own.example",
        helo="own.example",
        look=lambda name, kind: look(name, kind, record),
    ).run("own.example")
    theirs = spf.check2(i=address, s="postmaster@own.example", h="own.example")[0]
    assert ours.result == theirs, (record, ours.why)


@given(words=st.lists(terms(), max_size=8))
def test_the_count_is_at_least_what_any_sender_costs(words: list[str]) -> None:
    record = " ".join(["v=spf1", *words])
    costs = expand("own.example", record, replies(lambda name, kind: look(name, kind, record)))
    for address in (V4, V6):
        spent = Evaluation(
            address=ipaddress.ip_address(address),
            sender="postmaster@own.example",
            helo="own.example",
            look=lambda name, kind: look(name, kind, record),
        ).run("own.example")
        assert spent.lookups <= costs.lookups
