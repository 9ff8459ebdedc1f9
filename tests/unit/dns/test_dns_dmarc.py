"""DMARC policies: the record, report addresses, and the permission of other domains."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns import (
    DmarcPolicy,
)
from tests.unit.dns.dns_examples import (
    declared,
    dmarc,
    domain,
)


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


REPORT_LOCAL = st.from_regex(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~,;-]{1,30}", fullmatch=True)


@given(REPORT_LOCAL)
@settings(deadline=None)
def test_no_report_address_breaks_out_of_its_tag(local: str) -> None:
    text = declared(dmarc(aggregate_reports=(f"{local}@example.com",))).records.texts("_dmarc.example.com")[0]
    tags = text.split("; ")
    assert tags[:2] == ["v=DMARC1", "p=quarantine"]
    assert len(tags) == 3
    assert not set(",!;") & set(tags[2])
