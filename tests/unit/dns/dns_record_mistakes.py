"""Mistakes in further records, CAA, SRV, TLSA, reports, logos and what sending services ask for."""

from typing import Any

from mailstack.dns import (
    Bimi,
    CaaPolicy,
    CertificateUse,
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    FurtherRecord,
    MailgunDomain,
    MailService,
    MtaStsRecord,
    SendGridDomain,
    SesIdentity,
    SpfInclude,
    Tlsa,
    TlsaHost,
    TlsReports,
)
from tests.unit.dns.dns_examples import Mistake, declaration, dmarc, domain, mx, rsa_key

TOKENS = ("a" * 32, "b" * 32, "c" * 32)
SHA256 = "0a" * 32
WEB = CertificateUse(name="www.example.com", authority="letsencrypt.org", methods=("http-01",))
STRICT = DmarcPolicy(policy="reject", aggregate_reports=("d@example.com",), dkim_alignment="strict")


def further(name: str, type_: str, *values: str, ttl: int | None = None, **changes: Any) -> DnsDeclaration:
    """Return a declaration of example.com with one further record set."""
    record = FurtherRecord(place="dns.records[0]", name=name, type=type_, values=values, ttl=ttl)
    return declaration(**{"domains": (domain(),), "further": (record,), **changes})


def several(*records: tuple[str, str, str, int | None], **changes: Any) -> DnsDeclaration:
    """Return a declaration of example.com with these further records."""
    read = tuple(
        FurtherRecord(place=f"dns.records[{index}]", name=name, type=type_, values=(value,), ttl=ttl)
        for index, (name, type_, value, ttl) in enumerate(records)
    )
    return declaration(further=read, **changes)


def caa(certificates: tuple[CertificateUse, ...] = (), **fields: Any) -> DnsDeclaration:
    return declaration(domain(caa=CaaPolicy(**fields)), certificates=certificates)


def tlsa(*associations: Tlsa, signed: tuple[str, ...] = ("example.com",), **changes: Any) -> DnsDeclaration:
    host = TlsaHost(name="relay.example.com", associations=associations)
    return declaration(tlsa=(host,), signed_zones=signed, **changes)


def association(usage: int = 3, selector: int = 1, matching_type: int = 1, certificate: str = SHA256) -> Tlsa:
    return Tlsa(usage=usage, selector=selector, matching_type=matching_type, certificate=certificate)


def ses(**changes: Any) -> SesIdentity:
    fields: dict[str, Any] = {
        "domain": "example.com",
        "region": "eu-west-1",
        "dkim_tokens": TOKENS,
        "mail_from": "bounce.example.com",
        "spf": SpfInclude(domain="amazonses.com", lookups=1),
    }
    return SesIdentity(**{**fields, **changes})


def sendgrid(**changes: Any) -> SendGridDomain:
    fields: dict[str, Any] = {"domain": "example.com", "host": "u1234567.wl123.sendgrid.net", "subdomain": "em1234"}
    return SendGridDomain(**{**fields, **changes})


def mailgun(**changes: Any) -> MailgunDomain:
    fields: dict[str, Any] = {
        "domain": "example.com",
        "name": "mg.example.com",
        "spf": SpfInclude(domain="mailgun.org", lookups=4),
        "keys": (DkimKey(selector="k1", public_key=rsa_key(2048), strict_identity=False),),
    }
    return MailgunDomain(**{**fields, **changes})


def bimi(**changes: Any) -> Bimi:
    return Bimi(**{"logo": "https://example.com/logo.svg", **changes})


def sts(mode: Any, *names: str) -> tuple[MtaStsRecord, ...]:
    return (MtaStsRecord(domain="example.com", policy_id="1", mode=mode, mx=names),)


A_CERTIFICATE_OF_NOBODY_KNOWN = CertificateUse(name="www.example.com", authority=None)

