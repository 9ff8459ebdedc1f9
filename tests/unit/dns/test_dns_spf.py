"""SPF policies: one strict record for each name, lookups counted."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    NameRuleError,
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    address_mechanism,
    declare,
    spf_target,
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
    policy = SpfPolicy(redirect="_SPF.example.net.", redirect_lookups=2)
    assert spf_text(domain(spf=policy)) == "v=spf1 redirect=_spf.example.net"
    assert spf_text(domain(spf=SpfPolicy(mechanisms=("redirect=_spf.example.net",)))) == spf_text(domain(spf=policy))


def test_redirect_stands_behind_the_terms_of_the_domain() -> None:
    policy = replace(GOOGLE_SPF, mechanisms=("mx", "exp=why.example.com"), redirect="_spf.example.net")
    assert spf_text(domain(spf=policy)) == (
        "v=spf1 mx include:_spf.google.com exp=why.example.com redirect=_spf.example.net"
    )


def test_ending_that_is_not_said_is_softfail() -> None:
    assert spf_text(domain(spf=SpfPolicy(mechanisms=("mx",)))) == "v=spf1 mx ~all"


def test_merging_keeps_a_redirect_and_what_contradicts_it() -> None:
    redirect = SpfPolicy(redirect="_spf.example.net", redirect_lookups=3)
    assert SpfPolicy.merged(GOOGLE_SPF, redirect) == replace(
        GOOGLE_SPF, redirect="_spf.example.net", redirect_lookups=3
    )
    for other, rule in (
        (SpfPolicy(redirect="_spf.example.org"), "spf-repeated-modifier"),
        (SpfPolicy(mechanisms=("mx",), all="-all"), "spf-redirect"),
    ):
        merged = SpfPolicy.merged(redirect, other)
        assert [problem.rule for problem in errors_of(declaration(domain(spf=merged)))] == [rule]


def test_relay_that_greets_with_the_name_of_a_redirecting_domain_keeps_the_redirect() -> None:
    records = declared(domain(spf=SpfPolicy(redirect="_spf.example.net")), hosts=(host(name="example.com"),)).records
    assert records.texts("example.com") == ("v=spf1 a redirect=_spf.example.net",)


# As the services tell their customers to publish them.
SERVICES = ("%{ir}.%{v}.%{d}.spf.has.pphosted.com", "%{ir}.%{d}._spf.myexpurgate.com")


@pytest.mark.parametrize("target", SERVICES)
def test_include_of_a_service_that_decides_by_macros_is_accepted(target: str) -> None:
    result = declared(domain(spf=SpfPolicy(includes=(SpfInclude(domain=target),))))
    assert result.records.texts("example.com") == (f"v=spf1 include:{target} ~all",)
    assert result.warnings == ()


def test_include_with_macros_counts_as_declared_or_as_one() -> None:
    nine = tuple(f"a:h{n}.example.org" for n in range(9))
    assert lookups_found(domain(spf=SpfPolicy(includes=(SpfInclude(domain=SERVICES[0]),), mechanisms=nine))) == []
    dearer = SpfPolicy(includes=(SpfInclude(domain=SERVICES[0], lookups=2),), mechanisms=nine)
    assert lookups_found(domain(spf=dearer))[0].startswith("11 DNS lookups")


# Every letter, number, r and delimiter of RFC 7208 §7.1, and the examples of its §7.4.
@pytest.mark.parametrize(
    "target",
    [
        *(f"%{{{letter}}}.example.net" for letter in "slodiphvSLODIPHV"),
        "%{d1}",
        "%{d127r}",
        "%{dR}",
        "%{l1r-}.lp._spf.%{d2}",
        "%{lr-}.lp._spf.%{d}",
        "%{l-+,/_=.}.example.net",
        "%{ir}.%{v}.%{l1r-}.lp._spf.%{d2}",
        "%{d2}.trusted-domains.example.net",
        "a%%b%_c%-d.example.net",
        "%{d}.Example-Net",
    ],
)
@pytest.mark.parametrize("term", ["include:{}", "exists:{}", "a:{}", "mx:{}", "ptr:{}", "redirect={}", "exp={}"])
def test_every_macro_of_the_rfc_is_accepted_where_a_domain_stands(term: str, target: str) -> None:
    written = term.format(target)
    form = term.format(target.replace("Example-Net", "example-net"))
    assert form in spf_text(domain(spf=SpfPolicy(includes=GOOGLE_SPF.includes, mechanisms=(written,)))).split(" ")


def test_slash_in_a_macro_is_no_prefix_length() -> None:
    terms = spf("a:%{d2r/}.example.net/28", "mx:%{l/}.example.net//64")
    assert spf_text(terms) == ("v=spf1 a:%{d2r/}.example.net/28 mx:%{l/}.example.net//64 include:_spf.google.com ~all")


@pytest.mark.parametrize(
    ("value", "written"),
    [("_SPF.Google.com.", "_spf.google.com"), ("%{IR}.Has.Example.com.", "%{IR}.has.example.com")],
)
def test_target_of_an_include_has_one_form(value: str, written: str) -> None:
    assert spf_target(value) == written


@pytest.mark.parametrize("value", ["", "spf", "%{x}.example.com", "%{i}.", "https://example.com", "%" * 5000])
def test_wrong_target_of_an_include_is_refused(value: str) -> None:
    with pytest.raises(NameRuleError):
        spf_target(value)


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
        "11 DNS lookups (redirect=example.net 11 (include:_spf.google.com 10))"
    ]


def test_a_stated_cost_does_not_replace_the_count_of_a_declared_domain() -> None:
    inner = domain(name="example.net", spf=SpfPolicy(mechanisms=tuple(f"a:h{n}.example.org" for n in range(9))))
    outer = SpfPolicy(includes=(SpfInclude(domain="example.net", lookups=1), *GOOGLE_SPF.includes))
    assert lookups_found(domain(spf=outer), inner) == [
        "14 DNS lookups (include:example.net 10, include:_spf.google.com 4)"
    ]


@pytest.mark.slow
def test_long_chains_and_wide_fans_of_includes_are_refused_in_a_moment() -> None:
    def includes(*numbers: int) -> SpfPolicy:
        return SpfPolicy(mechanisms=("mx", *(f"include:d{number}.example" for number in numbers)))

    chain = [domain(name=f"d{n}.example", spf=includes(n + 1)) for n in range(1200)]
    last = domain(name="d1200.example", spf=SpfPolicy(mechanisms=("mx",)))
    assert len(lookups_found(*chain, last)) == 1200 - 4
    rows = [
        domain(name=f"d{row * 10 + place}.example", spf=includes(*range(row * 10 + 10, row * 10 + 20)))
        for row in range(12)
        for place in range(10)
    ]
    ends = [domain(name=f"d{n}.example", spf=SpfPolicy(mechanisms=("mx",))) for n in range(120, 130)]
    assert len(lookups_found(*rows, *ends)) == 120


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
