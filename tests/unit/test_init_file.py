"""The file that `mailstack init` writes: valid for everything that is offered, and a comment on every value."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from mailstack.plan import Plan, load_plan
from mailstack.settings import initialise, stackfile
from mailstack.settings.initialise import missing_secrets, rehearsal_config
from mailstack.settings.schema import stack_file_schema
from mailstack.settings.stackfile import read_stack_file, throwaway
from mailstack.settings.written import Written
from mailstack.start.answers import DNS, PLACEMENTS, Answers, HostPlace, InDns, host_place, tls_choices
from mailstack.start.compose import compose
from mailstack.start.text import SCHEMA_LINE, stack_text
from mailstack.upstreams import PRESETS
from tests.unit.stack_examples import HOST_KEY, dkim_key, example

LOGINS = {"sendgrid": "apikey", "ses": "AKIAIOSFODNN7EXAMPLE", "mailgun": "postmaster@example.com", "custom": "relay"}
REGIONS = {"ses": "eu-west-1", "mailgun": "eu"}
SCHEMA = jsonschema.Draft202012Validator(json.loads(stack_file_schema()))
CERTIFICATE = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def answers(placement: str = "vm", upstream: str = "google-workspace", dns: str = "none", tls: str = "acme",
            **changes: Any) -> Answers:  # fmt: skip
    cluster = placement == "kubernetes"
    on_host = not cluster or dns == "server"
    given: dict[str, Any] = {
        "stack": "fresh",
        "environment": "staging" if tls == "internal" else "prod",
        "domains": ("example.com", "shop.example.com"),
        "placement": placement,
        "upstream": upstream,
        "dns": dns,
        "tls": tls,
        "contact": "postmaster@example.com",
        "month": "202611",
        "host": HostPlace(user="admin", address="mail.example.com", port=22) if on_host else None,
        "host_key": HOST_KEY if on_host else None,
        "public_ipv4": "93.184.216.34" if on_host else None,
        "context": "prod" if cluster else None,
        "image": "registry.example.com/relay:1" if cluster else None,
        "egress": ("93.184.216.40",) if cluster else (),
        "region": REGIONS.get(upstream),
        "upstream_host": "smtp.example.net" if upstream == "custom" else None,
        "username": LOGINS.get(upstream),
        "certificate": CERTIFICATE if tls == "custom" else None,
    }
    return Answers(**{**given, **changes})


def offered() -> Iterator[tuple[str, str, str, str]]:
    for placement in PLACEMENTS:
        for tls in dict.fromkeys(
            kind
            for environment in ("staging", "prod")
            for kind in tls_choices({"placement": placement, "environment": environment})
        ):
            for upstream in PRESETS:
                yield from ((placement, upstream, dns, tls) for dns in DNS)


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


@pytest.mark.parametrize(("placement", "upstream", "dns", "tls"), offered())
def test_every_combination_that_is_offered_is_valid(
    placement: str, upstream: str, dns: str, tls: str, tmp_path: Path
) -> None:
    path = written(tmp_path, answers(placement, upstream, dns, tls))
    plan = plan_of(path)
    assert plan.relay.placed
    assert (plan.postal is not None) == (tls != "none")
    assert (plan.relay_rule is not None) == (upstream == "google-workspace")
    SCHEMA.validate(yaml.safe_load(path.read_text()))


def test_prod_is_offered_no_certificates_that_nobody_trusts() -> None:
    assert "internal" in tls_choices({"placement": "vm", "environment": "local"})
    assert "internal" not in tls_choices({"placement": "vm", "environment": "prod"})


def test_every_value_has_a_comment_and_editors_find_the_schema(tmp_path: Path) -> None:
    lines = written(tmp_path, answers(dns="cloudflare")).read_text().splitlines()
    assert lines[0] == SCHEMA_LINE
    assert (Path(SCHEMA_LINE.partition("$schema=")[2])).is_file()
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
