"""Profiles, CAA, sending services and further records as they are published, and what contradicts what."""

import functools
from typing import Any

import pytest

from mailstack.dns import NULL_MX, Caa, Record, Srv, Text, Tlsa
from mailstack.plan import Plan, load_plan
from mailstack.plan.verification import verify_target
from rehearsal.endpoints import with_certificates
from rehearsal.pki import PemPair, PrivateCa
from tests.unit.mistakes import accepted, changed, logins, problems
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import example, postal_example
from tests.unit.test_bad_domain_records import PARKED, SES, TOKENS, with_parked
from tests.unit.test_bad_further_records import announced, with_tlsa


def at(plan: Plan, name: str, type_: str | None = None) -> list[Any]:
    return [record.data for record in plan.dns.records if record.name == name and type_ in {None, record.type}]


def test_a_parked_domain_is_published_and_nobody_may_send_for_it() -> None:
    plan = load_plan(with_parked())
    assert at(plan, "parked.example") == [NULL_MX, Text(value="v=spf1 -all")]
    assert at(plan, "_dmarc.parked.example") == [Text(value="v=DMARC1; p=reject; sp=reject")]
    assert at(plan, "*._domainkey.parked.example") == [Text(value="v=DKIM1; p=")]
    assert "parked.example" not in plan.relay.definition.sender_domains
    assert plan.relay_rule is not None
    assert "parked.example" not in plan.relay_rule.rule.domains
    assert not any("parked.example" in warning and "dkim" in warning for warning in plan.dns.warnings)


def test_a_stack_of_parked_domains_alone_is_refused() -> None:
    raw = example(domains=[{"name": "example.com", "profile": "parked"}])
    assert any(problem.field == "domains" and "nobody could send" in problem.rule for problem in problems(raw))


def test_defaults_of_a_file_of_domains_may_hold_for_a_parked_one_where_it_says_otherwise() -> None:
    parked = {**PARKED, "dkim": [], "mx": [], "dmarc": {"aggregate_reports": ["dmarc@example.com"]}}
    plan = accepted(with_parked, {"domains.2": parked})
    [policy] = at(plan, "_dmarc.parked.example")
    assert policy.value == "v=DMARC1; p=reject; sp=reject; rua=mailto:dmarc@example.com"


def test_a_send_only_domain_has_a_null_mx_or_exchangers_for_its_bounces() -> None:
    plan = accepted(example, {"domains.1.profile": "send-only"})
    assert at(plan, "example.org", "MX") == [NULL_MX], "not the upstream's mailboxes"
    assert any("mx-null-sender" in warning and "example.org" in warning for warning in plan.dns.warnings)
    elsewhere = accepted(example, {"domains.1.profile": "send-only", "domains.1.ses": SES})
    assert at(elsewhere, "example.org", "MX") == [NULL_MX]
    assert not any("mx-null-sender" in warning for warning in elsewhere.dns.warnings)
    bounces = [{"preference": 10, "exchange": "bounces.example.net"}]
    declared = accepted(example, {"domains.1.profile": "send-only", "domains.1.mx": bounces})
    assert [mx.exchange for mx in at(declared, "example.org", "MX")] == ["bounces.example.net"]


def test_a_send_only_domain_of_postal_has_its_bounces_at_the_return_path() -> None:
    plan = accepted(postal_example, {"domains.0.profile": "send-only", "domains.0.dmarc": {"policy": "reject"}})
    assert at(plan, "example.com", "MX") == [NULL_MX]
    assert not any("mx-null-sender" in warning for warning in plan.dns.warnings)


def test_caa_follows_from_caddys_issuer_where_it_is_asked_for() -> None:
    lets_encrypt = Caa(flags=0, tag="issue", value="letsencrypt.org")
    assert at(load_plan(postal_example()), "example.com", "CAA") == []
    assert at(accepted(postal_example, {"domains.0.caa": {}}), "example.com", "CAA") == [lets_encrypt]
    own = {"caddy.acme.directory": "https://ca.example.net/acme", "caddy.acme.caa_name": "ca.example.net"}
    assert at(accepted(postal_example, {"domains.0.caa": {}, **own}), "example.com", "CAA") == [
        Caa(flags=0, tag="issue", value="ca.example.net")
    ]
    zerossl = {"domains.0.caa": {}, "caddy.acme.directory": "https://acme.zerossl.com/v2/DV90"}
    assert at(accepted(postal_example, zerossl), "example.com", "CAA") == [
        Caa(flags=0, tag="issue", value="sectigo.com")
    ]


