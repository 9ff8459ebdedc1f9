"""Which records wait until the hosts are ready."""

from dataclasses import replace

from mailstack.dns import (
    DmarcPolicy,
    MailExchanger,
    MailHost,
    MtaStsRecord,
    SendingDomain,
    SpfPolicy,
    goes_last,
)
from tests.unit.dns.dns_examples import GOOGLE_MX, declared, domain, host

OWN = frozenset({"example.com", "example.net"})
SET = declared(
    domain(),
    domain(name="example.net", mx=None, dmarc=DmarcPolicy(policy="reject", aggregate_reports=("r@example.com",))),
    # What Postal has for itself, below a domain of the company.
    SendingDomain(
        name="rp.postal.example.com",
        mx=(MailExchanger(preference=10, exchange="smtp.postal.example.com"),),
        spf=SpfPolicy(mechanisms=("a:relay.example.com",)),
        dmarc=None,
    ),
    hosts=(host(), MailHost(name="smtp.postal.example.com", ipv4=("93.184.216.35",))),
    cnames=(("psrp.example.com", "rp.postal.example.com"),),
    mta_sts=(MtaStsRecord(domain="example.com", policy_id="1"),),
).records


def test_mx_dmarc_and_mta_sts_of_own_domains_go_last_and_nothing_else() -> None:
    last = {(record.name, record.type) for record in SET if goes_last(record, OWN)}
    assert last == {
        ("example.com", "MX"),
        ("_dmarc.example.com", "TXT"),
        ("_mta-sts.example.com", "TXT"),
        ("example.net", "MX"),
        ("_dmarc.example.net", "TXT"),
    }


def test_mail_can_pass_with_what_goes_first() -> None:
    first = {(record.name, record.type) for record in SET if not goes_last(record, OWN)}
    assert {
        ("relay.example.com", "A"),
        ("example.com", "TXT"),
        ("s1._domainkey.example.com", "TXT"),
        ("rp.postal.example.com", "MX"),
        ("rp.postal.example.com", "TXT"),
        ("smtp.postal.example.com", "A"),
        ("psrp.example.com", "CNAME"),
        ("example.net._report._dmarc.example.com", "TXT"),
    } <= first


def test_every_kind_of_record_has_its_place_whatever_domains_send() -> None:
    for records in (SET, declared(replace(domain(), mx=GOOGLE_MX)).records):
        assert not any(goes_last(record, frozenset()) for record in records)
