"""A thousand domains cost a thousand times what one does."""

import sys
import time
from types import FrameType

from mailstack.dns import (
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    MtaStsRecord,
    declare,
    render_records,
    resource_name,
    to_cloudflare,
    zone_of,
)
from tests.unit.dns.dns_examples import domain, host, rsa_key


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


def test_thousand_domains_with_keys_are_ready_before_anybody_waits() -> None:
    declaration = company(1000)
    start = time.process_time()
    assert work(declaration) > 5000 - 1
    # Half a second where this was written; the rest is for machines that are slow or busy.
    assert time.process_time() - start < 5
