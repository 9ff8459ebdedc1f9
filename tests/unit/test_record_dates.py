"""Days in the settings: what they make of records, and which are refused, with the field, the reason and the day."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailstack.dns import rdata_text
from mailstack.plan import Plan, load_plan
from mailstack.plan.first_day import Ours, Surroundings, first_day
from mailstack.plan.outside import Outside
from mailstack.plan.postal import postal_secrets
from mailstack.settings.initialise import rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.settings.stackfile import engine_config, new_dkim_key, new_ed25519_key
from tests.unit.stack_examples import REMOVE, dkim_key, example, postal_example, with_value

TODAY = date(2026, 11, 29)


def ago(days: int) -> str:
    return str(TODAY - timedelta(days=days))


def planned(raw: dict[str, Any], today: date = TODAY) -> Plan:
    return load_plan(raw, outside=Outside(today=today))


def refused(raw: dict[str, Any], today: date = TODAY) -> dict[str, str]:
    """Return what is wrong, by field."""
    with pytest.raises(SettingsError) as error:
        planned(raw, today)
    return {problem.field: f"{problem.rule}. {problem.fix}" for problem in error.value.problems}


def texts(plan: Plan, name: str) -> list[str]:
    return [rdata_text(record) for record in plan.dns.records if record.name == name]


# --- rotation -------------------------------------------------------------------------------------------------------


def rotating(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, Any]:
    """Return a stack whose Postal signs for example.org with a key that another one follows."""
    raw = postal_example()
    raw["domains"][1]["dkim"] = [
        {"selector": "postal-202611", "private_key": dkim_key(), **old},
        {"selector": "postal-202612", "private_key": NEW_KEY, **new},
    ]
    return raw


NEW_KEY = new_dkim_key()


@pytest.mark.parametrize(
    ("old", "new", "signs"),
    [
        ({}, {}, "202612"),
        ({}, {"published": ago(0)}, "202611"),
        ({"retired": ago(0)}, {"published": ago(1), "signing": ago(0)}, "202612"),
        ({"retired": ago(7), "revoked": ago(0)}, {"published": ago(9), "signing": ago(7)}, "202612"),
    ],
    ids=["without dates the last one", "published only", "signing", "the old one revoked"],
)
def test_postal_signs_with_the_key_whose_turn_it_is(old: dict[str, str], new: dict[str, str], signs: str) -> None:
    plan = planned(rotating(old, new))
    assert plan.postal is not None

    key = {"202611": dkim_key(), "202612": NEW_KEY}[signs]
    assert postal_secrets(plan.settings)["dkim"]["example.org"].strip() == key.strip()


def test_a_revoked_key_keeps_its_name_and_loses_its_value() -> None:
    plan = planned(rotating({"retired": ago(7), "revoked": ago(0)}, {"published": ago(9), "signing": ago(7)}))
    assert texts(plan, "postal-202611._domainkey.example.org") == ['"v=DKIM1; t=s; h=sha256; p=;"']
    (text,) = texts(plan, "postal-202612._domainkey.example.org")
    assert text.startswith('"v=DKIM1; t=s; h=sha256; p=MII'), "byte for byte as Postal expects it"


@pytest.mark.parametrize(
    ("old", "new", "field", "why"),
    [
        ({"retired": ago(0)}, {"published": ago(0), "signing": ago(0)}, "dkim[1].signing", f"on {ago(-1)} or later"),
        ({}, {"published": ago(-1)}, "dkim[1].published", "has not come yet"),
        ({"retired": ago(6), "revoked": ago(0)}, {"published": ago(8), "signing": ago(6)}, "dkim[0].revoked", ago(-1)),
        ({"retired": ago(1)}, {"published": ago(1)}, "dkim[0].retired", "go unsigned"),
    ],
)
def test_a_step_that_is_too_early_is_refused_with_the_day_it_is_allowed(
    old: dict[str, str], new: dict[str, str], field: str, why: str
) -> None:
    found = refused(rotating(old, new))
    assert why in found[f"domains[1].{field}"]


def test_the_queue_of_the_relay_makes_a_retired_key_stay_longer() -> None:
    raw = rotating({"retired": ago(9), "revoked": ago(0)}, {"published": ago(11), "signing": ago(9)})
    planned(raw)
    raw["relay"]["queue_lifetime_hours"] = 24 * 10
    assert "on its way" in refused(raw)["domains[1].dkim[0].revoked"]


def test_without_a_day_only_the_order_of_days_counts() -> None:
    raw = rotating({}, {"published": "2099-01-01"})
    load_plan(raw)
    assert "has not come yet" in refused(raw)["domains[1].dkim[1].published"]


GO = ["2026-11-28 00:00:00 +0000 UTC"]  # Go's String(), as `pulumi config set` writes a day that had no quotes


@pytest.mark.parametrize("value", ["2026-11-28", date(2026, 11, 28), "2026-11-28T00:00:00Z", *GO])
def test_a_day_is_read_in_every_form_that_the_engine_or_a_parser_gives_it(value: Any) -> None:
    raw = rotating({}, {"published": value})
    assert planned(raw).settings.domains[1].dkim[1].published == date(2026, 11, 28)
    assert "2026-11-28" in engine_config(raw)["mailstack:domains"]


@pytest.mark.parametrize("value", ["28.11.2026", 20261128, "soon", True])
def test_another_form_of_a_day_is_refused(value: Any) -> None:
    assert "2026-11-01" in refused(rotating({}, {"published": value}))["domains[1].dkim[1].published"]


# --- kinds of keys --------------------------------------------------------------------------------------------------


def test_an_ed25519_key_of_ours_is_published_beside_the_rsa_key() -> None:
    raw = example()
    raw["domains"][0]["dkim"].append({"selector": "ed202611", "key_type": "ed25519", "private_key": new_ed25519_key()})
    (text,) = texts(planned(raw), "ed202611._domainkey.example.com")
    assert text.startswith('"v=DKIM1; k=ed25519; t=s; h=sha256; p=')
    raw["domains"][0]["dkim"] = raw["domains"][0]["dkim"][2:]
    assert "dkim-ed25519-alone" in " ".join(refused(raw).values())


def test_postal_is_not_given_an_ed25519_key() -> None:
    raw = rotating({}, {"key_type": "ed25519"})
    raw["domains"][1]["dkim"][1]["private_key"] = new_ed25519_key()
    assert "Postal signs with RSA alone" in refused(raw)["domains[1].dkim[1].key_type"]
    raw["domains"][1]["dkim"][1]["selector"] = "ed202612"
    assert postal_secrets(planned(raw).settings)["dkim"]["example.org"].strip() == dkim_key().strip()


def test_init_makes_the_kind_of_key_that_is_asked_for(tmp_path: Path) -> None:
    raw = example()
    raw["domains"][0]["dkim"] = [{"selector": "a"}, {"selector": "b", "key_type": "ed25519"}]
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    plan = planned(rehearsal_config(path))
    assert "k=ed25519" in texts(plan, "b._domainkey.example.com")[0]
    assert "k=" not in texts(plan, "a._domainkey.example.com")[0]


def test_a_selector_that_is_an_alias_is_a_cname_and_the_providers_side_is_the_key() -> None:
    raw = example()
    raw["domains"][1]["dkim"] = [{"selector": "s1", "alias": "acme.s1.dkim.example.com"}]
    raw["domains"][0]["dkim"].append({"selector": "s1", "tenant": "acme", "private_key": dkim_key()})
    plan = planned(raw)
    assert texts(plan, "s1._domainkey.example.org") == ["acme.s1.dkim.example.com."]
    (text,) = texts(plan, "acme.s1.dkim.example.com")
    assert text.startswith('"v=DKIM1; t=s; h=sha256; p=MII')
    assert not any("example.org DKIM" in warning for warning in plan.dns.warnings), "somebody signs for it"


def test_an_alias_that_leads_to_a_name_of_ours_without_a_key_is_refused() -> None:
    raw = example(
        dns={"provider": "server", "server": {"host": "relay1", "nameservers": ["ns1.example.com"],
                                              "hostmaster": "admin@example.com"}}
    )  # fmt: skip
    raw["domains"][0]["spf"]["include"] = []
    raw["domains"][1]["dkim"] = [{"selector": "s1", "alias": "acme.s1.dkim.example.com"}]
    assert "dkim-alias" in " ".join(refused(raw).values())
    raw["domains"][0]["dkim"].append({"selector": "s1", "tenant": "acme", "private_key": dkim_key()})
    planned(raw)


@pytest.mark.parametrize("ways", [("alias", "public_key"), ("alias", "private_key"), ()])
def test_a_key_has_exactly_one_source(ways: tuple[str, ...]) -> None:
    values = {"alias": "k.example.net", "public_key": "x", "private_key": dkim_key()}
    raw = with_value("domains.1.dkim", [{"selector": "s1", **{way: values[way] for way in ways}}])
    assert "needs exactly one of private_key, key, public_key and alias" in refused(raw)["domains[1].dkim[0]"]


# --- the DMARC ramp -------------------------------------------------------------------------------------------------


def on_ramp(*stages: tuple[str, int], **more: Any) -> dict[str, Any]:
    listed = [{"policy": policy, "since": ago(days)} for policy, days in stages]
    return with_value("domains.0.dmarc", {"ramp": listed, "aggregate_reports": ["dmarc@example.com"], **more})


def test_the_last_stage_is_what_is_published_and_no_day_changes_it() -> None:
    raw = on_ramp(("none", 30), ("quarantine", 10))
    for later in (0, 5, 400):
        plan = planned(raw, TODAY + timedelta(days=later))
        assert texts(plan, "_dmarc.example.com") == ['"v=DMARC1; p=quarantine; rua=mailto:dmarc@example.com"']
        assert plan.dns.shown["dmarc/example.com"] == f"quarantine since {ago(10)}; reject may follow from {ago(-4)} on"


@pytest.mark.parametrize(
    ("raw", "field", "why"),
    [
        (on_ramp(("none", 30), ("quarantine", 20)), "domains[0].dmarc.ramp[1]", "too early"),
        (on_ramp(("none", 30), ("reject", 0)), "domains[0].dmarc.ramp[1]", "leaves a stage out"),
        (on_ramp(("none", 30), ("quarantine", -1)), "domains[0].dmarc.ramp[1]", "has not come yet"),
        (on_ramp(("none", 30), policy="none"), "domains[0].dmarc.policy", "beside a ramp"),
        (
            with_value("domains.0.profile", "parked", lambda: on_ramp(("none", 30))),
            "domains[0].dmarc.ramp",
            "reject at",
        ),
        (on_ramp(("none", 30), aggregate_reports=[]), "domains[0].dmarc.aggregate_reports", "without reports"),
    ],
)
def test_a_ramp_out_of_turn_is_refused(raw: dict[str, Any], field: str, why: str) -> None:
    assert why in refused(raw)[field]


def test_an_organisation_of_its_own_below_another_one_says_so() -> None:
    raw = with_value("domains.1.dmarc", {"policy": "reject", "psd": "n"})
    assert texts(planned(raw), "_dmarc.example.org")[0].startswith('"v=DMARC1; p=reject; psd=n')


# --- the end of an MTA-STS policy -----------------------------------------------------------------------------------

POLICY = {"domain": "example.com", "mx": ["smtp.google.com"], "max_age": 10 * 86400}
NOBODY = Surroundings(cloudflare_url="http://127.0.0.1:9", resolvers=())


def with_policy(**changes: Any) -> dict[str, Any]:
    """Return a stack that publishes its zones elsewhere and has one policy."""
    raw = postal_example(dns={"provider": "none", "look_seconds": 0})
    raw["caddy"]["mta_sts"] = [{**POLICY, **changes}]
    return raw


def before() -> Ours:
    """Return what an update with a policy left."""
    plan = planned(with_policy(mode="enforce"))
    assert texts(plan, "_mta-sts.example.com")
    return Ours(zones=plan.dns.texts)


def test_a_policy_goes_by_none_for_max_age_then_removed_then_without_its_entry() -> None:
    none = planned(with_policy(mode="none", none_since=ago(10)))
    assert len(texts(none, "_mta-sts.example.com")) == 1
    first_day(none, before(), NOBODY)
    gone = planned(with_policy(mode="removed", none_since=ago(10)))
    assert texts(gone, "_mta-sts.example.com") == texts(gone, "mta-sts.example.com") == []
    assert gone.caddy is not None
    assert gone.caddy.definition.mta_sts == ()
    first_day(gone, before(), NOBODY)
    last = planned(with_value("caddy.mta_sts", REMOVE, with_policy))
    first_day(last, Ours(zones=gone.dns.texts), NOBODY)


def test_removing_it_before_max_age_is_over_is_refused_with_the_day() -> None:
    found = refused(with_policy(mode="removed", none_since=ago(9)))
    assert f"until {ago(-1)}" in found["caddy.mta_sts[0].mode"]
    assert f"on {ago(-2)} or later" in found["caddy.mta_sts[0].mode"]


def test_an_entry_that_is_taken_away_at_once_is_refused_with_the_way() -> None:
    plan = planned(with_value("caddy.mta_sts", REMOVE, with_policy))
    with pytest.raises(SettingsError, match=r"example\.com: was published, and its entry is gone.*mode none"):
        first_day(plan, before(), NOBODY)
    first_day(plan, Ours(), NOBODY)  # one that was never published
    first_day(plan, Ours(zones={"example.net": '_mta-sts.example.net. 300 IN TXT "v=STSv1"'}), NOBODY)  # not declared


def test_at_cloudflare_the_record_of_before_is_known_by_its_name() -> None:
    ours = Ours(contents={("z", "_mta-sts.example.com", '"v=STSv1; id=1"'): 300, ("z", "example.com", "1 smtp"): 300})
    assert ours.text_names == {"_mta-sts.example.com"}
    assert replace(ours, zones=before().zones).text_names > ours.text_names


@pytest.mark.parametrize(
    ("changes", "field", "why"),
    [
        ({"mode": "removed"}, "none_since", "is required with mode removed"),
        ({"mode": "enforce", "none_since": ago(1)}, "none_since", "goes with mode none"),
        ({"mode": "none", "none_since": ago(-1)}, "none_since", "has not come yet"),
    ],
)
def test_days_that_do_not_fit_a_policy_are_refused(changes: dict[str, Any], field: str, why: str) -> None:
    assert why in refused(with_policy(**changes))[f"caddy.mta_sts[0].{field}"]


def test_a_policy_that_an_exchanger_does_not_match_is_refused_and_one_of_none_may_be_anything() -> None:
    assert "mta-sts-mx" in refused(with_policy(mode="enforce", mx=["*.example.com"]))["domains[0]"]
    planned(with_policy(mode="enforce", mx=["*.google.com"]))
    planned(with_policy(mode="none", mx=["*.example.com"]))
