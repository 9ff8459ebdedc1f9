"""Records beyond SPF, DKIM and DMARC: what is published, as other parsers read it, and the right side of each rule."""

from typing import Any

import checkdmarc.smtp_tls_reporting
import dns.zone
import pytest

from mailstack.dns import (
    NULL_MX,
    Address,
    Alias,
    Bimi,
    Caa,
    CaaPolicy,
    CertificateUse,
    DmarcPolicy,
    DnsDeclaration,
    MailExchanger,
    MailService,
    NameServer,
    RecordSet,
    SpfPolicy,
    Srv,
    Text,
    TlsReports,
    authority_of,
    declare,
    render_records,
)
from mailstack.dns.rdata import RecordData
from tests.unit.dns.dns_examples import declaration, declared, domain
from tests.unit.dns.dns_record_mistakes import (
    SHA256,
    STRICT,
    TOKENS,
    WEB,
    association,
    bimi,
    caa,
    further,
    mailgun,
    sendgrid,
    ses,
    several,
    sts,
    tlsa,
)

LETS_ENCRYPT = Caa(flags=0, tag="issue", value="letsencrypt.org")


def data_at(records: RecordSet, name: str, type_: Any = None) -> list[RecordData]:
    return [record.data for record in records.at(name, type_)]


def accepted(*cases: DnsDeclaration) -> None:
    """Assert that each declaration is right, and nothing about it is worth a word."""
    for case in cases:
        assert [str(warning) for warning in declare(case).warnings] == []


def parked() -> DnsDeclaration:
    return declaration(
        domain(
            name="parked.example",
            mx=None,
            spf=SpfPolicy(all="-all"),
            dkim=(),
            dmarc=DmarcPolicy(policy="reject", subdomain_policy="reject", aggregate_reports=("d@example.com",)),
            profile="parked",
            caa=CaaPolicy(issue=()),
        ),
        domain(),
    )


def test_a_parked_domain_sends_takes_and_signs_nothing_and_gets_no_certificate() -> None:
    found = declare(parked())
    zone = found.records.for_zone("parked.example")
    assert {(record.name, record.data) for record in zone} >= {
        ("parked.example", NULL_MX),
        ("parked.example", Text(value="v=spf1 -all")),
        ("parked.example", Caa(flags=0, tag="issue", value=";")),
        ("*._domainkey.parked.example", Text(value="v=DKIM1; p=")),
    }
    [policy] = zone.texts("_dmarc.parked.example")
    assert policy.startswith("v=DMARC1; p=reject; sp=reject")
    about = [str(warning) for warning in found.warnings if "parked" in warning.record]
    assert all("dmarc-report-authorisation" in line for line in about), "no key, no mail: nothing is missing"


def test_caa_says_who_may_issue_or_that_nobody_may() -> None:
    records = declare(
        caa(
            issue=("letsencrypt.org; validationmethods=http-01", "sectigo.com"),
            issue_wild=(),
            issue_mail=("mail-ca.example",),
            iodef=("security@example.com", "https://example.com/caa"),
            critical=True,
        )
    ).records
    assert set(data_at(records, "example.com", "CAA")) == {
        Caa(flags=128, tag="issue", value="letsencrypt.org; validationmethods=http-01"),
        Caa(flags=128, tag="issue", value="sectigo.com"),
        Caa(flags=128, tag="issuewild", value=";"),
        Caa(flags=128, tag="issuemail", value="mail-ca.example"),
        Caa(flags=0, tag="iodef", value="mailto:security@example.com"),
        Caa(flags=0, tag="iodef", value="https://example.com/caa"),
    }


def test_caa_follows_from_the_certificates_where_that_is_asked_for() -> None:
    elsewhere = CertificateUse(name="www.example.net", authority="sectigo.com")
    records = declare(caa((WEB, elsewhere), computed=True)).records
    assert data_at(records, "example.com", "CAA") == [LETS_ENCRYPT]
    assert authority_of("https://acme-v02.api.letsencrypt.org/directory") == "letsencrypt.org"
    assert authority_of("https://acme.zerossl.com/v2/DV90") == "sectigo.com"
    assert authority_of("https://ca.internal/acme/directory") is None


def test_an_issuer_that_the_closest_caa_permits_is_accepted() -> None:
    permits = '0 issue "letsencrypt.org"'
    accepted(
        caa((WEB,), issue=("letsencrypt.org",)),
        caa((WEB,), issue=("letsencrypt.org; validationmethods=dns-01,http-01",)),
        caa((WEB,), issue=("sectigo.com", "letsencrypt.org")),
        caa((WEB,), iodef=("security@example.com",)),  # restricts nothing
        # The closest set wins over the domain's, also where it permits more.
        further("www.example.com", "CAA", permits, certificates=(WEB,), domains=(domain(caa=CaaPolicy(issue=())),)),
        # What an alias leads to counts like the name itself.
        several(
            ("t.example.com", "CAA", permits, None),
            certificates=(WEB,),
            cnames=(("www.example.com", "t.example.com"),),
            domains=(domain(caa=CaaPolicy(issue=())),),
        ),
    )


