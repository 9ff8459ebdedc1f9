"""Submission by login: each mistake is told at its field, and each fix can be followed."""

from typing import Any

import pytest

from rehearsal.pki import PrivateCa
from rehearsal.surroundings import caddy_names
from tests.unit.mistakes import LOGINS, Mistake, accepted, changed, direct, logins, problems, told_and_mended
from tests.unit.stack_examples import HOST_KEY, REMOVE, postal_example

SUBMISSION = "relay.submission"
CERTIFICATE = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/private/relay.pem"}
USER = {"name": "shop", "password": "shop-password"}
CADDY = {"host": "relay1", "acme": {"email": "admin@example.com"}}
WEB = {"address": "web1.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.7"}


def with_postal() -> dict[str, Any]:
    """Return Postal, Caddy and a relay with logins on one host; the relay listens on 2525 there."""
    return changed(postal_example(), {SUBMISSION: LOGINS})


def caddy_elsewhere() -> dict[str, Any]:
    """Return a host for the relay, one for Postal and Caddy, and a certificate of the relay's own."""
    moved = {
        "hosts.web1": {**WEB, "private_address": "10.0.0.7"},
        "postal.host": "web1",
        "caddy.host": "web1",
        "relay.listen_addresses": ["127.0.0.1", "10.0.0.9"],
        "relay.client_networks": ["10.0.0.7/32"],
        SUBMISSION: {**LOGINS, "certificate": CERTIFICATE},
    }
    return changed(postal_example(), moved)


def at(field: str, value: Any, rule: str, fix: str, mended: Any, told: str | None = None) -> Mistake:
    """Return a mistake at one key of submission and what it is mended with; ``told`` is the field if another one."""
    shown = f"{field} {value!r}"[:60]
    path = f"{SUBMISSION}.{field}"
    return Mistake(shown, logins, {path: value}, f"{SUBMISSION}.{told or field}", rule, fix, ({path: mended},))


PORTS = [
    at("starttls_port", 0, "1 or more", "larger", 1),
    at("starttls_port", 65536, "65535 or less", "smaller", 65535),
    at("tls_port", 0, "1 or more", "larger", 1),
    at("tls_port", 65536, "65535 or less", "smaller", 65535),
    at("tls_port", "smtps", "whole number", "digits", 465),
    at("starttls_port", 465, "is the port of starttls_port", "leave both keys out", REMOVE, told="tls_port"),
    at("tls_port", 587, "is the port of starttls_port", "leave both keys out", REMOVE),
    at("starttls_port", 25, "is taken on relay1 by relay.listen_port", "the usual one is 587", 587),
    at("tls_port", 25, "is taken on relay1 by relay.listen_port", "or null for none", None),
    at("ports", [587], "is not a known key", "Known here: certificate, listen_addresses", REMOVE),
    Mistake(
        "no port at all",
        logins,
        {f"{SUBMISSION}.starttls_port": None, f"{SUBMISSION}.tls_port": None},
        f"{SUBMISSION}.starttls_port",
        "needs a port, or tls_port does",
        "leave both keys out for 587 and 465",
        ({f"{SUBMISSION}.starttls_port": REMOVE, f"{SUBMISSION}.tls_port": REMOVE},),
    ),
    Mistake(
        "the port the relay has beside Postal",
        with_postal,
        {f"{SUBMISSION}.starttls_port": 2525},
        f"{SUBMISSION}.starttls_port",
        "relay.listen_port",
        "the usual one is 587",
        ({f"{SUBMISSION}.starttls_port": 587},),
    ),
    Mistake(
        "submission without Postfix",
        direct,
        {SUBMISSION: {**LOGINS, "certificate": CERTIFICATE}},
        SUBMISSION,
        "needs Postfix, and placement is none",
        "remove it",
        ({SUBMISSION: REMOVE},),
    ),
]

PEOPLE = [
    at("users", [], "at least one entry", "add an entry", [USER]),
    at("users", REMOVE, "is required", "Who may log in", [USER]),
    at("users", [USER, USER], "is listed twice", "remove one", [USER]),
    at("users", [{"password": "shop-password"}], "is required", "Login name", [USER], told="users[0].name"),
    at("users", [{"name": "shop"}], "is required", "mailstack init", [USER], told="users[0].password"),
    at("users.0.name", "s" * 65, "64 at most", "without blanks and colons", "s" * 64, told="users[0].name"),
    at("users.0.name", "", "login name", "such as printer2", "p", told="users[0].name"),
    at("users.0.name", "my shop", "login name", "without blanks", "my-shop", told="users[0].name"),
    at("users.0.name", "shop:1", "login name", "and colons", "shop@example.com", told="users[0].name"),
    at("users.0.name", "-shop", "login name", "such as printer2", "printer2", told="users[0].name"),
    at("users.0.password", "x" * 11, "12 characters or more", "a longer one", "x" * 12, told="users[0].password"),
    at("users.0.password", "x" * 12 + "\n", "one line", "without a final", "x" * 12, told="users[0].password"),
    at("listen_addresses", [], "at least one entry", "add an entry", ["93.184.216.34"]),
    at("listen_addresses", REMOVE, "is required", "Addresses of the host", ["93.184.216.34"]),
    at("listen_addresses", "93.184.216.34", "must be a list", "- entry", ["93.184.216.34"]),
    at("listen_addresses", ["relay.example.com"], "IP address", "without a mask", ["::1"], told="listen_addresses[0]"),
    at("listen_addresses", ["10.0.0.1/8"], "IP address", "without a mask", ["10.0.0.1"], told="listen_addresses[0]"),
]

