"""Mistakes around several upstreams, submission, existing records and files, each told, and none a crash."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mailstack.plan import load_plan
from mailstack.settings.initialise import missing_secrets, rehearsal_config
from tests.unit.mistakes import (
    LOGINS,
    MAILGUN,
    SENDGRID,
    SES,
    Mistake,
    changed,
    logins,
    problems,
    several,
    spare,
    told_and_mended,
)
from tests.unit.plan_parts import dns_records, relay_rule
from tests.unit.stack_examples import REMOVE, example, postal_example

CERTIFICATE = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"}


def with_postal() -> dict[str, Any]:
    """Return a stack with Postal, Caddy and the relay on one host, and logins at the relay."""
    raw = postal_example()
    raw["relay"]["submission"] = LOGINS
    return raw


def entry(**changes: Any) -> list[dict[str, Any]]:
    return [{"name": "example.com", "type": "TXT", "action": "keep", **changes}]


MISTAKES = [
    Mistake(
        "submission on Postal's port",
        with_postal,
        {"relay.submission.starttls_port": 25},
        "relay.submission.starttls_port",
        "is taken on relay1 by Postal",
        "the usual one is 587",
        ({"relay.submission.starttls_port": 587}, {"relay.submission.starttls_port": None}),
    ),
    Mistake(
        "submission on Caddy's port",
        with_postal,
        {"relay.submission.tls_port": 443},
        "relay.submission.tls_port",
        "is taken on relay1 by Caddy",
        "the usual one is 465",
        ({"relay.submission.tls_port": 465},),
    ),
    Mistake(
        "submission on SSH's port",
        logins,
        {"relay.submission.tls_port": 22},
        "relay.submission.tls_port",
        "by SSH",
        "use another port",
        ({"relay.submission.tls_port": 465},),
    ),
    Mistake(
        "the relay on submission's port",
        logins,
        {"relay.listen_port": 587},
        "relay.submission.starttls_port",
        "by relay.listen_port",
        "give relay.listen_port another port, 25",
        ({"relay.listen_port": 25},),
    ),
    Mistake(
        "an address of submission twice",
        logins,
        {"relay.submission.listen_addresses": ["93.184.216.34", "93.184.216.34"]},
        "relay.submission.listen_addresses",
        "is listed twice",
        "remove one",
        ({"relay.submission.listen_addresses": ["93.184.216.34"]},),
    ),
    Mistake(
        "all addresses and one",
        logins,
        {"relay.submission.listen_addresses": ["0.0.0.0", "93.184.216.34"]},
        "relay.submission.listen_addresses",
        "cannot be combined",
        "list either all or the single addresses",
        (
            {"relay.submission.listen_addresses": ["0.0.0.0"]},
            {"relay.submission.listen_addresses": ["93.184.216.34"]},
        ),
    ),
    Mistake(
        "a fallback at the first upstream's server with another login",
        spare,
        {"relay.upstream": SENDGRID, "relay.upstreams": {"spare": {**SENDGRID, "password": "SG.other"}},
         "relay.fallback_upstream": "spare",
         "relay_rule": REMOVE},
        "relay.fallback_upstream",
        "is the server of relay.upstream with another login",
        "name another upstream, or remove the key",
        ({"relay.upstreams": {"spare": SES}}, {"relay.fallback_upstream": REMOVE, "relay.upstreams": REMOVE}),
    ),
    Mistake(
        "a rule of Google's without mail for Google",
        several,
        {"domains.0.upstream": "mailgun"},
        "relay_rule",
        "is about no mail",
        "remove it, or leave a domain to Google's upstream",
        ({"relay_rule": REMOVE}, {"domains.0.upstream": REMOVE}),
    ),
    Mistake(
        "a domain in Google's rule that goes elsewhere",
        several,
        {"relay_rule.domains": ["example.com", "example.org"]},
        "relay_rule.domains[1]",
        "whose mail goes to Google",
        "did you mean example.com",
        ({"relay_rule.domains": ["example.com"]},),
    ),
    Mistake(
        "a probe from a domain that goes elsewhere",
        several,
        {"relay_rule.probe.sender": "a@example.org"},
        "relay_rule.probe.sender",
        "whose mail goes to Google",
        "use postmaster@example.com",
        ({"relay_rule.probe.sender": "postmaster@example.com"},),
    ),
    Mistake(
        "an existing record in nobody's zone",
        example,
        {"dns.existing": entry(name="nobody.net")},
        "dns.existing[0].name",
        "is in no zone of this stack",
        "remove the entry, or correct the name",
        ({"dns.existing": REMOVE}, {"dns.existing": entry()}),
    ),
    Mistake(
        "two decisions about one existing record",
        example,
        {"dns.existing": entry() + entry(action="take-over")},
        "dns.existing[1].action",
        "contradicts an entry above",
        "keep one of the two, or tell the records apart by content",
        ({"dns.existing": entry()}, {"dns.existing": entry(content="a") + entry(action="take-over", content="b")}),
    ),
]  # fmt: skip


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"ca_file": "/etc/$x.pem"}, "must be an absolute path without blanks, commas and $"),
        ({"port": 465, "tls": "may", "auth": "none"}, "implicit TLS"),
    ],
)
def test_what_is_refused_in_the_first_upstream_is_refused_in_all(changes: Mapping[str, Any], part: str) -> None:
    raw = example()
    raw["relay"]["upstreams"] = {"own": {"preset": "custom", "host": "smtp.example.net", **changes}}
    raw["domains"][1]["upstream"] = "own"
    assert any(part in problem.rule for problem in problems(raw)), problems(raw)


def test_postals_domain_with_an_upstream_that_knows_our_addresses_has_these_in_spf() -> None:
    raw = postal_example()
    raw["relay"]["upstreams"] = {"own": {"preset": "custom", "host": "smtp.example.net"}}
    raw["domains"][1]["upstream"] = "own"
    raw["postal"] |= {"custom_return_paths": True, "max_message_mb": 9}
    plan = load_plan(raw)
    [spf] = [
        record.data.value  # type: ignore[union-attr]
        for record in dns_records(plan)
        if record.name == "example.org" and record.type == "TXT" and "spf1" in record.data.value  # type: ignore[union-attr]
    ]
    assert "ip4:93.184.216.34" in spf
    assert "_spf.google.com" not in spf


def test_googles_rule_may_leave_out_return_paths_that_do_not_go_there() -> None:
    raw = postal_example()
    raw["relay"]["upstreams"] = {"mailgun": MAILGUN}
    raw["domains"][1]["upstream"] = "mailgun"
    raw["postal"]["custom_return_paths"] = True
    names = ("example.com", "rp.example.com", "psrp.example.com")
    raw["relay_rule"]["domains"] = list(names)
    assert relay_rule(load_plan(raw)).domains == names
    raw["relay_rule"]["domains"] = ["example.com", "rp.example.com"]
    [problem] = problems(raw)
    assert "lacks psrp.example.com" in problem.rule


def sealed(raw: Any) -> Any:
    """Return ``raw`` with every secret as the stack file holds it."""
    if isinstance(raw, dict):
        return {
            key: {"secure": "v1:AAAA"} if key in {"private_key", "password", "api_token"} else sealed(value)
            for key, value in raw.items()
        }
    return [sealed(value) for value in raw] if isinstance(raw, list) else raw


def test_a_file_with_all_secrets_encrypted_is_valid_whatever_they_are_for(tmp_path: Path) -> None:
    raw = example()
    raw["relay"]["upstreams"] = {"sendgrid": SENDGRID, "ses": SES}
    raw["relay"]["fallback_upstream"] = "ses"
    raw["relay"]["submission"] = {**LOGINS, "certificate": CERTIFICATE}
    raw["domains"][0]["spf"]["include"] = []
    raw["domains"][1] |= {"upstream": "sendgrid", "dkim": [{"selector": "mail202611", "key": "common"}]}
    raw["dkim_keys"] = {"common": {"private_key": "x"}}
    file = tmp_path / "Pulumi.prod.yaml"
    file.write_text(yaml.safe_dump({"config": {f"mailstack:{key}": value for key, value in sealed(raw).items()}}))
    assert problems(rehearsal_config(file)) == []


SHAPES: list[Any] = ["text", ["text"], [None], {"a": None}, {"a": "text"}, [["text"]], None, 7]
PLACES = (
    "domains", "hosts", "ssh", "dkim_keys", "relay", "dns", "postal", "caddy", "domains.0", "domains.0.dkim",
    "relay.upstream", "relay.upstreams", "relay.submission", "relay.submission.users", "dns.cloudflare",
    "postal.database", "postal.admin", "postal.organizations", "caddy.acme", "caddy.custom", "dkim_keys.common",
)  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_a_wrong_shape_anywhere_is_a_mistake_and_no_crash(place: str) -> None:
    for shape in SHAPES:
        base = with_postal()
        base["dkim_keys"] = {"common": {}}
        raw = changed(base, {place: shape})
        missing_secrets(raw)
        problems(raw)


@pytest.mark.parametrize("name", ["README.md/x", "x" * 300, "a\0b", "tests", "../elsewhere.yaml", "nothing.yaml"])
def test_a_file_of_domains_that_cannot_be_read_is_told(name: str) -> None:
    raw = example(domains_file=name)
    del raw["domains"]
    told = problems(raw)
    assert [problem.field for problem in told] == ["domains_file"]
    assert "YAML" not in told[0].rule
    assert "\n" not in str(told[0])
    assert "\0" not in str(told[0])


def test_a_line_break_in_a_value_does_not_break_the_line() -> None:
    raw = example()
    raw["relay"]["upstream"] = {**MAILGUN, "region": "a\nb", "username": "a\nb"}
    del raw["relay_rule"]
    told = problems(raw)
    assert told
    assert all("\n" not in str(problem) for problem in told)


@pytest.mark.parametrize("path", ["relay.queue_lifetime_hours", "domains[0].name", "dns.cloudflare.api_token"])
def test_a_path_that_was_set_without_the_option_path_is_told_with_the_way_out(path: str) -> None:
    [problem] = problems(example() | {path: "12"})
    assert problem.rule == "is not a known key"
    assert f"`pulumi config rm 'mailstack:{path}'`" in problem.fix
    assert f"`pulumi config set --path 'mailstack:{path}'`" in problem.fix


def test_a_key_with_a_dot_that_is_no_path_of_ours_is_only_unknown() -> None:
    [problem] = problems(example() | {"rely.host": "12"})
    assert "--path" not in problem.fix
