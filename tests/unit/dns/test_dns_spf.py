"""SPF policies: one strict record for each name, lookups counted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    address_mechanism,
    declare,
)
from tests.unit.dns.dns_examples import (
    GOOGLE_SPF,
    declaration,
    declared,
    domain,
    errors_of,
    host,
    spf,
)


def spf_text(*domains: SendingDomain, **changes: object) -> str:
    return declared(*domains, **changes).records.texts("example.com")[0]


def test_two_sources_merge_into_one_record() -> None:
    merged = SpfPolicy.merged(
        GOOGLE_SPF,
        SpfPolicy(
            includes=(SpfInclude(domain="sendgrid.net", lookups=2), SpfInclude(domain="_SPF.google.com.", lookups=4)),
            mechanisms=("ip4:93.184.216.34", "+MX"),
        ),
        SpfPolicy(mechanisms=("mx", "ip4:93.184.216.34/32"), all="-all"),
    )
    assert spf_text(domain(spf=merged)) == (
        "v=spf1 ip4:93.184.216.34 mx include:_spf.google.com include:sendgrid.net ~all"
    )


@pytest.mark.parametrize(
    ("endings", "expected"),
    [
        (("-all", "-all"), "-all"),
        (("-all", "~all"), "~all"),
        (("~all", None), "~all"),
        ((None, None), None),
        (("-all", "+all", "~all"), "+all"),
    ],
)
def test_merging_keeps_the_mildest_ending_and_hides_no_mistake(
    endings: tuple[str | None, ...], expected: str | None
) -> None:
    assert SpfPolicy.merged(*(SpfPolicy(all=ending) for ending in endings)).all == expected


@pytest.mark.parametrize(
    ("term", "written"),
    [
        ("IP4:93.184.216.34/32", "ip4:93.184.216.34"),
        ("ip6:2606:2800:0220::/48", "ip6:2606:2800:220::/48"),
        ("A", "a"),
        ("a/24//64", "a/24//64"),
        ("mx//64", "mx//64"),
        ("A:Mail.Example.NET./28", "a:mail.example.net/28"),
        ("?include:spf_c.Example.net", "?include:spf_c.example.net"),
        ("-ip4:93.184.216.35", "-ip4:93.184.216.35"),
        ("-ip4:64.0.0.0/4", "-ip4:64.0.0.0/4"),
        ("exists:%{ir}.%{v}._spf.%{d2}", "exists:%{ir}.%{v}._spf.%{d2}"),
        ("exists:%{l1r-+}.100%%.example.com", "exists:%{l1r-+}.100%%.example.com"),
    ],
)
def test_term_is_written_in_one_form(term: str, written: str) -> None:
    assert spf_text(spf(term)) == f"v=spf1 {written} include:_spf.google.com ~all"


@pytest.mark.parametrize(
    ("address", "term"),
    [
        ("93.184.216.34", "ip4:93.184.216.34"),
        ("93.184.216.0/24", "ip4:93.184.216.0/24"),
        ("2606:2800:0220::1", "ip6:2606:2800:220::1"),
    ],
)
def test_address_becomes_a_term_that_is_accepted(address: str, term: str) -> None:
    assert address_mechanism(address) == term
    assert spf_text(spf(address_mechanism(address))).startswith(f"v=spf1 {term} ")


def test_mx_of_a_domain_elsewhere_is_taken_as_it_is() -> None:
    assert spf_text(spf("mx:example.org")) == "v=spf1 mx:example.org include:_spf.google.com ~all"


def test_modifiers_stand_last() -> None:
    assert spf_text(spf("exp=Why.example.com", "mx")) == ("v=spf1 mx include:_spf.google.com ~all exp=why.example.com")


def test_redirect_replaces_all() -> None:
    policy = SpfPolicy(mechanisms=("redirect=_spf.example.net",), all=None)
    assert spf_text(domain(spf=policy)) == "v=spf1 redirect=_spf.example.net"


def lookups_found(*domains: SendingDomain) -> list[str]:
    return [problem.found for problem in errors_of(declaration(*domains)) if problem.rule == "spf-lookups"]


def test_lookups_of_declared_domains_are_counted_through_their_own_terms() -> None:
    inner = domain(name="example.net", spf=SpfPolicy(mechanisms=("a", "mx", "exists:%{i}.example.net")))
    outer = SpfPolicy(includes=(SpfInclude(domain="_spf.google.com", lookups=6),), mechanisms=("include:example.net",))
    assert lookups_found(domain(spf=outer), inner) == []
    more = replace(outer, mechanisms=("include:example.net", "a:host.example.org"))
    assert lookups_found(domain(spf=more), inner) == [
        "11 DNS lookups (include:example.net 4, a:host.example.org 1, include:_spf.google.com 6)"
    ]


def test_redirect_is_counted_like_an_include() -> None:
    inner = domain(name="example.net", spf=SpfPolicy(includes=(SpfInclude(domain="_spf.google.com", lookups=10),)))
    assert lookups_found(domain(spf=SpfPolicy(mechanisms=("redirect=example.net",), all=None)), inner) == [
        "11 DNS lookups (redirect=example.net 11)"
    ]


def test_a_stated_cost_does_not_replace_the_count_of_a_declared_domain() -> None:
    inner = domain(name="example.net", spf=SpfPolicy(mechanisms=tuple(f"a:h{n}.example.org" for n in range(9))))
    outer = SpfPolicy(includes=(SpfInclude(domain="example.net", lookups=1), *GOOGLE_SPF.includes))
    assert lookups_found(domain(spf=outer), inner) == [
        "14 DNS lookups (include:example.net 10, include:_spf.google.com 4)"
    ]


def test_terms_that_cost_nothing_are_not_counted() -> None:
    free = (*(f"ip4:93.184.216.{n}" for n in range(12)), "exp=why.example.com")
    full = SpfPolicy(includes=(SpfInclude(domain="_spf.google.com", lookups=10),), mechanisms=free)
    assert lookups_found(domain(spf=full)) == []


def test_host_covered_by_name_or_as_a_whole_gets_no_warning() -> None:
    dual = (host(ipv6=("2606:2800:220:1::34",)),)
    for terms in (
        ("ip4:93.184.216.34", "a:relay.example.com"),
        ("ip4:93.184.216.0/24", "ip6:2606:2800:220:1::/64"),
        ("-ip4:93.184.216.34",),
    ):
        assert declared(spf(*terms), hosts=dual).warnings == ()


TERM_TEXT = st.text(st.sampled_from("aimxpe4653210:/=%{}.-+~?,cdlunstr "), max_size=24)


@given(st.lists(st.one_of(TERM_TEXT, st.text(max_size=12)), max_size=4), st.sampled_from(["~all", "-all"]))
@settings(deadline=None)
def test_any_mechanisms_give_one_strict_record_or_a_refusal(terms: list[str], ending: str) -> None:
    candidate = declaration(spf(*terms, all=ending))
    problems = errors_of(candidate)
    if problems:
        assert {problem.rule.split("-", 1)[0] for problem in problems} <= {"spf", "txt"}
        return
    text = declare(candidate).records.texts("example.com")[0]
    words = text.split(" ")
    assert words[0] == "v=spf1"
    assert words.count(ending) == 1
    assert all(words)
    assert len(set(words)) == len(words)
    # What was accepted is accepted again, unchanged: the written form is a fixed point.
    inner = [word for word in words[1:] if word not in {ending, "include:_spf.google.com"}]
    again = declared(spf(*inner, all=ending)).records.texts("example.com")[0]
    assert sorted(again.split(" ")) == sorted(words)
