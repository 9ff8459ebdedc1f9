"""A made-up run with a finding in every state and every group, for tests of what is shown of a run."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import mailstack.verify.checks  # noqa: F401 - they are all there before some are taken away
from mailstack.verify.model import CHECKS, Check, Finding, fail, not_applicable, ok, unknown, warn
from mailstack.verify.run import Report
from mailstack.verify.target import DomainTarget, HostTarget, Target

STARTED = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)
TARGET = Target(
    stack="prod",
    domains=(DomainTarget(name="example.com"), DomainTarget(name="example.org")),
    hosts=(HostTarget(name="relay.example.com", addresses=("192.0.2.25",), helo=True),),
)
# Number, name, group and title of each.
MADE_UP = (
    (1, "example-delegation", "A", "The zone is delegated to the expected name servers"),
    (5, "example-dnssec", "A", "DNSSEC is there, and valid"),
    (9, "example-reverse", "B", "The reverse name is the one in EHLO"),
    (14, "example-spf", "C", "One SPF record, and every sender passes"),
    (15, "example-dkim", "C", "The key in DNS is the signer's"),
    (20, "example-mx", "D", "MX leads to hosts with addresses"),
    (29, "example-certificate", "E", "The certificate is trusted, for this name, and not about to expire"),
    (34, "example-mta-sts", "F", "The MTA-STS policy is served, and matches MX"),
    (41, "example-block-lists", "G", "Neither address nor domain is on a block list"),
)


@contextmanager
def only_these(*checks: Check) -> Iterator[None]:
    """Let ``CHECKS`` hold nothing but these for a while."""
    before = dict(CHECKS)
    CHECKS.clear()
    CHECKS.update({check.name: check for check in checks})
    try:
        yield
    finally:
        CHECKS.clear()
        CHECKS.update(before)


def made_up_checks() -> tuple[Check, ...]:
    return tuple(
        Check(number=number, name=name, group=group, title=title, source="RFC 7208 §4.6.4", look=lambda _context: ())
        for number, name, group, title in MADE_UP
    )


def a_finding(check: str, finding: Finding) -> Finding:
    return Finding(**{**vars(finding), "check": check})


def example_report(started: datetime = STARTED) -> Report:
    findings = (
        a_finding("example-delegation", ok("example.com", "ns1.example.net, ns2.example.net")),
        a_finding("example-delegation", ok("example.org", "ns1.example.net, ns2.example.net")),
        a_finding(
            "example-dnssec",
            warn(
                "example.com", "no DS record", expected="a signed zone", fix="switch DNSSEC on where the zone is kept"
            ),
        ),
        a_finding(
            "example-reverse",
            fail(
                "192.0.2.25",
                "the address has the name host-25.isp.example",
                "192.0.2.25 PTR host-25.isp.example",
                "EHLO relay.example.com",
                expected="relay.example.com",
                fix="set the reverse name at whoever owns the address",
            ),
        ),
        a_finding("example-spf", ok("example.com", "v=spf1 include:_spf.google.com -all | 4 of 10 look-ups")),
        a_finding(
            "example-spf",
            fail(
                "example.org",
                "two records: v=spf1 -all <script>alert(1)</script> & v=spf1 include:_spf.old-provider.example ~all",
                *(f"192.0.2.{number}: v=spf1 -all" for number in range(1, 4)),
                expected="one record",
                fix="run pulumi up; remove the record of the previous provider",
            ),
        ),
        a_finding("example-dkim", unknown("mail202611._domainkey.example.com", "no answer in time")),
        a_finding("example-mx", ok("example.com", "1 smtp.google.com")),
        a_finding("example-certificate", ok("relay.example.com:587", "Let's Encrypt, 61 days left")),
        a_finding("example-mta-sts", not_applicable("example.org", "no policy is declared")),
        a_finding("example-block-lists", ok("192.0.2.25", "not listed")),
    )
    return Report(target=TARGET, started=started, seconds=1.234, findings=findings)
