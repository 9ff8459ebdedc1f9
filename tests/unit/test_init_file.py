"""The file that `mailstack init` writes: valid for everything that is offered, and a comment on every value."""

import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mailstack.plan import Plan, load_plan
from mailstack.settings import initialise, stackfile
from mailstack.settings.initialise import missing_secrets, rehearsal_config
from mailstack.settings.problems import SettingsError
from mailstack.settings.schema import stack_file_schema
from mailstack.settings.stackfile import PROJECT_FOLDER, read_stack_file, throwaway
from mailstack.settings.written import Written
from mailstack.start.answers import Answers, HostPlace, InDns, host_place
from mailstack.start.compose import compose
from mailstack.start.questions import (
    DNS,
    PLACEMENTS,
    QUESTIONS,
    needs_host,
    postal_choices,
    tls_choices,
    upstream_choices,
)
from mailstack.start.text import SCHEMA_LINE, stack_text
from mailstack.upstreams import PRESETS
from tests.unit.stack_examples import HOST_KEY, dkim_key, example

LOGINS = {"sendgrid": "apikey", "ses": "AKIAIOSFODNN7EXAMPLE", "mailgun": "postmaster@example.com", "custom": "relay"}
REGIONS = {"ses": "eu-west-1", "mailgun": "eu"}
SCHEMA = jsonschema.Draft202012Validator(json.loads(stack_file_schema()))
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def answers(placement: str = "vm", upstream: str = "google-workspace", dns: str = "none", postal: str = "vm",
            tls: str = "acme", **changes: Any) -> Answers:  # fmt: skip
    engine = changes.get("engine", "host")
    on_host = needs_host({"placement": placement, "engine": engine, "postal": postal, "dns": dns})
    on_cluster = postal == "kubernetes"
    given: dict[str, Any] = {
        "stack": "fresh",
        "environment": "staging" if tls == "internal" else "prod",
        "domains": ("example.com", "shop.example.com"),
        "placement": placement,
        "upstream": upstream,
        "dns": dns,
        "postal": postal,
        "tls": tls,
        "contact": "postmaster@example.com",
        "today": date(2026, 11, 29),
        "host": HostPlace(user="admin", address="mail.example.com", port=22) if on_host else None,
        "host_key": HOST_KEY if on_host else None,
        "public_ipv4": "93.184.216.34" if on_host else None,
        "context": "prod" if on_cluster or placement == "kubernetes" else None,
        "image": "registry.example.com/relay:1" if placement == "kubernetes" else None,
        "egress": ("93.184.216.40",) if not on_host or placement == "kubernetes" or engine == "local" else (),
        "region": REGIONS.get(upstream),
        "upstream_host": "smtp.example.net" if upstream == "custom" else None,
        "username": LOGINS.get(upstream) if placement != "none" else None,
        "certificate": CERTIFICATE if tls == "custom" else None,
        "database": "mariadb.databases.svc.cluster.local" if on_cluster else None,
        "smtp_addresses": ("93.184.216.41",) if on_cluster else (),
        "web_addresses": ("93.184.216.42",) if on_cluster else (),
        "ingress_namespace": "ingress-nginx" if on_cluster else None,
        "issuer": "letsencrypt" if tls == "cert-manager" else None,
        "tls_secret": "mail-tls" if tls == "secret" else None,
    }
    if on_cluster and placement == "none":
        given["egress"] = ("93.184.216.40",)
    return Answers(**{**given, **changes})


def offered() -> Iterator[tuple[str, str, str, str, str]]:
    for placement in PLACEMENTS:
        for engine in ("host", "local") if placement == "docker" else ("host",):
            for upstream in upstream_choices({"placement": placement}):
                # One who has a login uses it, but for Postal that sends by itself and so cannot.
                logins = {"docker": (None, LOGINS.get(upstream)), "none": (None,)}
                for login in logins.get(placement, (LOGINS.get(upstream),)):
                    told = {"placement": placement, "engine": engine, "upstream": upstream, "username": login}
                    for postal in postal_choices(told):
                        for tls in dict.fromkeys(
                            kind
                            for environment in ("staging", "prod")
                            for kind in tls_choices({"postal": postal, "environment": environment})
                        ):
                            yield placement, engine, upstream, login or "", f"{postal}/{tls}"


@pytest.fixture(autouse=True)
def _one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (initialise, stackfile):
        monkeypatch.setattr(module, "new_dkim_key", dkim_key)