RECORD_ERRORS: list[Mistake] = [
    # Further records
    (further("www.example.com", "HINFO", "x"), "record-type", '"HINFO"', "where the zone is kept"),
    (further("www", "A", "93.184.216.9"), "name-qualified", "www", "registered domain"),
    (further("www.example.com", "A", "10.0.0.1"), "address-public", "private", "on the internet"),
    (further("www.example.com", "A", "www"), "address-syntax", '"www"', "address alone"),
    (further("www.example.com", "AAAA", "93.184.216.9"), "address-family", "an IPv4 address", "public_ipv4"),
    (further("www.example.com", "CNAME", "a b"), "name-syntax", '"a b"', "without blanks"),
    (further("a.example.com", "MX", "mx.example.net"), "record-data", "mx.example.net", "10 mx.example.net"),
    (further("a.example.com", "MX", "70000 mx.example.net"), "mx-preference", "70000", "0 to 65535"),
    (further("a.example.com", "MX", "10 ."), "mx-null", "exchange '.'", '"0 ."'),
    (further("a.example.com", "SRV", "0 1 465"), "record-data", "0 1 465", "0 1 465 mail.example.net"),
    (further("_x._tcp.example.com", "SRV", "0 70000 465 a.example.net"), "record-data", "70000", "0 1 465"),
    (further("a.example.com", "TLSA", "3 1 1"), "record-data", "3 1 1", "64 hexadecimal"),
    (further("a.example.com", "CAA", "issue letsencrypt.org"), "record-data", "issue", "0 issue"),
    (further("a.example.com", "TXT", "höhe"), "txt-characters", "printable ASCII", "3,800"),
    (further("www.example.com", "A", "93.184.216.9", ttl=30), "ttl-range", "30", "`dns.records.ttl`"),
    (further("www.example.com", "A", "93.184.216.9", "93.184.216.9"), "record-duplicate", "the same value", "remove"),
    (further("relay.example.com", "A", "93.184.216.34"), "record-owned", "very record", "remove the entry"),
    (further("relay.example.com", "AAAA", "2600::9"), "record-owned", "a host of this stack", "`hosts`"),
    (further("example.com", "MX", "20 mx.example.net"), "record-owned", "an exchanger", "`mx`"),
    (further("example.com", "CAA", '0 issue "sectigo.com"', domains=(domain(caa=CaaPolicy(issue=())),)),
     "record-owned", "CAA of a domain", "`caa`"),
    (further("_submission._tcp.example.com", "SRV", "5 1 587 a.example.net",
             services=(MailService(domain="example.com", host="relay.example.com"),)),
     "record-owned", "another SRV record", "`relay.submission.srv_domains`"),
    (several(("w.example.com", "A", "93.184.216.8", 60), ("w.example.com", "A", "93.184.216.9", 300)),
     "rrset-ttl", "300 beside 60", "the same `dns.records.ttl`"),
    (further("example.com", "TXT", "token", ttl=300), "rrset-ttl", "300 beside 3600", "leave `dns.records.ttl` out"),
    (several(("w.example.com", "CNAME", "a.example.net", None), ("w.example.com", "A", "93.184.216.9", None)),
     "cname-exclusive", "w.example.com", "remove the CNAME"),
    (several(("w.example.com", "CNAME", "a.example.net", None), ("w.example.com", "CNAME", "b.example.net", None)),
     "cname-exclusive", "w.example.com", "another name"),
    (further("example.com", "CNAME", "a.example.net"), "cname-exclusive", "example.com", "remove the CNAME"),
    (several(("w.example.com", "CNAME", "a.example.net", None), ("b.example.com", "MX", "10 w.example.com", None)),
     "mx-alias", "w.example.com", "target of the CNAME"),
    (several(("w.example.com", "CNAME", "a.example.net", None), ("_x._tcp.example.com", "SRV", "0 0 5 w.example.com",
             None)), "srv-target", "w.example.com", "target of the CNAME"),
    (further("x.example.com", "SRV", "0 1 465 a.example.net"), "srv-name", "x.example.com", "in front"),
    (further("_x._tcp.example.com", "SRV", "0 1 0 a.example.net"), "srv-port", "port 0", "0 0 0 ."),
    (further("_x._tcp.example.com", "SRV", "0 0 465 ."), "srv-port", "465 at .", "0 0 0 ."),
    # Further TXT records with a meaning
    (further("example.com", "TXT", "v=spf1 -all"), "spf-single", "a second SPF record", "`spf.include`"),
    (further("a.example.com", "TXT", "v=spf1 -all", "v=spf1 ~all"), "spf-single", "beside that of", "merge"),
    (further("example.com", "TXT", "spf2.0/pra -all"), "spf-sender-id", "Sender ID", "remove"),
    (further("example.com", "TXT", "v=DMARC1; p=none"), "txt-place", "_dmarc.<domain>", "correct the name"),
    (further("x.example.com", "TXT", "v=DKIM1; p="), "txt-place", "<selector>._domainkey.<domain>", "the name"),
    (further("example.com", "TXT", "v=TLSRPTv1; rua=mailto:a@example.com"), "txt-place", "_smtp._tls", "the name"),
    (further("_dmarc.example.com", "TXT", "v=DMARC1; p=none"), "txt-single", "a second DMARC", "`dmarc`"),
    (further("s1._domainkey.example.com", "TXT", "p=abc"), "txt-single", "a second DKIM", "`dkim`"),
    (further("_smtp._tls.example.com", "TXT", "v=TLSRPTv1; rua=mailto:b@example.com",
             domains=(domain(tls_reports=TlsReports(destinations=("a@example.com",))),)),
     "txt-single", "a second TLS-RPT", "`tls_rpt`"),
    (further("x._domainkey.example.com", "TXT", "v=DKIM1; p=a", "v=DKIM1; p=b"), "txt-single", "beside", "merge"),
    (further("_mta-sts.example.com", "TXT", "v=STSv1; id=1"), "mta-sts-domain", "without a policy", "caddy.mta_sts"),
    # Delegations
    (declaration(domain(), domain(name="sub.example.com"),
                 further=further("sub.example.com", "NS", "ns1.example.net").further),
     "ns-declared-domain", "sub.example.com", "out of `domains`"),
    (several(("b.example.com", "NS", "ns1.example.net", None), ("w.b.example.com", "A", "93.184.216.9", None)),
     "ns-delegation", "w.b.example.com A", "move the record"),
    (further("relay.example.com", "NS", "ns1.example.net"), "ns-delegation", "relay.example.com A", "delegation"),
    # MTA-STS
    (declaration(domain(mx=None), mta_sts=sts("enforce", "mx.example.net")), "mta-sts-no-mail", "null MX", "`mx`"),
    (declaration(mta_sts=sts("enforce", "mx.example.net")), "mta-sts-mx", "smtp.google.com", "add it to `mx`"),
    (declaration(mta_sts=sts("enforce", "*.com", "*.mail.google.com")), "mta-sts-mx", "smtp.google.com", "`mx`"),
    # TLS reports
    (declaration(domain(tls_reports=TlsReports(destinations=()))), "tls-rpt-destination", "no dest", "`tls_rpt.rua`"),
    *((declaration(domain(tls_reports=TlsReports(destinations=(wrong,)))), "tls-rpt-destination", wrong, "tls_rpt")
      for wrong in ("nobody", "http://example.com/r", "a@localhost", "a b@example.com", "https://", "@example.com")),
    (declaration(domain(tls_reports=TlsReports(destinations=("a@example.com", "mailto:a@EXAMPLE.com")))),
     "tls-rpt-duplicate", "twice", "remove one"),
    (declaration(domain(tls_reports=TlsReports(destinations=("a@example.net",))), domain(name="example.net", mx=None)),
     "tls-rpt-mailbox", "a null MX", "give example.net an `mx`"),
    # BIMI
    *((declaration(domain(bimi=bimi(logo=wrong))), "bimi-url", wrong, "`bimi.logo`")
      for wrong in ("http://example.com/a.svg", "https://", "https://example.com/a;b.svg", "logo.svg")),
    (declaration(domain(bimi=bimi(certificate="https://example.com/a b.pem"))), "bimi-url", "a b.pem", "certificate"),
    (declaration(domain(bimi=bimi(), dmarc=DmarcPolicy(policy="none"))), "bimi-policy", "policy none", "quarantine"),
    (declaration(domain(bimi=bimi(), dmarc=DmarcPolicy(policy="reject", subdomain_policy="none"))),
     "bimi-policy", "for subdomains", "`dmarc.subdomain_policy`"),
    (declaration(dmarc(policy="none"), domain(name="a.example.com", dmarc=None, bimi=bimi())),
     "bimi-policy", "policy none", "`dmarc.policy`"),
    # CAA
    (further("a.example.com", "CAA", '1 issue "letsencrypt.org"'), "caa-flags", "flags 1", "128"),
    (further("a.example.com", "CAA", '0 isue "letsencrypt.org"'), "caa-tag", '"isue"', "no CA knows"),
    (caa(issue=("Let's Encrypt",)), "caa-value", "Let's Encrypt", "letsencrypt.org"),
    (caa(issue=("höhe.example",)), "caa-value", "höhe", "not ASCII"),
    (caa(issue=("x" * 300,)), "caa-value", "302 characters", "shorten"),
    (caa(issue=("letsencrypt.org; validationmethods",)), "caa-parameter", "validationmethods", "http-01"),
    (caa(issue=("letsencrypt.org; accounturi=http://a.example/1",)), "caa-account", "http://a.example/1", "https"),
    (caa(issue=("letsencrypt.org; validationmethods=http-01,",)), "caa-methods", "http-01,", "comma between"),
    (caa(iodef=("security",)), "caa-iodef", '"security"', "security@example.com"),
    (caa(iodef=("mailto:security@localhost",)), "caa-iodef", "localhost", "security@example.com"),
    (caa(issue=("a.example", "a.example")), "caa-duplicate", "twice", "remove one"),
    (caa(computed=True), "caa-default", "no certificate by ACME", "`caa.issue`"),
    (caa((A_CERTIFICATE_OF_NOBODY_KNOWN,), computed=True), "caa-default", "not known here", "`caa.issue`"),
    (caa((WEB,), issue=("sectigo.com",)), "caa-issuer", "sectigo.com issue", "add letsencrypt.org to `caa.issue`"),
    (caa((WEB,), issue=()), "caa-issuer", "nobody", "add letsencrypt.org"),
    (caa((WEB,), issue=("letsencrypt.org; validationmethods=dns-01",)), "caa-issuer", "under conditions", "rules"),
    (further("www.example.com", "CAA", '0 issue "sectigo.com"', certificates=(WEB,),
             domains=(domain(caa=CaaPolicy(issue=("letsencrypt.org",))),)),
     "caa-issuer", "CAA at www.example.com", "letsencrypt.org"),
    (several(("t.example.net", "CAA", '0 issue "sectigo.com"', None), certificates=(WEB,),
             cnames=(("www.example.com", "t.example.net"),)), "caa-issuer", "CAA at t.example.net", "letsencrypt"),
    # TLSA
    (tlsa(association(usage=1), association()), "tlsa-usage", "usage 1", "3 1 1"),
    (tlsa(association(selector=2), association()), "tlsa-parameters", "selector 2", "3 1 1"),
    (tlsa(association(matching_type=3), association()), "tlsa-parameters", "matching type 3", "3 1 1"),
    (tlsa(association(certificate="0a" * 31), association()), "tlsa-length", "62 characters", "openssl pkey"),
    (tlsa(association(matching_type=2), association()), "tlsa-length", "SHA-512", "openssl pkey"),
    (tlsa(association(matching_type=0, certificate="0g"), association()), "tlsa-length", "whole bytes", "openssl"),
    (tlsa(association(), association()), "tlsa-duplicate", "twice", "remove one"),
    (tlsa(association(), association(certificate="0b" * 32), signed=()), "tlsa-dnssec", "not said to be signed",
     "`dns.signed_zones`"),
    (further("_25._tcp.a.example.com", "TLSA", f"3 1 1 {SHA256}"), "tlsa-dnssec", "not said", "`dns.signed_zones`"),
    (further("_443._tcp.a.example.com", "TLSA", f"7 1 1 {SHA256}", signed_zones=("example.com",)), "tlsa-usage",
     "usage 7", "3 1 1"),
    (tlsa(association(), association(certificate="0b" * 32), aliases=("relay.example.com",)), "tlsa-alias",
     "relay.example.com", "`dns.tlsa`"),
    # Sending services
    (declaration(providers=(ses(dkim_tokens=TOKENS[:2]),)), "ses-tokens", "2 different tokens", "three CNAME"),
    (declaration(providers=(ses(dkim_tokens=(*TOKENS[:2], TOKENS[0])),)), "ses-tokens", "2 different", "three"),
    (declaration(providers=(ses(dkim_tokens=(*TOKENS[:2], "C._domainkey")),)), "ses-tokens", "C._domainkey", "copy"),
    (declaration(providers=(ses(region="Ireland"),)), "ses-region", '"Ireland"', "`ses.region`"),
    (declaration(providers=(ses(mail_from="example.com"),)), "provider-name", "example.com", "`ses.mail_from`"),
    (declaration(providers=(ses(mail_from="bounce.example.net"),)), "provider-name", "bounce.example.net", "mail."),
    (declaration(domain(), domain(name="bounce.example.com"), providers=(ses(),)), "provider-domain",
     "bounce.example.com", "another name"),
    (declaration(providers=(sendgrid(host="s1.domainkey.u1.wl1.sendgrid.net"),)), "sendgrid-host", "s1.domainkey",
     "first CNAME"),
    (declaration(providers=(sendgrid(host="sendgrid.net"),)), "sendgrid-host", "sendgrid.net", "first CNAME"),
    (declaration(providers=(sendgrid(link_subdomain="url1"),)), "sendgrid-links", "url1", "`sendgrid.links`"),
    (declaration(providers=(sendgrid(link_subdomain="em1234", link_owner="1"),)), "sendgrid-links", "em1234", "both"),
    (declaration(providers=(mailgun(region="asia"),)), "mailgun-region", "asia", "`mailgun.region`"),
    (declaration(providers=(mailgun(name="mg.example.net"),)), "provider-name", "mg.example.net", "`mailgun.domain`"),
    (declaration(providers=(mailgun(name="example.com"),)), "provider-mx", "smtp.google.com", "`mailgun.receive`"),
    (declaration(domain(dmarc=DmarcPolicy(policy="reject", aggregate_reports=("d@example.com",),
                                          dkim_alignment="strict", spf_alignment="strict")), providers=(mailgun(),)),
     "provider-alignment", "signed as mg.example.com", "`dmarc.dkim_alignment`"),
    (declaration(providers=(ses(dkim_tokens=(), mail_from=None),)), "provider-alignment", "the service", "DKIM values"),
]  # fmt: skip