def test_tls_reports_are_asked_for_as_another_parser_reads_it() -> None:
    reports = TlsReports(destinations=("tls@Example.com", "mailto:b,c@example.com", "https://example.net/r?a=1;2"))
    [text] = declared(domain(tls_reports=reports)).records.texts("_smtp._tls.example.com")
    assert text == "v=TLSRPTv1; rua=mailto:tls@example.com,mailto:b%2Cc@example.com,https://example.net/r?a=1%3B2"
    read = checkdmarc.smtp_tls_reporting.parse_smtp_tls_reporting_record(text)
    assert read["tags"]["rua"]["value"] == [
        "mailto:tls@example.com",
        "mailto:b%2Cc@example.com",
        "https://example.net/r?a=1%3B2",
    ]
    accepted(declaration(domain(tls_reports=TlsReports(destinations=("tls@example.com",)))))


def test_a_logo_has_its_record_below_its_selector() -> None:
    certificate = "https://example.com/mark.pem"
    records = declared(domain(bimi=bimi(certificate=certificate)), domain(name="a.example.com", dmarc=None)).records
    assert records.texts("default._bimi.example.com") == (f"v=BIMI1; l=https://example.com/logo.svg; a={certificate}",)
    other = declared(domain(bimi=Bimi(logo="https://example.com/b.svg", selector="brand"))).records
    assert other.texts("brand._bimi.example.com") == ("v=BIMI1; l=https://example.com/b.svg",)
    # A subdomain's logo goes by what its parent says of subdomains.
    accepted(declaration(domain(), domain(name="a.example.com", dmarc=None, bimi=bimi())))


def test_submission_is_announced_and_what_is_not_offered_is_said() -> None:
    service = MailService(domain="example.com", host="relay.example.com", starttls_port=None)
    records = declared(services=(service,)).records
    assert data_at(records, "_submissions._tcp.example.com") == [
        Srv(priority=0, weight=1, port=465, target="relay.example.com")
    ]
    assert data_at(records, "_submission._tcp.example.com") == [Srv(priority=0, weight=0, port=0, target=".")]


def test_tlsa_of_the_current_and_the_next_key_stands_below_the_host() -> None:
    both = (association(), association(certificate="0b" * 32))
    found = declare(tlsa(*both))
    assert found.warnings == ()
    assert set(data_at(found.records, "_25._tcp.relay.example.com")) == set(both)
    # A web server may well name a public CA's certificate.
    accepted(further("_443._tcp.a.example.com", "TLSA", f"1 0 1 {SHA256}", signed_zones=("example.com",)))


@pytest.mark.parametrize(
    ("type_", "value", "data"),
    [
        ("A", "93.184.216.9", Address(ip="93.184.216.9")),
        ("AAAA", "2606:2800:0220:1::9", Address(ip="2606:2800:220:1::9")),
        ("CNAME", "Bücher.example.", Alias(target="xn--bcher-kva.example")),
        ("MX", "10 MX.example.net.", MailExchanger(preference=10, exchange="mx.example.net")),
        ("MX", "0 .", NULL_MX),
        ("TXT", "plain text; with = signs", Text(value="plain text; with = signs")),
        ("TXT", '"quoted " "text"', Text(value="quoted text")),
        ("NS", "ns1.example.net", NameServer(host="ns1.example.net")),
        ("CAA", '0 issue "letsencrypt.org"', LETS_ENCRYPT),
    ],
)
def test_a_further_record_is_published_as_it_is_declared(type_: str, value: str, data: RecordData) -> None:
    records = declare(further("Neu.b.example.com", type_, value, ttl=300)).records
    [record] = records.at("neu.b.example.com")
    assert (record.type, record.ttl, record.data) == (type_, 300, data)
    read = dns.zone.from_text(render_records(records), origin="example.com", relativize=False, check_origin=False)
    assert read.get_rdataset("neu.b.example.com.", type_) is not None


