"""Several upstreams and the fallback: each mistake is told at its field, and each fix can be followed."""

from typing import Any

import pytest

from tests.unit.mistakes import (
    MAILGUN,
    SENDGRID,
    SES,
    Mistake,
    accepted,
    changed,
    direct,
    problems,
    several,
    spare,
    told_and_mended,
)
from tests.unit.stack_examples import REMOVE, example

CUSTOM = {"preset": "custom", "host": "smtp.example.net"}
CUSTOM_LOGIN = {**CUSTOM, "auth": "sasl", "username": "relay", "password": "pw"}
FURTHER = "relay.upstreams.mailgun"


def of_preset(
    upstream: dict[str, Any], changes: dict[str, Any], field: str, rule: str, fix: str, **way: Any
) -> Mistake:
    """Return a mistake in a further upstream: the rules of the first one hold there too."""
    broken = {key: value for key, value in {**upstream, **changes}.items() if value is not REMOVE}
    mended = {key: value for key, value in {**broken, **way}.items() if value is not REMOVE}
    what = f"{upstream.get('preset', 'google-workspace')} with {field} {changes.get(field)!r}"
    return Mistake(what, several, {FURTHER: broken}, f"{FURTHER}.{field}", rule, fix, ({FURTHER: mended},))


CHOICE = [
    Mistake(
        "a domain whose upstream is not there",
        several,
        {"domains.1.upstream": "mailgum"},
        "domains[1].upstream",
        "must name one of relay.upstreams",
        "did you mean mailgun?",
        ({"domains.1.upstream": "mailgun"},),
    ),
    Mistake(
        "a domain with an upstream where none are declared",
        example,
        {"domains.1.upstream": "mailgun"},
        "domains[1].upstream",
        "must name one of relay.upstreams",
        "add the section relay.upstreams with it, or remove the key",
        ({FURTHER: MAILGUN}, {"domains.1.upstream": REMOVE}),
    ),
    Mistake(
        "an upstream that takes nobody's mail",
        several,
        {"domains.1.upstream": REMOVE},
        FURTHER,
        "takes nobody's mail",
        "name it in domains[].upstream or in relay.fallback_upstream, or remove it",
        (
            {"domains.0.upstream": "mailgun"},
            {"relay.fallback_upstream": "mailgun"},
            {FURTHER: REMOVE},
        ),
    ),
    Mistake(
        "upstreams without Postfix",
        direct,
        {FURTHER: MAILGUN, "domains.1.upstream": "mailgun"},
        "relay.upstreams",
        "need Postfix, and relay.placement is none",
        "remove them, or use placement vm",
        (
            {"relay.upstreams": REMOVE, "domains.1.upstream": REMOVE},
            # Postal's mail follows a domain's own upstream only by a return path of its own.
            {"relay.placement": "vm", "postal.custom_return_paths": True},
        ),
    ),
    Mistake(
        "an upstream's name that cannot be part of a resource name",
        several,
        {"relay.upstreams": {"Mailgun EU": MAILGUN}},
        "relay.upstreams.Mailgun EU",
        "must be a short name",
        "rename it",
        ({"relay.upstreams": {"mailgun": MAILGUN}},),
    ),
    Mistake(
        "an upstream's name of 41 characters",
        several,
        {"relay.upstreams": {"m" * 41: MAILGUN}, "domains.1.upstream": "m" * 40},
        f"relay.upstreams.{'m' * 41}",
        "40 at most",
        "rename it",
        ({"relay.upstreams": {"m" * 40: MAILGUN}},),
    ),
    Mistake(
        "a domain's upstream that is no name",
        several,
        {"domains.1.upstream": "Mailgun EU"},
        "domains[1].upstream",
        "must be a short name",
        "rename it",
        ({"domains.1.upstream": "mailgun"},),
    ),
    Mistake(
        "upstreams as a list",
        several,
        {"relay.upstreams": [MAILGUN]},
        "relay.upstreams",
        "must be a mapping",
        "key: value",
        ({"relay.upstreams": {"mailgun": MAILGUN}},),
    ),
    Mistake(
        "a misspelt key of a further upstream",
        several,
        {f"{FURTHER}.regoin": "us"},
        f"{FURTHER}.regoin",
        "is not a known key",
        "did you mean region?",
        ({f"{FURTHER}.regoin": REMOVE, f"{FURTHER}.region": "us"},),
    ),
]

