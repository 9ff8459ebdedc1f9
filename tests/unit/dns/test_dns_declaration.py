"""What follows from a declaration: the records, value for value."""

import random
import string
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    NULL_MX,
    Address,
    Declared,
    DkimKey,
    DmarcPolicy,
    DnsRuleError,
    MailExchanger,
    MailHost,
    NameRuleError,
    Record,
    RecordSet,
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    Text,
    address_mechanism,
    declare,
    normalise_name,
)
from mailstack.dns.names import read_name
from mailstack.dns.problems import Findings
from tests.unit.dns.dns_examples import (
    GOOGLE_MX,
    GOOGLE_SPF,
    declaration,
    declared,
    dkim,
    dmarc,
    domain,
    errors_of,
    host,
    mx,
    rsa_key,
    spf,
)


def lines(result: Declared) -> list[tuple[str, str, object]]:
    return [(record.name, record.type, record.data) for record in result.records]


def test_google_upstream_gives_the_whole_set() -> None:
    key = rsa_key(2048)
    result = declared(hosts=(host(ipv6=("2606:2800:220:1::34",)),))
    assert lines(result) == [
        ("example.com", "MX", MailExchanger(preference=1, exchange="smtp.google.com")),
        ("example.com", "TXT", Text(value="v=spf1 include:_spf.google.com ~all")),
        ("_dmarc.example.com", "TXT", Text(value="v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com")),
        ("s1._domainkey.example.com", "TXT", Text(value=f"v=DKIM1; t=s; h=sha256; p={key};")),
        ("relay.example.com", "A", Address(ip="93.184.216.34")),
        ("relay.example.com", "AAAA", Address(ip="2606:2800:220:1::34")),
        ("relay.example.com", "TXT", Text(value="v=spf1 a -all")),
    ]
    assert {record.ttl for record in result.records} == {3600}


def test_host_that_does_not_greet_gets_no_spf() -> None:
    assert declared(hosts=(host(helo=False),)).records.texts("relay.example.com") == ()


def test_domain_that_takes_no_mail_says_so_with_a_null_mx() -> None:
    records = declared(domain(mx=None, dmarc=DmarcPolicy(policy="none"))).records
    assert [record.data for record in records.of_type("MX")] == [NULL_MX]


def test_null_mx_may_be_written_out() -> None:
    written = domain(mx=(NULL_MX,), dmarc=DmarcPolicy(policy="none"))
    assert declared(written) == declared(replace(written, mx=None))


def test_empty_mx_leaves_mx_alone() -> None:
    assert declared(domain(mx=())).records.of_type("MX") == ()


def test_names_come_out_in_one_form() -> None:
    result = declared(
        domain(name="MÜNCHEN.Example.", mx=mx((10, "MX.Example.NET.")).mx),
        hosts=(host(name="Relay.MÜNCHEN.example."),),
    )
    names = {record.name for record in result.records}
    assert names == {
        "xn--mnchen-3ya.example",
        "_dmarc.xn--mnchen-3ya.example",
        "s1._domainkey.xn--mnchen-3ya.example",
        "relay.xn--mnchen-3ya.example",
    }
    assert result.records.of_type("MX")[0].data == MailExchanger(preference=10, exchange="mx.example.net")


def test_ipv6_comes_out_compressed() -> None:
    records = declared(hosts=(host(ipv6=("2606:2800:0220:0001:0000:0000:0000:0034",)),)).records
    assert records.of_type("AAAA")[0].data == Address(ip="2606:2800:220:1::34")


def test_host_with_the_name_of_a_domain_shares_its_one_spf_record() -> None:
    records = declared(hosts=(host(name="example.com"),)).records
    assert records.texts("example.com") == ("v=spf1 a include:_spf.google.com ~all",)


def test_host_with_the_name_of_a_domain_adds_nothing_that_is_there_already() -> None:
    records = declared(spf("a"), hosts=(host(name="example.com"),)).records
    assert records.texts("example.com") == ("v=spf1 a include:_spf.google.com ~all",)


def test_other_texts_stand_beside_spf() -> None:
    records = declared(domain(texts=("google-site-verification=abc", 'say "hi"; \\o/'))).records
    assert set(records.texts("example.com")) == {
        "google-site-verification=abc",
        'say "hi"; \\o/',
        "v=spf1 include:_spf.google.com ~all",
    }