def test_further_records_may_join_a_set_and_stand_beside_other_types() -> None:
    accepted(
        further("example.com", "TXT", "google-site-verification=abc"),
        further("www.example.com", "AAAA", "2606:2800:220:1::9", "2606:2800:220:1::10"),
        further("_x._tcp.example.com", "SRV", "0 0 0 ."),
        further("a.example.com", "TXT", "v=spf1 -all"),  # a name of its own may say who sends for it
        further("example.net._report._dmarc.example.com", "TXT", "v=DMARC1;"),
        further("s2._domainkey.example.com", "TXT", "v=DKIM1; p="),
        further("*._report._dmarc.example.com", "TXT", "v=DMARC1;"),
        # The addresses of a delegation's own servers stay here.
        several(("b.example.com", "NS", "ns1.b.example.com", None), ("ns1.b.example.com", "A", "93.184.216.9", None)),
    )


def test_a_policy_that_names_every_exchanger_is_accepted() -> None:
    accepted(
        declaration(mta_sts=sts("enforce", "smtp.google.com")), declaration(mta_sts=sts("enforce", "*.google.com"))
    )


def test_ses_has_three_aliases_and_a_place_for_bounces() -> None:
    found = declared(domain(dkim=()), providers=(ses(),))
    assert found.warnings == (), "SES signs: no key is missing"
    for token in TOKENS:
        assert data_at(found.records, f"{token}._domainkey.example.com") == [
            Alias(target=f"{token}.dkim.amazonses.com")
        ]
    assert data_at(found.records, "bounce.example.com") == [
        MailExchanger(preference=10, exchange="feedback-smtp.eu-west-1.amazonses.com"),
        Text(value="v=spf1 include:amazonses.com ~all"),
    ]
    assert data_at(found.records, "example.com", "MX") == data_at(declared().records, "example.com", "MX")


def test_sendgrid_has_its_aliases_and_those_of_links() -> None:
    asked = sendgrid(link_subdomain="url1234", link_owner="8119916", link_host="click.sendgrid.net")
    found = declared(domain(dkim=()), providers=(asked,))
    assert found.warnings == ()
    host = "u1234567.wl123.sendgrid.net"
    assert {record.name: record.data for record in found.records.of_type("CNAME")} == {
        "em1234.example.com": Alias(target=host),
        "s1._domainkey.example.com": Alias(target=f"s1.domainkey.{host}"),
        "s2._domainkey.example.com": Alias(target=f"s2.domainkey.{host}"),
        "url1234.example.com": Alias(target="click.sendgrid.net"),
        "8119916.example.com": Alias(target="sendgrid.net"),
    }


def test_mailgun_has_a_domain_below_with_all_it_asks_for() -> None:
    asked = mailgun(region="eu", tracking="email", dkim_aliases=(("pdk1", "pdk1._domainkey.abc.dkim1.mailgun.com"),))
    found = declared(providers=(asked,))
    assert found.warnings == ()
    records = found.records
    assert data_at(records, "mg.example.com") == [
        MailExchanger(preference=10, exchange="mxa.eu.mailgun.org"),
        MailExchanger(preference=10, exchange="mxb.eu.mailgun.org"),
        Text(value="v=spf1 include:mailgun.org ~all"),
    ]
    assert data_at(records, "email.mg.example.com") == [Alias(target="eu.mailgun.org")]
    assert data_at(records, "pdk1._domainkey.mg.example.com", "CNAME")
    [key] = records.texts("k1._domainkey.mg.example.com")
    assert "t=s" not in key, "as its own record, which says nothing of i="


def test_mailgun_at_the_domain_itself_is_merged_into_its_one_spf_record() -> None:
    asked = mailgun(name="example.com", receive=False)
    records = declared(providers=(asked,)).records
    assert records.texts("example.com") == ("v=spf1 include:_spf.google.com include:mailgun.org ~all",)
    assert records.texts("k1._domainkey.example.com") != ()
    taking = declared(domain(mx=()), providers=(mailgun(name="example.com"),)).records
    assert data_at(taking, "example.com", "MX") == [
        MailExchanger(preference=10, exchange="mxa.mailgun.org"),
        MailExchanger(preference=10, exchange="mxb.mailgun.org"),
    ]


def test_a_null_mx_is_right_where_bounces_return_to_another_name() -> None:
    without = domain(mx=None, dmarc=DmarcPolicy(policy="reject", aggregate_reports=("d@example.net",)))
    other = domain(name="example.net", dmarc=DmarcPolicy(policy="none"))
    rules = [warning.rule for warning in declared(without, other, providers=(ses(),)).warnings]
    assert "mx-null-sender" not in rules
    assert "mx-null-sender" in [warning.rule for warning in declared(without, other).warnings]


def test_strict_alignment_of_what_is_aligned_anyway_says_nothing() -> None:
    accepted(
        declaration(domain(dkim=(), dmarc=STRICT), providers=(ses(),)),
        declaration(domain(dkim=(), dmarc=STRICT), providers=(sendgrid(),)),
    )