PRESETS = [
    of_preset(MAILGUN, {"preset": "gmail"}, "preset", "must be one of 'google-workspace'", "one of", preset="mailgun"),
    of_preset(MAILGUN, {"port": 26}, "port", "does not listen there", "587 (STARTTLS) or 465", port=465),
    of_preset(MAILGUN, {"host": "smtp.example.net"}, "host", "cannot be changed", "remove it", host=REMOVE),
    of_preset(MAILGUN, {"spf_include": "a.example.net"}, "spf_include", "cannot", "remove it", spf_include=REMOVE),
    of_preset(MAILGUN, {"region": REMOVE}, "region", "is required with preset mailgun", "us, eu", region="us"),
    of_preset(MAILGUN, {"region": "asia"}, "region", "not a region", "use one of us, eu", region="us"),
    of_preset(SES, {"region": "Ireland"}, "region", "not a region", "write it as eu-west-1", region="eu-west-1"),
    of_preset(SENDGRID, {"region": "eu"}, "region", "has no regions", "remove it", region=REMOVE),
    of_preset(MAILGUN, {"username": "relay"}, "username", "an SMTP user", "copy it", username="relay@example.org"),
    of_preset(MAILGUN, {"username": REMOVE}, "username", "is required", "an SMTP user", username="relay@example.org"),
    of_preset(MAILGUN, {"password": REMOVE}, "password", "is required", "the password as a secret", password="pw"),
    of_preset(MAILGUN, {"password": "pw\n"}, "password", "one line", "without a final newline", password="pw"),
    of_preset(SENDGRID, {"password": "abc"}, "password", "starts with SG.", "copy it", password="SG.abc"),
    of_preset({"preset": "sendgrid"}, {}, "auth", "user name and password only", "set auth to sasl", **SENDGRID),
    of_preset({}, {"username": "a@example.org"}, "username", "no use with auth none", "remove it", username=REMOVE),
    of_preset({}, {"password": "dummy"}, "password", "no use with auth none", "remove it", password=REMOVE),
    of_preset(MAILGUN, {"tls": "may"}, "tls", "never sent", "use secure", tls="secure"),
    of_preset(MAILGUN, {"ca_file": "own.pem"}, "ca_file", "must match", "correct", ca_file="/etc/ssl/own.pem"),
    of_preset(MAILGUN, {"smtputf8": "perhaps"}, "smtputf8", "true or false", "write true or false", smtputf8=True),
    of_preset({"preset": "custom"}, {}, "host", "is required with preset custom", "host name", **CUSTOM),
    of_preset(CUSTOM, {"port": 0}, "port", "1 or more", "larger", port=1),
    of_preset(CUSTOM, {"port": 65536}, "port", "65535 or less", "smaller", port=65535),
    Mistake(
        "a user name that Postfix would split",
        several,
        {FURTHER: {**CUSTOM_LOGIN, "username": "a:b"}},
        "relay",
        "upstreams 'mailgun': sasl_username must have no blank and no colon",
        "correct the setting it names",
        ({f"{FURTHER}.username": "a"},),
    ),
]