CERTIFICATES = [
    Mistake(
        "no certificate and no Caddy",
        logins,
        {f"{SUBMISSION}.certificate": REMOVE},
        f"{SUBMISSION}.certificate",
        "no Caddy on relay1 has a certificate to hand over",
        "name certificate_file and key_file on the host, or put caddy there",
        ({f"{SUBMISSION}.certificate": CERTIFICATE}, {"caddy": CADDY}),
    ),
    Mistake(
        "no certificate and Caddy on another host",
        caddy_elsewhere,
        {f"{SUBMISSION}.certificate": REMOVE},
        f"{SUBMISSION}.certificate",
        "no Caddy on relay1",
        "name certificate_file and key_file",
        ({f"{SUBMISSION}.certificate": CERTIFICATE},),
    ),
    at("certificate", "/etc/ssl/relay.pem", "must be a mapping", "key: value", CERTIFICATE),
    at("certificate.key_file", REMOVE, "is required", "PEM, readable by root", "/etc/ssl/private/relay.pem"),
    at("certificate.certificate_file", REMOVE, "is required", "PEM", "/etc/ssl/relay.pem"),
    at("certificate.certificate_file", "ssl/relay.pem", "absolute path", "from the root on", "/etc/ssl/relay.pem"),
    at("certificate.key_file", "/etc/ssl/my key", "without blanks", "from the root on", "/etc/ssl/my-key"),
    at("certificate.chain_file", "/etc/ssl/chain.pem", "is not a known key", "certificate_file", REMOVE),
]


@pytest.mark.parametrize("mistake", [*PORTS, *PEOPLE, *CERTIFICATES], ids=lambda mistake: mistake.what)
def test_a_mistake_about_submission_is_told_at_its_field_and_its_fix_can_be_followed(mistake: Mistake) -> None:
    told_and_mended(mistake)


@pytest.mark.parametrize(
    ("base", "changes", "ports"),
    [
        pytest.param(logins, {}, {587, 465}, id="both ports unless said otherwise"),
        pytest.param(logins, {f"{SUBMISSION}.starttls_port": None}, {465}, id="TLS from the start only"),
        pytest.param(logins, {f"{SUBMISSION}.tls_port": None}, {587}, id="STARTTLS only"),
        pytest.param(logins, {f"{SUBMISSION}.tls_port": 24, f"{SUBMISSION}.starttls_port": 26}, {24, 26}, id="near 25"),
        pytest.param(logins, {f"{SUBMISSION}.starttls_port": 25, "relay.listen_port": 26}, {25, 465}, id="25 is free"),
        pytest.param(with_postal, {f"{SUBMISSION}.starttls_port": 2526}, {2526, 465}, id="beside Postal"),
    ],
)
def test_what_is_just_inside_the_rules_of_submission_is_accepted(
    base: Any, changes: dict[str, Any], ports: set[int]
) -> None:
    submission = accepted(base, changes).relay.definition.submission
    assert submission is not None
    assert {*submission.starttls_ports, *submission.tls_ports} == ports


def test_without_a_certificate_of_its_own_submission_shows_that_of_caddy_for_the_relays_name() -> None:
    plan = accepted(with_postal, {})
    submission = plan.relay.definition.submission
    assert submission is not None
    assert submission.certificate_file.endswith("/relay.example.com/relay.example.com.crt")
    assert submission.key_file.endswith("/relay.example.com/relay.example.com.key")
    assert plan.caddy is not None
    assert plan.caddy.definition.certificate_names == ("relay.example.com",), "Caddy is told to get it"
    own = accepted(with_postal, {f"{SUBMISSION}.certificate": CERTIFICATE})
    assert own.caddy is not None
    assert own.caddy.definition.certificate_names == (), "and is not where another one is named"


def test_in_a_rehearsal_the_companys_certificate_holds_the_name_of_submission_too() -> None:
    pair = PrivateCa().issue("example.com", "*.example.com")
    custom = {"certificate": pair.certificate, "private_key": pair.key}
    caddy = {"host": "relay1", "certificates": "custom", "custom": custom}
    assert "relay.example.com" in caddy_names(accepted(with_postal, {"caddy": caddy}).caddy)


def test_names_that_only_begin_alike_are_different_users() -> None:
    users = [{"name": name, "password": "shop-password"} for name in ("shop", "shop2", "shop@example.com", "s")]
    submission = accepted(logins, {f"{SUBMISSION}.users": users}).relay.definition.submission
    assert submission is not None
    assert submission.users == ("shop", "shop2", "shop@example.com", "s")


def test_no_password_of_a_user_shows_in_a_message() -> None:
    for password in ("hunter2", "hunter2-hunter2\n", ["hunter2"]):
        found = problems(changed(logins(), {f"{SUBMISSION}.users.0.password": password}))
        assert [problem.field for problem in found if problem.field.startswith(f"{SUBMISSION}.users[0].password")]
        assert "hunter2" not in repr(found)
