"""The TXT record of an MTA-STS policy."""

import re

from hypothesis import given
from hypothesis import strategies as st

from mailstack.caddy.definition import MtaStsPolicy
from mailstack.dns import DmarcPolicy, MtaStsRecord, mta_sts_id
from tests.unit.dns.dns_examples import declaration, declared, domain, errors_of

POLICY = MtaStsPolicy(domain="example.com", mx=("smtp.google.com",))


def test_policy_is_announced_with_its_id() -> None:
    record = MtaStsRecord(domain="Example.com.", policy_id=mta_sts_id(POLICY.text))
    records = declared(mta_sts=(record,)).records
    assert records.texts("_mta-sts.example.com") == (f"v=STSv1; id={mta_sts_id(POLICY.text)}",)
    assert [record.name for record in declared().records if "mta-sts" in record.name] == []


def test_id_is_new_when_the_policy_is() -> None:
    others = [
        MtaStsPolicy(domain="example.com", mx=("smtp.google.com",), mode="enforce"),
        MtaStsPolicy(domain="example.com", mx=("smtp.google.com", "mx2.example.com")),
        MtaStsPolicy(domain="example.com", mx=("smtp.google.com",), max_age=604_801),
    ]
    assert len({mta_sts_id(policy.text) for policy in (POLICY, *others)}) == 4
    # Known beforehand, so that an id never changes with the code alone: every sender would fetch again.
    assert mta_sts_id("") == "e3b0c44298fc1c149afbf4c8996fb924"


@given(st.text(max_size=200))
def test_any_policy_has_an_id_that_the_record_may_hold(text: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9]{1,32}", mta_sts_id(text))
    record = MtaStsRecord(domain="example.com", policy_id=mta_sts_id(text))
    assert errors_of(declaration(mta_sts=(record,))) == ()


def test_long_domain_whose_record_has_no_room_is_refused() -> None:
    name = ".".join(["a" * 60] * 4) + ".example"
    long = domain(name=name, dkim=(), dmarc=DmarcPolicy(policy="none"))
    problems = errors_of(declaration(long, mta_sts=(MtaStsRecord(domain=name, policy_id="1"),)))
    assert any(problem.record.endswith("MTA-STS") and problem.rule == "name-length" for problem in problems)