FALLBACK = [
    Mistake(
        "a fallback that is not there",
        spare,
        {"relay.fallback_upstream": "mailgum"},
        "relay.fallback_upstream",
        "must name one of relay.upstreams",
        "did you mean mailgun?",
        ({"relay.fallback_upstream": "mailgun"},),
    ),
    Mistake(
        "a fallback where no upstreams are declared",
        example,
        {"relay.fallback_upstream": "mailgun"},
        "relay.fallback_upstream",
        "must name one of relay.upstreams",
        "add the section relay.upstreams with it, or remove the key",
        ({FURTHER: MAILGUN}, {"relay.fallback_upstream": REMOVE}),
    ),
    Mistake(
        "a fallback that starts TLS another way",
        spare,
        {f"{FURTHER}.port": 465},
        "relay.fallback_upstream",
        "another way than relay.upstream with port 587",
        "use port 587 for both, or 465 for both",
        ({f"{FURTHER}.port": 587}, {"relay.upstream.port": 465}),
    ),
    Mistake(
        "a fallback that starts TLS another way than a domain's own upstream",
        several,
        {
            "relay.upstreams.spare": SENDGRID,
            "relay.fallback_upstream": "spare",
            f"{FURTHER}.port": 465,
        },
        "relay.fallback_upstream",
        f"another way than {FURTHER} with port 465",
        "use port 587 for both",
        ({f"{FURTHER}.port": 587},),
    ),
    Mistake(
        "a fallback with weaker TLS",
        spare,
        {f"{FURTHER}.tls": "encrypt"},
        "relay.fallback_upstream",
        "must have the tls and ca_file of relay.upstream",
        "give both the same",
        ({f"{FURTHER}.tls": "secure"}, {"relay.upstream.tls": "encrypt"}),
    ),
    Mistake(
        "a fallback with authorities of its own",
        spare,
        {f"{FURTHER}.ca_file": "/etc/ssl/own.pem"},
        "relay.fallback_upstream",
        "must have the tls and ca_file of relay.upstream",
        "give both the same",
        ({f"{FURTHER}.ca_file": REMOVE}, {"relay.upstream.ca_file": "/etc/ssl/own.pem"}),
    ),
    Mistake(
        "a fallback whose include is one SPF look-up too many",
        spare,
        {"domains.0.spf.lookups": {"spf.example.net": 3}},
        "domains[0]",
        "RFC 7208 §4.6.4",
        "move the sender behind include:spf.example.net to a subdomain, or remove it (saves 3)",
        ({"domains.0.spf": {}}, {"relay.fallback_upstream": REMOVE, "relay.upstreams": REMOVE}),
    ),
]

LIMITS = [
    Mistake(
        "a message larger than a further upstream takes",
        several,
        {"relay.upstream": SENDGRID, "relay_rule": REMOVE, "relay.message_size_mb": 26},
        "relay.message_size_mb",
        "Mailgun takes 25 MB at most",
        "use 25 or less, or leave it out",
        ({"relay.message_size_mb": 25}, {"relay.message_size_mb": REMOVE}),
    ),
    Mistake(
        "strict envelopes that are neither on nor off",
        example,
        {"relay.strict_envelopes": "sometimes"},
        "relay.strict_envelopes",
        "must be true or false",
        "write true or false",
        ({"relay.strict_envelopes": True}, {"relay.strict_envelopes": False}),
    ),
    Mistake(
        "SMTPUTF8 that is neither on nor off",
        example,
        {"relay.upstream.smtputf8": 2},
        "relay.upstream.smtputf8",
        "must be true or false",
        "write true or false",
        ({"relay.upstream.smtputf8": True}, {"relay.upstream.smtputf8": False}),
    ),
    *(
        Mistake(
            f"{name} past its own setting",
            spare,
            {f"relay.extra_parameters.{name}": "x"},
            f"relay.extra_parameters.{name}",
            "is set by this project",
            fix,
            ({f"relay.extra_parameters.{name}": REMOVE, **way},),
        )
        for name, fix, way in (
            ("strict_rfc821_envelopes", "use strict_envelopes", {"relay.strict_envelopes": True}),
            ("smtputf8_enable", "it follows from the upstream", {"relay.upstream.smtputf8": False}),
            ("smtp_fallback_relay", "use fallback_upstream", {"relay.fallback_upstream": "mailgun"}),
            ("sender_dependent_relayhost_maps", "upstream of a domain", {"domains.1.upstream": "mailgun"}),
            ("sender_dependent_default_transport_maps", "upstream of a domain", {"domains.1.upstream": "mailgun"}),
        )
    ),
]


