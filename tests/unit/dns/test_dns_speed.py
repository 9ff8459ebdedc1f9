"""A thousand domains cost a thousand times what one does."""

import sys
import time
from dataclasses import replace
from types import FrameType

import pytest

from mailstack.dns import (
    Bimi,
    CaaPolicy,
    CertificateUse,
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    FurtherRecord,
    MailService,
    MtaStsRecord,
    SesIdentity,
    SpfInclude,
    TlsReports,
    declare,
    render_records,
    resource_name,
    to_cloudflare,
    zone_of,
)
from tests.unit.dns.dns_examples import domain, host, rsa_key

pytestmark = pytest.mark.slow


def company(size: int, *, with_hosts: bool = False) -> DnsDeclaration:
    """Return that many domains, each with a key of its own and reports to the first, as a company has them."""
    names = [f"domain-{number}.example" for number in range(size)]
    return DnsDeclaration(
        domains=tuple(
            domain(
                name=name,
                dkim=(DkimKey(selector="s1", public_key=rsa_key(2048, number)),),
                dmarc=DmarcPolicy(policy="none", aggregate_reports=(f"dmarc@{names[0]}",)),
            )
            for number, name in enumerate(names)
        ),
        hosts=(
            host(name=f"relay.{names[0]}"),
            *(host(name=f"mta-sts.{name}", helo=False) for name in names if with_hosts),
        ),
        mta_sts=tuple(MtaStsRecord(domain=name, policy_id="1") for name in names if with_hosts),
        production=True,
    )


def everything(size: int) -> DnsDeclaration:
    """Return that many domains with all that a domain may have, a third of them parked."""
    plain = company(size, with_hosts=True)
    tokens = ("a" * 32, "b" * 32, "c" * 32)
    domains = tuple(
        replace(domain, mx=None, dkim=(), profile="parked")
        if number % 3 == 1
        else replace(
            domain,
            caa=CaaPolicy(computed=True),
            tls_reports=TlsReports(destinations=("tls@example.net",)),
            bimi=Bimi(logo=f"https://{domain.name}/logo.svg"),
            dmarc=DmarcPolicy(policy="reject", aggregate_reports=(f"dmarc@{plain.domains[0].name}",)),
        )
        for number, domain in enumerate(plain.domains)
    )
    names = [domain.name for domain in domains if domain.profile != "parked"]
    return replace(
        plain,
        domains=domains,
        mta_sts=tuple(policy for policy in plain.mta_sts if policy.domain in names),
        certificates=tuple(CertificateUse(name=f"mta-sts.{name}", authority="letsencrypt.org") for name in names),
        services=tuple(MailService(domain=name, host=plain.hosts[0].name) for name in names),
        providers=tuple(
            SesIdentity(
                domain=name,
                region="eu-west-1",
                dkim_tokens=tokens,
                mail_from=f"bounce.{name}",
                spf=SpfInclude(domain="amazonses.com", lookups=1),
            )
            for name in names
        ),
        further=tuple(
            FurtherRecord(place=f"dns.records[{number}]", name=f"www.{name}", type="A", values=("93.184.216.9",))
            for number, name in enumerate(names)
        ),
    )


def work(declaration: DnsDeclaration) -> int:
    """Do everything that is done with a declaration; return the number of records."""
    records = declare(declaration).records
    names = frozenset(domain.name for domain in declaration.domains)
    render_records(records)
    for record in records:
        zone_of(record.name, names)
        resource_name(record)
        to_cloudflare(record)
    return len(records)


def calls(declaration: DnsDeclaration) -> int:
    """Count the function calls that the work takes: unlike time, the same on every machine."""
    count = 0

    def note(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    sys.setprofile(note)
    try:
        work(declaration)
    finally:
        sys.setprofile(None)
    return count


def test_work_grows_with_the_number_of_domains_and_not_with_its_square() -> None:
    work(company(1))  # what is done once
    fifty, two_hundred = (calls(company(size, with_hosts=True)) for size in (50, 200))
    assert two_hundred < 4.4 * fifty


def test_all_that_a_domain_may_have_grows_no_faster() -> None:
    work(everything(1))
    thirty, hundred_and_twenty = (calls(everything(size)) for size in (30, 120))
    assert hundred_and_twenty < 4.4 * thirty


def test_thousand_domains_with_keys_are_ready_before_anybody_waits() -> None:
    declaration = company(1000)
    start = time.process_time()
    assert work(declaration) > 5000 - 1
    # Half a second where this was written; the rest is for machines that are slow or busy.
    assert time.process_time() - start < 5
