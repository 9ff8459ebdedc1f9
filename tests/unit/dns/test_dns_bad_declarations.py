"""Every rule of a declaration, broken once or more: the message names the thing, the rule and the fix."""

import pytest

from mailstack.dns import RULES, DkimKey, DmarcPolicy, DnsDeclaration, DnsRuleError, SpfInclude, SpfPolicy, declare
from tests.unit.dns import dns_mistakes
from tests.unit.dns.dns_examples import (
    GOOGLE_SPF,
    b64,
    declaration,
    declared,
    dkim,
    domain,
    errors_of,
    host,
    hosts,
    mx,
    rsa_key,
    spf,
)
from tests.unit.dns.dns_mistakes import PEM_PRIVATE, PRIVATE_NUMBERS
from tests.unit.dns.dns_record_mistakes import RECORD_ERRORS, RECORD_WARNINGS
from tests.unit.dns.dns_spf_mistakes import SPF_ERRORS, SPF_WARNINGS

ERRORS = (*dns_mistakes.ERRORS, *SPF_ERRORS, *RECORD_ERRORS)
WARNINGS = (*dns_mistakes.WARNINGS, *SPF_WARNINGS, *RECORD_WARNINGS)

# Broken by other callers than declare(); the tests of zone files and record sets cover them.
OTHER_RULES = {
    "zone-scope",
    "zone-nameservers",
    "zone-nameserver-address",
    "zone-hostmaster",
    "zone-serial",
}


@pytest.mark.parametrize(
    ("broken", "rule", "found", "fix"), ERRORS, ids=[f"{n}-{case[1]}" for n, case in enumerate(ERRORS)]
)
def test_broken_rule_is_refused_with_thing_rule_source_and_fix(
    broken: DnsDeclaration, rule: str, found: str, fix: str
) -> None:
    problems = [problem for problem in errors_of(broken) if problem.rule == rule]
    assert problems, errors_of(broken)
    text = str(problems[0])
    shown = f"{problems[0].found}; expected {problems[0].expected}"
    assert found in shown
    assert fix in problems[0].fix
    assert f"[{rule}; {RULES[rule]}]" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("unwise", "rule", "found", "fix"), WARNINGS, ids=[f"{n}-{case[1]}" for n, case in enumerate(WARNINGS)]
)
def test_likely_mistake_is_accepted_with_a_warning(unwise: DnsDeclaration, rule: str, found: str, fix: str) -> None:
    warnings = [warning for warning in declare(unwise).warnings if warning.rule == rule]
    assert len(warnings) == 1, declare(unwise).warnings
    assert found in f"{warnings[0].found}; expected {warnings[0].expected}"
    assert fix in warnings[0].fix


def test_every_rule_has_a_case() -> None:
    assert {case[1] for case in (*ERRORS, *WARNINGS)} | OTHER_RULES == set(RULES)


def test_faultless_declaration_has_no_warning() -> None:
    assert declared().warnings == ()


def test_one_mistake_is_reported_once_and_alone() -> None:
    alone = [case for case in ERRORS if len(errors_of(case[0])) == 1]
    # Some declarations break two rules by nature (a lost host name also leaves its MX without address).
    assert len(alone) > 0.9 * len(ERRORS)


def test_all_mistakes_are_reported_at_once() -> None:
    broken = declaration(
        domain(
            mx=mx((-1, "a.example.net")).mx,
            spf=SpfPolicy(mechanisms=("-all", "ipv4:93.184.216.34"), all="+all"),
            dkim=(DkimKey(selector="s1", public_key="?"),),
            dmarc=DmarcPolicy(policy="reject", aggregate_reports=("nobody",)),
            texts=("v=spf1 -all",),
        ),
        hosts=(host(ipv4=("10.0.0.1",)),),
        ttl=5,
    )
    with pytest.raises(DnsRuleError) as caught:
        declare(broken)
    rules = {problem.rule for problem in caught.value.problems}
    assert rules == {
        "ttl-range",
        "address-public",
        "mx-preference",
        "spf-all-position",
        "spf-mechanism",
        "spf-all",
        "spf-single",
        "dkim-key",
        "dmarc-report-address",
    }
    text = str(caught.value)
    assert text.startswith("9 DNS rules are broken:\n")
    assert text.count("\n") == 9


@pytest.mark.parametrize("secret", [PEM_PRIVATE, b64(PRIVATE_NUMBERS)])
def test_private_key_pasted_as_public_key_is_never_shown(secret: str) -> None:
    broken = declaration(dkim(secret))
    with pytest.raises(DnsRuleError) as caught:
        declare(broken)
    shown = f"{caught.value}{caught.value.problems!r}{broken!r}"
    assert "MII" not in shown
    assert secret[:40] not in shown


def test_private_key_pasted_as_selector_is_never_shown() -> None:
    problems = errors_of(declaration(dkim(rsa_key(2048), selector=PEM_PRIVATE)))
    assert [problem.rule for problem in problems] == ["dkim-selector"]
    assert "MIIEow" not in str(problems[0])


@pytest.mark.parametrize("address", ["10.1.2.3", "127.0.0.1", "192.0.2.1", "fd00::1"])
def test_rehearsal_may_publish_addresses_of_this_machine(address: str) -> None:
    family = "ipv6" if ":" in address else "ipv4"
    records = declared(hosts=(host(**{family: (address,)}),), production=False).records
    assert records.at("relay.example.com", "AAAA" if ":" in address else "A")


@pytest.mark.parametrize(
    "address",
    ["9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "192.0.3.0",
     "192.167.255.255", "192.169.0.0", "169.253.255.255", "198.17.255.255", "198.20.0.0", "223.255.255.255",
     "2001:1::", "2001:db7:ffff::", "2001:db9::", "2003::", "fbff::"],
)  # fmt: skip
def test_neighbours_of_special_blocks_are_public(address: str) -> None:
    assert errors_of(hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})) == ()


@pytest.mark.parametrize(
    "address",
    ["10.255.255.255", "100.127.255.255", "172.16.0.0", "172.31.255.255", "192.168.255.255", "198.19.255.255",
     "239.255.255.255", "2001:db8:ffff::", "fdff::", "febf::", "2001:0:ffff::", "3fff:fff::", "100::ffff"],
)  # fmt: skip
def test_edges_of_special_blocks_are_refused(address: str) -> None:
    broken = hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})
    assert [problem.rule for problem in errors_of(broken)] == ["address-public"]


@pytest.mark.parametrize("address", ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1", "::ffff:10.0.0.1"])
def test_rehearsal_refuses_addresses_no_host_can_have(address: str) -> None:
    broken = hosts(**{"ipv6" if ":" in address else "ipv4": (address,)})
    relaxed = DnsDeclaration(domains=broken.domains, hosts=broken.hosts, production=False)
    assert [problem.rule for problem in errors_of(relaxed)] == ["address-public"]


def test_rehearsal_may_name_private_addresses_in_spf() -> None:
    assert declared(spf("ip4:10.1.2.3"), production=False).records.texts("example.com") == (
        "v=spf1 ip4:10.1.2.3 include:_spf.google.com ~all",
    )


def test_lookup_cost_of_ten_is_accepted() -> None:
    includes_of_ten = SpfPolicy(includes=(*GOOGLE_SPF.includes, SpfInclude(domain="sendgrid.net", lookups=6)))
    assert errors_of(declaration(domain(spf=includes_of_ten))) == ()