def test_subdomain_may_rely_on_the_dmarc_of_its_parent() -> None:
    bounces = SendingDomain(name="bounces.example.com", mx=GOOGLE_MX, spf=GOOGLE_SPF, dmarc=None)
    result = declared(domain(), bounces)
    assert result.records.at("_dmarc.bounces.example.com") == ()
    assert result.warnings == ()


def test_exchanger_inside_a_domain_needs_its_host_or_a_word_that_it_is_elsewhere() -> None:
    inside = mx((10, "mx.example.com"))
    known = (host(), MailHost(name="mx.example.com", ipv4=("93.184.216.35",)))
    assert [problem.rule for problem in errors_of(declaration(inside, complete=True))] == ["mx-address"]
    assert declared(inside, complete=True, external_hosts=("mx.example.com",)).warnings == ()
    assert declared(inside, complete=True, hosts=known).warnings == ()


def test_term_whose_name_macros_decide_is_not_held_against_the_own_name() -> None:
    terms = SpfPolicy(mechanisms=("a:%{d}.example.org", "mx:%{d}.example.org"))
    null = domain(mx=None, spf=terms, dmarc=DmarcPolicy(policy="none"))
    assert errors_of(declaration(null, complete=True)) == ()


def test_zone_with_records_of_others_may_have_what_spf_names() -> None:
    terms = spf("a", "a:web.example.com", "mx:shop.example.com", "?exists:%{i}.example.com")
    assert declared(terms).warnings == ()
    rules = [problem.rule for problem in errors_of(declaration(terms, complete=True))]
    assert rules == ["spf-void"] * 3
    names = ("example.com", "web.example.com", "shop.example.com")
    assert errors_of(declaration(terms, complete=True, external_hosts=names)) == ()


@pytest.mark.parametrize(("ending", "accepted"), [({"ttl": 1}, 1), ({"ttl": 60}, 60), ({"ttl": 86400}, 86400)], ids=str)
def test_ttl_limits_are_inclusive(ending: dict[str, int], accepted: int) -> None:
    assert {record.ttl for record in declared(**ending).records} == {accepted}


# DMARC


def test_dmarc_policy_stands_second_and_defaults_are_left_out() -> None:
    full = dmarc(
        policy="reject",
        subdomain_policy="quarantine",
        nonexistent_policy="reject",
        dkim_alignment="strict",
        spf_alignment="strict",
        aggregate_reports=("a@example.com", "mailto:b@example.com"),
        failure_reports=("f@example.com",),
        failure_options=("1", "d"),
    )
    tags = declared(full).records.texts("_dmarc.example.com")[0].split("; ")
    assert tags == [
        "v=DMARC1",
        "p=reject",
        "sp=quarantine",
        "np=reject",
        "adkim=s",
        "aspf=s",
        "rua=mailto:a@example.com,mailto:b@example.com",
        "ruf=mailto:f@example.com",
        "fo=1:d",
    ]


@pytest.mark.parametrize(
    ("address", "uri"),
    [
        ("a,b!c;d@example.com", "mailto:a%2Cb%21c%3Bd@example.com"),
        ("100%@example.com", "mailto:100%25@example.com"),
        ("mailto:a%2Cb@example.com", "mailto:a%2Cb@example.com"),
        ("who?now#then@example.com", "mailto:who%3Fnow%23then@example.com"),
        ("dmarc+x@Example.COM", "mailto:dmarc+x@example.com"),
        ("MAILTO:a@münchen.example.com", "mailto:a@xn--mnchen-3ya.example.com"),
    ],
)
def test_report_address_is_encoded_so_that_tags_and_lists_survive(address: str, uri: str) -> None:
    assert declared(dmarc(aggregate_reports=(address,))).records.texts("_dmarc.example.com") == (
        f"v=DMARC1; p=quarantine; rua={uri}",
    )


def test_receiver_of_reports_in_another_declared_domain_agrees_in_its_own_zone() -> None:
    result = declared(
        dmarc(aggregate_reports=("r@reports.example.net",), failure_reports=("f@example.net",)),
        domain(name="example.net", dmarc=DmarcPolicy(policy="none", aggregate_reports=("r@example.net",))),
    )
    assert result.records.texts("example.com._report._dmarc.reports.example.net") == ("v=DMARC1;",)
    assert result.records.texts("example.com._report._dmarc.example.net") == ("v=DMARC1;",)
    assert result.records.for_zone("example.com").at("example.com._report._dmarc.example.net") == ()
    assert {warning.rule for warning in result.warnings} == {"dmarc-failure-reports"}