RECORD_WARNINGS: list[Mistake] = [
    (further("*.example.com", "TXT", "hello"), "wildcard-mail", "type TXT", "single hosts"),
    (further("*.a.example.com", "MX", "10 mx.example.net"), "wildcard-mail", "type MX", "single hosts"),
    (further("a.example.com", "MX", "10 mx.example.com"), "mx-address", "mx.example.com", "publish its address"),
    (declaration(mta_sts=sts("testing", "mx.example.net")), "mta-sts-mx", "smtp.google.com", "`caddy.mta_sts`"),
    (declaration(domain(mx=None, dmarc=DmarcPolicy(policy="none"),
                        tls_reports=TlsReports(destinations=("https://example.net/r",)))),
     "tls-rpt-no-mail", "null MX", "`tls_rpt`"),
    (declaration(domain(bimi=bimi(logo="https://example.com/logo.png"))), "bimi-format", "logo.png", "`bimi.logo`"),
    (caa((A_CERTIFICATE_OF_NOBODY_KNOWN,), issue=("sectigo.com",)), "caa-issuer", "not known here", "`caa.issue`"),
    (tlsa(association(), association(selector=0)), "tlsa-preferred", "3 0 1", "public key"),
    (tlsa(association()), "tlsa-rollover", "one association", "next key"),
    (tlsa(association(), association(certificate="0b" * 32),
          certificates=(CertificateUse(name="relay.example.com", authority="letsencrypt.org"),)),
     "tlsa-renewal", "new key at each renewal", "`dns.tlsa`"),
    (declaration(domain(dmarc=STRICT), providers=(mailgun(),)), "provider-alignment", "aligned by one", "relaxed"),
    (declaration(domain(dmarc=DmarcPolicy(policy="reject", aggregate_reports=("d@example.com",),
                                          spf_alignment="strict")), providers=(ses(),)),
     "provider-alignment", "aligned by one", "`dmarc.spf_alignment`"),
    (declaration(providers=(ses(dkim_tokens=()),)), "provider-alignment", "signed as the service", "DKIM values"),
    (declaration(mx((10, "mx.example.net")), domain(name="a.example.com", dmarc=None, mx=None)), "mx-null-sender",
     "null MX", "MAIL FROM"),
]  # fmt: skip