@pytest.mark.parametrize("mistake", [*CHOICE, *PRESETS, *FALLBACK, *LIMITS], ids=lambda mistake: mistake.what)
def test_a_mistake_about_upstreams_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize(
    ("base", "changes"),
    [
        pytest.param(several, {f"{FURTHER}.port": 2525}, id="a port the provider has"),
        pytest.param(several, {"domains.0.upstream": "mailgun", "relay_rule": REMOVE}, id="all domains elsewhere"),
        pytest.param(several, {"relay.fallback_upstream": "mailgun"}, id="a fallback with mail of its own"),
        pytest.param(several, {"domains.1.upstream": None, "relay.fallback_upstream": "mailgun"}, id="null: the first"),
        pytest.param(several, {"relay.upstreams": {}, "domains.1.upstream": REMOVE}, id="an empty mapping"),
        pytest.param(several, {FURTHER: {**CUSTOM, "tls": "may"}}, id="weak TLS without a password"),
        pytest.param(several, {FURTHER: {}}, id="a second Google account"),
        pytest.param(spare, {f"{FURTHER}.port": 25}, id="25 and 587 both start in clear"),
        pytest.param(
            spare, {FURTHER: {**SES, "port": 2465}, "relay.upstream.port": 465}, id="465 and 2465 both start with TLS"
        ),
        pytest.param(spare, {"relay.upstream.tls": "encrypt", f"{FURTHER}.tls": "encrypt"}, id="equally weak TLS"),
        pytest.param(spare, {"domains.0.spf.lookups": {"spf.example.net": 2}}, id="ten SPF look-ups with the fallback"),
        pytest.param(several, {"relay.message_size_mb": 25}, id="as large as both take"),
        pytest.param(
            several,
            {"relay.upstream": SENDGRID, FURTHER: CUSTOM, "relay_rule": REMOVE, "relay.message_size_mb": 30},
            id="a custom upstream's limit is not known",
        ),
    ],
)
def test_what_is_just_inside_the_rules_of_upstreams_is_accepted(base: Any, changes: dict[str, Any]) -> None:
    accepted(base, changes)


def test_a_size_nobody_named_is_the_smallest_of_all_upstreams() -> None:
    sizes = {
        preset: accepted(several, {FURTHER: upstream}).relay.definition.message_size_limit_bytes
        for preset, upstream in {"custom": CUSTOM, "mailgun": MAILGUN, "ses": SES}.items()
    }
    assert sizes == {"custom": 10_000_000, "mailgun": 25_000_000, "ses": 25_000_000}


@pytest.mark.parametrize(
    ("changes", "offered"),
    [
        ({FURTHER: {}}, True),
        ({FURTHER: MAILGUN}, False),
        ({FURTHER: {**MAILGUN, "smtputf8": True}}, True),
        ({FURTHER: {}, "relay.upstream.smtputf8": False}, False),
        ({FURTHER: {"smtputf8": False}}, False),
    ],
)
def test_addresses_that_are_not_ascii_are_taken_only_where_every_upstream_takes_them(
    changes: dict[str, Any], offered: bool
) -> None:
    assert accepted(several, changes).relay.definition.smtputf8 is offered


def test_mistakes_in_several_upstreams_are_told_in_one_run() -> None:
    upstreams = {"one": {**MAILGUN, "port": 26}, "two": {**SES, "password": "s" * 40}, "three": CUSTOM}
    raw = changed(
        example(), {"relay.upstreams": upstreams, "domains.0.upstream": "one", "relay.fallback_upstream": "too"}
    )
    assert {problem.field for problem in problems(raw)} >= {
        "relay.upstreams.one.port",
        "relay.upstreams.two.password",
        "relay.upstreams.three",
        "relay.fallback_upstream",
    }


def test_no_password_of_an_upstream_shows_in_a_message() -> None:
    for upstream in (
        {**SENDGRID, "password": "hunter2"},
        {"password": "hunter2"},
        {**MAILGUN, "password": "hunter2\n"},
    ):
        found = problems(changed(several(), {FURTHER: upstream}))
        assert found
        assert "hunter2" not in repr(found)
