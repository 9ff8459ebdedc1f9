"""What may be declared to exist inside Postal."""

import copy
from typing import Any

import pytest

from mailstack.postal.provisioning import credential_paths, domain_names, provision_problems, secret_problems
from tests.roles.postal_site import provision


def server(document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["organizations"]["acme"]["servers"]["mail"]
    return found


def changed(path: str, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(provision())
    place: Any = document
    *parents, last = path.split("|")
    for key in parents:
        place = place.setdefault(key, {})
    if value is None:
        place.pop(last, None)
    else:
        place[last] = value
    return document


MAIL = "organizations|acme|servers|mail|"
ROUTE = {"name": "info", "domain": "example.com", "mode": "Accept"}
HTTP = {"name": "hook", "url": "https://app.example.com/in"}


def test_a_small_document_and_an_empty_one_are_fine() -> None:
    assert provision_problems(provision()) == []
    assert provision_problems({}) == []


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("servers", {}, "postal.provision.servers: unknown"),
        ("organizations|acme|permalink", "mail", "keeps 'mail' for itself"),
        ("organizations|acme|permalink", "Acme Inc", "not in a form Postal accepts"),
        ("organizations|acme|permalink", None, "permalink: is missing"),
        ("organizations|acme|owner", "nobody", "'nobody' is no key of users"),
        ("organizations|acme|ip_pools", ["x"], "'x' is no key of ip_pools"),
        ("organizations|acme|domains|Example.COM", {"dkim_identifier_string": "a"}, "must be a domain name"),
        ("organizations|acme|domains|example.org", {}, "dkim_identifier_string: is missing"),
        (MAIL + "mode", "live", "none of Live, Development"),
        (MAIL + "permalink", "stats", "keeps 'stats' for itself"),
        (MAIL + "send_limit", 0, "not between"),
        (MAIL + "allow_sender", "yes", "wrong type"),
        (MAIL + "ip_pool", "main", "not among the organization's ip_pools"),
        (MAIL + "retention", 1, "retention: unknown"),
        (MAIL + "credentials|x", {"type": "SMTP-IP", "name": "x"}, "an address or network for SMTP-IP"),
        (MAIL + "credentials|x", {"type": "SMTP", "name": "x", "key": "k"}, "a secret for every other type"),
        (MAIL + "credentials|x", {"type": "SMTP", "name": "app"}, "is used by app as well"),
        (MAIL + "routes|r", {**ROUTE, "domain": "other.org"}, "no domain of this server"),
        (MAIL + "routes|r", {**ROUTE, "mode": "Endpoint"}, "needed for mode Endpoint"),
        (
            MAIL + "routes|r",
            {**ROUTE, "mode": "Endpoint", "endpoint": "http_endpoints/x"},
            "no endpoint of this server",
        ),
        (MAIL + "routes|r", {**ROUTE, "additional_endpoints": ["http_endpoints/x"]}, "only for mode Endpoint"),
        (MAIL + "routes|r", {"name": "__returnpath__", "mode": "Accept"}, "must point to an HTTP endpoint"),
        (MAIL + "smtp_endpoints|s", {"name": "s", "hostname": "mx.example.org", "ssl_mode": "STARTTLS"}, "none of"),
        (MAIL + "track_domains|t", {"name": "click", "domain": "other.org"}, "no domain of this server"),
        (MAIL + "webhooks|w", {"name": "w", "url": "https://a.example/x"}, "either all_events or a list"),
        (MAIL + "webhooks|w", {"name": "w", "url": "https://a.example/x", "events": ["Sent"]}, "'Sent' is none of"),
        ("users|admin|admin", False, "nobody is an admin"),
    ],
)
def test_what_postal_would_refuse_or_misread_is_named(path: str, value: Any, words: str) -> None:
    problems = provision_problems(changed(path, value))
    assert any(words in problem for problem in problems), problems


def test_one_route_belongs_to_one_server_of_the_whole_installation() -> None:
    document = changed(MAIL + "routes|r", ROUTE)
    servers = document["organizations"]["acme"]["servers"]
    servers["second"] = {**copy.deepcopy(servers["mail"]), "name": "Second", "permalink": "second"}
    assert any("is taken by" in problem for problem in provision_problems(document))


def test_a_full_document_is_fine() -> None:
    document = provision()
    document["ip_pools"] = {
        "main": {"name": "Main", "addresses": {"a": {"ipv4": "203.0.113.9", "hostname": "a.example"}}}
    }
    document["organizations"]["acme"]["ip_pools"] = ["main"]
    server(document).update(
        ip_pool="main",
        http_endpoints={"hook": HTTP},
        address_endpoints={"boss": {"address": "boss@example.net"}},
        routes={
            "info": {**ROUTE, "mode": "Endpoint", "endpoint": "http_endpoints/hook",
                     "additional_endpoints": ["address_endpoints/boss"]},
            "bounces": {"name": "__returnpath__", "mode": "Endpoint", "endpoint": "http_endpoints/hook"},
        },
        track_domains={"click": {"name": "click", "domain": "example.com"}},
        webhooks={"sent": {"name": "sent", "url": "https://app.example.com/x", "events": ["MessageSent"]}},
    )  # fmt: skip
    assert provision_problems(document) == []


def test_names_of_secrets_follow_from_the_document() -> None:
    assert credential_paths(provision()) == {"acme/mail/app": "SMTP", "acme/mail/app-api": "API"}
    assert domain_names(provision()) == {"example.com"}


def test_missing_short_and_equal_secrets_are_named_and_never_shown() -> None:
    secrets: dict[str, Any] = {
        "credentials": {"acme/mail/app": "short"},
        "dkim": {},
        "user_passwords": {"admin": "1234567"},
    }
    problems = " ".join(secret_problems(provision(), secrets))
    for words in ("app: the key must be", "app-api: has no key", "dkim example.com", "user_passwords admin"):
        assert words in problems
    assert "1234567" not in problems
    same = {"acme/mail/app": "A" * 24, "acme/mail/app-api": "a" * 24}
    secrets = {"credentials": same, "dkim": {"example.com": "x"}, "user_passwords": {"admin": "12345678"}}
    assert secret_problems(provision(), secrets) == [
        "credentials: two have the same key; Postal needs every key to be different"
    ]