def written(folder: Path, one: Answers) -> Path:
    path = folder / f"Pulumi.{one.stack}.yaml"
    path.write_text(stack_text(*compose(one), ["Made for a test."]))
    return path


def plan_of(path: Path) -> Plan:
    return load_plan(rehearsal_config(path), written=[Written.in_file(path)])


@pytest.mark.parametrize(
    ("placement", "engine", "upstream", "login", "postal", "dns"),
    # Who publishes the records follows from nothing else: each of them stands in a third of the rest.
    [(*one, DNS[number % len(DNS)]) for number, one in enumerate(sorted(set(offered())))],
)
def test_every_combination_that_is_offered_is_valid(
    placement: str, engine: str, upstream: str, login: str, postal: str, dns: str, tmp_path: Path
) -> None:
    where, _, tls = postal.partition("/")
    needed = login or (None if PRESETS[upstream].authorises_by_ip else LOGINS[upstream])
    path = written(tmp_path, answers(placement, upstream, dns, where, tls, engine=engine, username=needed))
    plan = plan_of(path)
    assert plan.relay.placed == (placement != "none")
    assert (plan.postal is not None) == (where != "none")
    assert (plan.relay_rule is not None) == (upstream == "google-workspace")
    by_itself = placement in {"docker", "none"} and where != "none"
    assert plan.settings.relay.upstream.port == (465 if by_itself and upstream == "google-workspace" else 587)
    SCHEMA.validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    ("placement", "engine", "login", "offers"),
    [
        ("vm", "host", None, {"vm", "none"}),
        ("docker", "host", None, {"vm", "none"}),
        ("docker", "host", "relay@example.com", {"none"}),
        ("docker", "local", None, {"none"}),
        ("kubernetes", "host", None, {"kubernetes", "none"}),
        ("none", "host", None, {"vm", "kubernetes"}),
    ],
)
def test_every_place_of_postal_that_the_settings_allow_is_offered_and_no_other(
    placement: str, engine: str, login: str | None, offers: set[str], tmp_path: Path
) -> None:
    told = {"placement": placement, "engine": engine, "upstream": "google-workspace", "username": login}
    assert set(postal_choices(told)) == offers
    for postal in {"vm", "kubernetes", "none"} - offers:
        tls = {"vm": "acme", "kubernetes": "cert-manager"}.get(postal, "none")
        with pytest.raises(SettingsError):
            plan_of(written(tmp_path, answers(placement, "google-workspace", "none", postal, tls, engine=engine,
                                              username=login)))  # fmt: skip


def test_prod_is_offered_no_certificates_that_nobody_trusts() -> None:
    assert "internal" in tls_choices({"postal": "vm", "environment": "local"})
    assert "internal" not in tls_choices({"postal": "vm", "environment": "prod"})


@pytest.mark.parametrize(
    "one",
    [
        answers(dns="cloudflare"),
        answers("docker", postal="none", tls="none", engine="local"),
        answers("docker", dns="server"),
        answers("kubernetes", postal="kubernetes", tls="cert-manager"),
        answers("none", postal="kubernetes", tls="secret"),
    ],
)
def test_every_value_has_a_comment_and_editors_find_the_schema(one: Answers, tmp_path: Path) -> None:
    lines = written(tmp_path, one).read_text().splitlines()
    assert lines[0] == SCHEMA_LINE
    # Editors look from the folder of the file on, which is the project's.
    assert (PROJECT_FOLDER / SCHEMA_LINE.partition("$schema=")[2]).is_file()
    body = lines[lines.index("config:") + 1 :]
    bare = [
        line
        for number, line in enumerate(body)
        if "#" not in line and not body[number - 1].lstrip().startswith("#") and line.strip() != "mail1:"
    ]
    assert bare == []
    assert max(len(line) for line in lines) <= 120


def test_texts_that_yaml_would_read_otherwise_stay_texts() -> None:
    settings = {"environment": "prod", "relay": {"upstream": {"username": "0123"}, "from_name": "yes: #1"}}
    assert yaml.safe_load(stack_text(settings, {}, [])) == {
        "config": {f"mailstack:{key}": value for key, value in settings.items()}
    }