def test_google_and_buypass_are_known_by_their_directories() -> None:
    for directory, name in (("https://dv.acme-v02.api.pki.goog/directory", "pki.goog"),
                            ("https://api.buypass.com/acme/directory", "buypass.com")):  # fmt: skip
        changes = {"domains.0.caa": {}, "caddy.acme.directory": directory}
        assert at(accepted(postal_example, changes), "example.com", "CAA") == [Caa(flags=0, tag="issue", value=name)]


def test_certificates_of_cert_manager_are_held_against_caa() -> None:
    [unknown] = problems(changed(postal_on_cluster(), {"domains.0.caa": {}}))
    assert "`postal.kubernetes.issuer.caa_name`" in unknown.fix
    known = {"postal.kubernetes.issuer.caa_name": "letsencrypt.org"}
    plan = accepted(postal_on_cluster, {"domains.0.caa": {}, **known})
    assert at(plan, "example.com", "CAA") == [Caa(flags=0, tag="issue", value="letsencrypt.org")]
    assert verify_target(plan).issuers == ("letsencrypt.org",)
    told = problems(changed(postal_on_cluster(), {"domains.0.caa": {"issue": ["sectigo.com"]}, **known}))
    assert told
    assert all("cert-manager asks for it" in problem.rule for problem in told)
    place = "postal.kubernetes"
    own = {f"{place}.web.tls_secret": "web-tls", f"{place}.smtp_tls_secret": "smtp-tls",
           f"{place}.create_namespace": False}  # fmt: skip
    assert problems(changed(postal_on_cluster(), {"domains.0.caa": {"issue": ["sectigo.com"]}, **known, **own})) == []


def test_caa_of_a_name_of_its_own_wins_over_that_of_its_domain() -> None:
    nobody: dict[str, Any] = {"domains.0.caa": {"issue": []}}
    names = ("postal", "mx", "click", "track")
    records = [
        {"name": f"{name}.example.com", "type": "CAA", "values": ['0 issue "letsencrypt.org"']} for name in names
    ]
    told = problems(changed(postal_example(), nobody))
    assert {problem.value.partition(" ")[0] for problem in told} == {
        "postal.example.com",
        "mx.example.com",
        "click.example.com",
    }
    # click is an alias of track: what stands there counts.
    assert problems(changed(postal_example(), {**nobody, "dns.records": [records[0], records[1], records[3]]})) == []


def test_submission_is_announced_only_where_it_is_asked_for_and_follows_the_relay() -> None:
    assert not [record for record in load_plan(logins()).dns.records if record.type == "SRV"]
    plan = load_plan(announced())
    assert at(plan, "_submissions._tcp.example.org") == [
        Srv(priority=0, weight=1, port=465, target="relay.example.com")
    ]
    assert at(plan, "_submission._tcp.example.org") == [
        Srv(priority=10, weight=1, port=587, target="relay.example.com")
    ]
    services = {record for record in plan.dns.records if record.type == "SRV"}
    assert services <= plan.dns.last, "nobody is sent to a relay that is not there yet"


def test_further_records_are_in_their_zones_with_their_own_ttl() -> None:
    records = [
        {"name": "*.apps.example.org", "type": "A", "values": ["93.184.216.9", "93.184.216.10"], "ttl": 60},
        {"name": "_xmpp._tcp.Example.com", "type": "SRV", "priority": 5, "values": ["0 5222 bücher.example"]},
        {"name": "example.org", "type": "TXT", "values": ["google-site-verification=abc"]},
    ]
    plan = accepted(example, {"dns.records": records})
    assert [record.ttl for record in plan.dns.zones["example.org"] if record.name == "*.apps.example.org"] == [60, 60]
    assert at(plan, "_xmpp._tcp.example.com") == [Srv(priority=5, weight=0, port=5222, target="xn--bcher-kva.example")]
    assert Text(value="google-site-verification=abc") in at(plan, "example.org")