@pytest.mark.parametrize(
    ("name", "address"),
    [
        ("example.com", "r@example.com"),
        ("example.com", "r@deep.mail.example.com"),
        ("mail.example.com", "r@example.com"),
        ("mail.example.com", "r@reports.example.com"),
    ],
)
def test_receiver_in_the_same_organisation_need_not_agree(name: str, address: str) -> None:
    policy = DmarcPolicy(policy="reject", aggregate_reports=(address,))
    result = (
        declared(domain(), domain(name=name, dmarc=policy)) if name != "example.com" else declared(domain(dmarc=policy))
    )
    assert not [record for record in result.records if "._report." in record.name]
    assert result.warnings == ()


def test_parent_that_is_not_declared_is_the_same_organisation() -> None:
    policy = DmarcPolicy(policy="reject", aggregate_reports=("r@example.com",))
    assert declared(domain(name="mail.example.com", dmarc=policy), hosts=()).warnings == ()


def test_name_that_only_ends_alike_is_another_organisation() -> None:
    result = declared(dmarc(aggregate_reports=("r@notexample.com",)))
    assert [warning.rule for warning in result.warnings] == ["dmarc-report-authorisation"]


# SPF


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
    policy = SpfPolicy(redirect="_spf.example.net", all=None)
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
    assert lookups_found(domain(spf=SpfPolicy(redirect="example.net", all=None)), inner) == [
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


# DKIM


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({}, "v=DKIM1; t=s; h=sha256; p=KEY;"),
        ({"strict_identity": False}, "v=DKIM1; h=sha256; p=KEY;"),
        ({"testing": True}, "v=DKIM1; t=y:s; h=sha256; p=KEY;"),
        ({"testing": True, "strict_identity": False}, "v=DKIM1; t=y; h=sha256; p=KEY;"),
        ({"key_type": "ed25519"}, "v=DKIM1; k=ed25519; t=s; h=sha256; p=KEY;"),
    ],
    ids=str,
)
def test_dkim_text_is_postals_byte_for_byte(changes: dict[str, object], text: str) -> None:
    assert DkimKey(**{"selector": "s1", "public_key": "KEY", **changes}).text == text  # type: ignore[arg-type]


def test_revoked_key_is_published_empty_beside_the_new_one() -> None:
    both = domain(
        dkim=(DkimKey(selector="old", public_key="", revoked=True), DkimKey(selector="new", public_key=rsa_key(2048)))
    )
    result = declared(both)
    assert result.records.texts("old._domainkey.example.com") == ("v=DKIM1; t=s; h=sha256; p=;",)
    assert result.warnings == ()


def test_selector_may_have_several_labels() -> None:
    assert declared(dkim(rsa_key(2048), selector="2026.Mail")).records.texts("2026.mail._domainkey.example.com")


# Records and sets


def test_declare_is_a_function_of_its_input_alone() -> None:
    first = declaration(domain(), domain(name="example.net"), hosts=(host(), host(name="b.example.com")))
    again = declaration(domain(name="example.net"), domain(), hosts=(host(name="b.example.com"), host()))
    assert declare(first).records == declare(again).records == declare(first).records


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


REPORT_LOCAL = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~,;-]{1,30}", fullmatch=True)


@given(REPORT_LOCAL)
@settings(deadline=None)
def test_no_report_address_breaks_out_of_its_tag(local: str) -> None:
    text = declared(dmarc(aggregate_reports=(f"{local}@example.com",))).records.texts("_dmarc.example.com")[0]
    tags = text.split("; ")
    assert tags[:2] == ["v=DMARC1", "p=quarantine"]
    assert len(tags) == 3
    assert not set(",!;") & set(tags[2])


def test_problem_of_a_set_never_changes_place() -> None:
    broken = declaration(spf("ptr", "ipv4:93.184.216.34"), ttl=5)
    assert [problem.rule for problem in errors_of(broken)] == ["ttl-range", "spf-ptr", "spf-mechanism"]