def test_what_dns_has_already_is_kept(tmp_path: Path) -> None:
    there = InDns(
        mx=((10, "mx.mailboxes.net"),),
        spf="v=spf1 +a include:_spf.google.com include:news.example.net ip4:93.184.216.34 ip4:93.184.216.7 -all",
        dmarc="v=DMARC1; p=reject; rua=mailto:reports@example.com!10m",
    )
    domain = plan_of(written(tmp_path, answers(in_dns={"example.com": there}))).settings.domains[0]
    assert domain.mx is not None
    assert [(one.preference, one.exchange) for one in domain.mx] == [(10, "mx.mailboxes.net")]
    assert (domain.spf.include, domain.spf.mechanisms, domain.spf.all) == (
        ("news.example.net",), ("a", "ip4:93.184.216.7"), "-all")  # fmt: skip
    assert (domain.dmarc.policy, domain.dmarc.aggregate_reports) == ("reject", ("reports@example.com",))


def test_what_is_as_usual_in_dns_is_not_written_down(tmp_path: Path) -> None:
    there = InDns(mx=((1, "smtp.google.com"),), spf="v=spf1 include:_spf.google.com ~all")
    text = written(tmp_path, answers(in_dns={"example.com": there})).read_text()
    assert "mx:" not in text
    assert "spf:" not in text


def test_nobody_is_let_in_by_a_record_that_lets_everybody_send(tmp_path: Path) -> None:
    path = written(tmp_path, answers(in_dns={"example.com": InDns(spf="v=spf1 include:news.example.net +all")}))
    assert plan_of(path).settings.domains[0].spf.all is None


def test_a_name_below_a_zone_at_cloudflare_is_written_into_that_zone(tmp_path: Path) -> None:
    names = ("shop.example.com", "news.example.com", "example.org")
    found = dict.fromkeys(names[:2], InDns(zone="example.com"))
    path = written(tmp_path, answers(dns="cloudflare", domains=names, in_dns=found))
    assert set(plan_of(path).dns.zones) == {"example.com", "example.org"}
    assert list(yaml.safe_load(path.read_text())["config"]["mailstack:dns"]["cloudflare"]["zones"]) == [
        "example.com", "example.org"]  # fmt: skip


def test_a_host_is_read_as_ssh_writes_it() -> None:
    assert host_place("admin@mail.example.com:2222") == HostPlace(user="admin", address="mail.example.com", port=2222)
    assert host_place("2001:db8::1") == HostPlace(user="root", address="2001:db8::1", port=22)
    assert host_place("[2001:db8::1]:2222").port == 2222
    for wrong in ("", "@mail.example.com", "admin@mail.example.com:ssh"):
        with pytest.raises(ValueError, match="user@address"):
            host_place(wrong)


def test_a_secret_that_only_a_person_has_is_told_as_missing_and_does_not_hide_other_mistakes(tmp_path: Path) -> None:
    raw = example()
    del raw["dns"]["cloudflare"]["api_token"]
    raw["relay"]["upstream"] = {"preset": "sendgrid", "auth": "sasl", "username": "apikey"}
    del raw["relay_rule"]
    path = tmp_path / "Pulumi.prod.yaml"
    path.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in raw.items()}}))
    steps = missing_secrets(read_stack_file(path, throwaway))
    assert [step.what for step in steps] == ["password of the upstream", "Cloudflare API token"]
    load_plan(rehearsal_config(path))


def test_every_secret_that_a_file_needs_is_known_as_missing(tmp_path: Path) -> None:
    raw: dict[str, Any] = {
        "relay": {
            "placement": "docker",
            "image": {"registry": {"server": "registry.example.com", "username": "ci"}},
            "docker": {"endpoint": "tcp://docker.example.com:2376", "tls": {"ca_certificate": "…"}},
        }
    }
    assert [step.path for step in missing_secrets(raw, tmp_path)] == [
        "mailstack:relay.image.registry.password", "mailstack:relay.docker.tls.private_key"]  # fmt: skip
    raw["relay"]["image"]["registry"]["password"] = raw["relay"]["docker"]["tls"]["private_key"] = "there"
    assert missing_secrets(raw, tmp_path) == []


@pytest.mark.parametrize(
    ("stack", "environment"),
    [("staging", "staging"), ("mycompany-staging", "staging"), ("a.local", "local"), ("mycompany", "prod"),
     ("localhost", "prod"), ("staging-eu", "prod")],
)  # fmt: skip
def test_the_last_word_of_a_stacks_name_says_its_environment(stack: str, environment: str) -> None:
    [question] = [one for one in QUESTIONS if one.key == "environment"]
    assert question.default({"stack": stack}) == environment
