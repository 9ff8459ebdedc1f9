"""Mistakes in further records, TLSA and the announcement of submission: told at the field, with fixes that work."""

from typing import Any

import pytest

from tests.unit.mistakes import Mistake, changed, logins, told_and_mended
from tests.unit.stack_examples import REMOVE, example
from tests.unit.test_bad_domain_records import mistake

__all__ = ["announced", "with_tlsa"]

TLSA = f"3 1 1 {'0a' * 32}"


def with_record() -> dict[str, Any]:
    return changed(
        example(), {"dns.records": [{"name": "a.example.org", "type": "MX", "values": ["5 mx.example.net"]}]}
    )


def with_tlsa() -> dict[str, Any]:
    entry = {"host": "relay.example.com", "values": [TLSA, f"3 1 1 {'0b' * 32}"]}
    return changed(example(), {"dns.signed_zones": ["example.com"], "dns.tlsa": [entry]})


def announced() -> dict[str, Any]:
    return changed(logins(), {"relay.submission.srv_domains": ["example.org"]})


MISTAKES = [
    # Further records
    mistake(
        "a record in no zone",
        with_record,
        "dns.records.0.name",
        "a.example.net",
        "dns.records[0].name",
        "in no zone",
        "example.com, example.org",
        "b.example.org",
        "*.example.org",
    ),
    mistake(
        "a record of an unknown type",
        with_record,
        "dns.records.0.type",
        "HINFO",
        "dns.records[0].type",
        "must be one of",
        "one of these",
        "MX",
    ),
    mistake(
        "a priority of a text",
        with_record,
        "dns.records.0",
        {"name": "a.example.org", "type": "TXT", "priority": 1, "values": ["x"]},
        "dns.records[0].priority",
        "for MX and SRV",
        "remove it",
        {"dns.records.0.priority": REMOVE},
    ),
    mistake(
        "a delegation of a zone",
        with_record,
        "dns.records.0",
        {"name": "example.org", "type": "NS", "values": ["ns1.example.net"]},
        "dns.records[0].type",
        "at the top of the zone",
        "hands a name below",
        {"dns.records.0.name": "lab.example.org"},
    ),
    mistake(
        "a second SPF record",
        with_record,
        "dns.records.0",
        {"name": "example.org", "type": "TXT", "values": ["v=spf1 -all"]},
        "dns.records[0]",
        "one SPF record",
        "`spf.include`",
        {"dns.records": []},
    ),
    mistake(
        "a second DMARC record",
        with_record,
        "dns.records.0",
        {"name": "_dmarc.example.org", "type": "TXT", "values": ["v=DMARC1; p=none"]},
        "dns.records[0]",
        "one DMARC record",
        "`dmarc`",
        {"dns.records": []},
    ),
    mistake(
        "an MTA-STS record without a policy",
        with_record,
        "dns.records.0",
        {"name": "_mta-sts.example.org", "type": "TXT", "values": ["v=STSv1; id=1"]},
        "dns.records[0]",
        "a policy that is served",
        "`caddy.mta_sts`",
        {"dns.records": []},
    ),
    mistake(
        "a private address",
        with_record,
        "dns.records.0",
        {"name": "w.example.org", "type": "A", "values": ["10.0.0.1"]},
        "dns.records[0]",
        "a public address",
        "environment",
        {"dns.records.0.values": ["93.184.216.9"]},
    ),
    mistake(
        "a record without values",
        with_record,
        "dns.records.0.values",
        [],
        "dns.records[0].values",
        "at least one entry",
        "add an entry",
        ["10 mx.example.net"],
    ),
    # TLSA
    mistake(
        "TLSA without DNSSEC",
        with_tlsa,
        "dns.signed_zones",
        [],
        "dns.tlsa",
        "a zone signed",
        "signed_zones",
        ["example.com"],
        {"dns.tlsa": []},
    ),
    mistake(
        "a signed zone that is none",
        with_tlsa,
        "dns.signed_zones",
        ["example.net"],
        "dns.signed_zones[0]",
        "no zone of this stack",
        "did you mean",
        ["example.com"],
    ),
    mistake(
        "TLSA that is none",
        with_tlsa,
        "dns.tlsa.0.values.1",
        "3 1 1",
        "dns.tlsa[0].values[1]",
        "matching type and hexadecimal",
        "3 1 1",
        f"3 1 1 {'0b' * 32}",
    ),
    mistake(
        "TLSA of a host elsewhere",
        with_tlsa,
        "dns.tlsa.0.host",
        "mx.example.net",
        "dns.tlsa[0].host",
        "in no zone",
        "example.com",
        "relay.example.com",
    ),
    # SRV
    mistake(
        "SRV of a domain that is none",
        announced,
        "relay.submission.srv_domains",
        ["example.net"],
        "relay.submission.srv_domains[0]",
        "must be one of domains",
        "did you mean",
        ["example.com"],
    ),
    mistake(
        "SRV twice",
        announced,
        "relay.submission.srv_domains",
        ["example.com", "example.com"],
        "relay.submission.srv_domains",
        "listed twice",
        "remove one",
        ["example.com"],
    ),
    mistake(
        "SRV of what nobody reaches",
        announced,
        "relay.submission.listen_addresses",
        ["10.0.0.9"],
        "relay.submission.srv_domains",
        "does not listen on its addresses",
        "add 93.184.216.34",
        ["10.0.0.9", "93.184.216.34"],
        {"relay.submission.srv_domains": []},
    ),
]


@pytest.mark.parametrize("mistake_", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_its_fix_can_be_followed(mistake_: Mistake) -> None:
    told_and_mended(mistake_)