def test_tlsa_is_off_unless_it_is_declared() -> None:
    assert not [record for record in load_plan(example()).dns.records if record.type == "TLSA"]
    assert Tlsa(usage=3, selector=1, matching_type=1, certificate="0a" * 32) in at(
        load_plan(with_tlsa()), "_25._tcp.relay.example.com"
    )


def test_a_services_region_is_that_of_the_upstream_where_nothing_is_said() -> None:
    raw = example()
    raw["relay"]["upstreams"] = {
        "amazon": {"preset": "ses", "region": "eu-north-1", "auth": "sasl", "username": "A" * 20, "password": "B" * 44}
    }
    raw["domains"][1] |= {"upstream": "amazon", "ses": {"dkim_tokens": TOKENS, "mail_from": "b.example.org"}}
    plan = load_plan(raw)
    [exchanger] = at(plan, "b.example.org", "MX")
    assert exchanger.exchange == "feedback-smtp.eu-north-1.amazonses.com"
    assert not any("dkim-missing" in warning and "example.org" in warning for warning in plan.dns.warnings)


def test_zone_and_resource_names_of_every_new_record_are_its_own() -> None:
    plan = accepted(
        with_parked,
        {
            "domains.1.ses": SES,
            "domains.1.mailgun": {"domain": "mg.example.org", "tracking": "email"},
            "domains.1.sendgrid": {"subdomain": "em1", "host": "u1.wl1.sendgrid.net"},
            "domains.1.caa": {"issue": ["letsencrypt.org", "sectigo.com"], "iodef": ["security@example.com"]},
        },
    )
    records: tuple[Record, ...] = plan.dns.records
    assert len({(record.name, record.type, record.data) for record in records}) == len(records)
    assert {record.name for record in plan.dns.zones["example.org"]} >= {
        "mg.example.org",
        "email.mg.example.org",
        "em1.example.org",
        "bounce.example.org",
    }


@functools.cache
def certificate(*names: str) -> PemPair:
    return PrivateCa().issue(*names)


def custom(*names: str) -> dict[str, Any]:
    """Return Caddy with a certificate of one's own for these names."""
    pair = certificate(*names)
    return {
        "host": "relay1",
        "certificates": "custom",
        "custom": {"certificate": pair.certificate, "private_key": pair.key},
        "mta_sts": [{"domain": "example.com", "mx": ["smtp.google.com"]}],
    }


@pytest.mark.parametrize("name", ["mta-sts.example.com", "*.example.com"])
def test_a_policy_with_a_certificate_for_its_name_is_accepted(name: str) -> None:
    assert problems(changed(postal_example(), {"caddy": custom("postal.example.com", name)})) == []


@pytest.mark.parametrize("name", ["example.com", "*.mta-sts.example.com", "mta-sts.example.org"])
def test_a_policy_that_nobody_could_fetch_is_refused(name: str) -> None:
    [found] = problems(changed(postal_example(), {"caddy": custom("postal.example.com", name)}))
    assert found.field == "caddy.mta_sts[0].domain"
    assert "needs a certificate for mta-sts.example.com" in found.rule
    assert name in found.rule


@pytest.mark.parametrize("term", ["-include:_spf.google.com", "?include:_spf.google.com", "-all"])
def test_spf_that_would_take_googles_pass_away_is_refused_where_mail_goes_to_google(term: str) -> None:
    found = problems(changed(example(), {"domains.1.spf": {"mechanisms": [term]}}))
    assert [problem.field for problem in found] == ["domains[1]"]
    assert "SPF" in found[0].value


def test_a_greeting_outside_the_declared_domains_is_refused() -> None:
    found = problems(changed(example(), {"relay.hostname": "relay.example.net"}))
    assert "relay.hostname" in [problem.field for problem in found]


def test_a_rehearsal_says_of_the_real_issuer_what_production_would() -> None:
    raw = changed(postal_example(), {"domains.0.caa": {}})
    pair = certificate("example.com")
    swapped = with_certificates(raw, directory="https://acme.rehearsal.test/dir", pair=(pair.certificate, pair.key))
    assert at(load_plan(swapped), "example.com", "CAA") == at(load_plan(raw), "example.com", "CAA") != []
