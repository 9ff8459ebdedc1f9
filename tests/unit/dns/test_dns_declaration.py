"""What follows from a declaration: the records, value for value."""

from dataclasses import replace

import pytest

from mailstack.dns import (
    NULL_MX,
    Address,
    Declared,
    DkimKey,
    DmarcPolicy,
    MailExchanger,
    MailHost,
    SendingDomain,
    SpfPolicy,
    Text,
    declare,
)
from tests.unit.dns.dns_examples import (
    GOOGLE_MX,
    GOOGLE_SPF,
    declaration,
    declared,
    dkim,
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


def test_declare_is_a_function_of_its_input_alone() -> None:
    first = declaration(domain(), domain(name="example.net"), hosts=(host(), host(name="b.example.com")))
    again = declaration(domain(name="example.net"), domain(), hosts=(host(name="b.example.com"), host()))
    assert declare(first).records == declare(again).records == declare(first).records


def test_problem_of_a_set_never_changes_place() -> None:
    broken = declaration(spf("-all", "ipv4:93.184.216.34"), ttl=5)
    assert [problem.rule for problem in errors_of(broken)] == ["ttl-range", "spf-all-position", "spf-mechanism"]
