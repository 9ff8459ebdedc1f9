"""The relay's definition: what it refuses, and the Postfix settings that follow from it."""

import re
from dataclasses import replace
from typing import Any

import pytest

from mailstack.postfix.relay import (
    PROTECTED_PARAMETERS,
    QUOTA_MARK,
    REASONS,
    RelayDefinition,
    RelayDefinitionError,
    RelayUpstream,
    Submission,
    main_cf,
    maps,
    master_cf,
    role_settings,
)
from mailstack.upstreams import PRESETS

MAILGUN = RelayUpstream(
    name="mailgun-eu",
    host="smtp.eu.mailgun.org",
    sasl_username="postmaster@mg.example.org",
    sender_domains=("example.org",),
    concurrency=30,
)
SUBMISSION_EXAMPLE: dict[str, Any] = {
    "listen_addresses": ("192.0.2.1",),
    "certificate_file": "/etc/ssl/mail.pem",
    "key_file": "/etc/ssl/mail.key",
    "users": ("printer",),
}
SENDGRID = RelayUpstream(name="sendgrid", host="smtp.sendgrid.net", sasl_username="apikey")


def define(**changes: Any) -> Any:
    values = {
        "hostname": "relay.example.com",
        "sender_domains": ("example.com", "example.org"),
        "upstream_host": "smtp-relay.gmail.com",
    }
    return RelayDefinition(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hostname": "relay"}, "hostname 'relay'"),
        ({"hostname": "-x.example.com"}, "hostname"),
        ({"hostname": "relay.example.com$x"}, "hostname"),
        ({"upstream_host": "[smtp.example.com]"}, "upstream_host"),
        ({"upstream_host": "a b"}, "upstream_host"),
        ({"sender_domains": ()}, "sender_domains"),
        ({"sender_domains": ("example.com OK",)}, "sender_domains"),
        ({"sender_domains": (".example.com",)}, "sender_domains"),
        ({"sender_domains": ("*",)}, "sender_domains"),
        ({"masquerade_domains": ("example.net",)}, "must be one of sender_domains"),
        ({"listen_addresses": ()}, "listen_addresses"),
        ({"listen_addresses": ("localhost",)}, "listen_addresses"),
        ({"listen_addresses": ("fe80::1%eth0",)}, "listen_addresses"),
        ({"listen_port": 0}, "listen_port"),
        ({"upstream_port": 65536}, "upstream_port"),
        ({"client_networks": ("0.0.0.0/0",)}, "open relay"),
        ({"client_networks": ("128.0.0.0/1",)}, "open relay"),
        ({"client_networks": ("::/0",)}, "open relay"),
        ({"client_networks": ("10.0.0.1/8",)}, "host bits"),
        ({"client_networks": ("anyone",)}, "client_networks"),
        ({"bind_address": "::1"}, "ip_protocol"),
        ({"bind_address": "eth0"}, "bind_address"),
        ({"message_size_limit_bytes": 0}, "message_size_limit_bytes"),
        ({"recipient_limit": 0}, "recipient_limit"),
        ({"concurrency": 0}, "concurrency"),
        ({"bounce_lifetime_hours": 49}, "bounce_lifetime_hours"),
        ({"ca_file": "relative.pem"}, "ca_file"),
        ({"ca_file": "/a$b"}, "ca_file"),
        ({"implicit_tls": True, "tls_level": "may"}, "tls_level"),
        ({"sasl_username": "a:b"}, "sasl_username"),
        ({"sasl_username": "a b"}, "sasl_username"),
        ({"postmaster": "nobody"}, "postmaster"),
        ({"temporary_reply_patterns": (r"\d+",)}, "POSIX"),
        ({"temporary_reply_patterns": (r"(?:a)",)}, "POSIX"),
        ({"temporary_reply_patterns": ("(",)}, "temporary_reply_patterns"),
        ({"temporary_reply_patterns": ("a\nb",)}, "temporary_reply_patterns"),
        ({"extra_parameters": {"mynetworks": "0.0.0.0/0"}}, "client_networks"),
        ({"extra_parameters": {"smtp_tls_security_level": "may"}}, "upstream.tls"),
        ({"extra_parameters": {"a b": "1"}}, "extra_parameters"),
        ({"extra_parameters": {"smtp_helo_timeout": "1\nmynetworks=0.0.0.0/0"}}, "extra_parameters"),
    ],
)
def test_a_definition_that_would_not_do_what_it_says_is_refused(changes: Any, message: Any) -> None:
    with pytest.raises(RelayDefinitionError, match=re.escape(message)):
        define(**changes)


def test_tls_to_the_upstream_is_verified_unless_weaker_is_asked_for() -> None:
    parameters = main_cf(define())
    assert parameters["smtp_tls_security_level"] == "secure"
    assert parameters["smtp_tls_secure_cert_match"] == "nexthop"
    assert role_settings(define())["weaker_tls"] is None
    assert role_settings(define(tls_level="encrypt"))["weaker_tls"] == "encrypt"


def test_without_credentials_sasl_is_off_and_has_no_map() -> None:
    parameters = main_cf(define())
    assert parameters["smtp_sasl_auth_enable"] is False
    assert not [name for name in parameters if name.startswith("smtp_sasl") and name != "smtp_sasl_auth_enable"]
    assert role_settings(define())["sasl"] is None


def test_the_password_is_looked_up_by_the_next_hop_and_never_sent_in_clear() -> None:
    definition = define(sasl_username="relay@example.com")
    parameters = main_cf(definition)
    assert role_settings(definition)["sasl"]["next_hop"] == parameters["relayhost"] == "[smtp-relay.gmail.com]:587"
    assert parameters["smtp_sasl_security_options"] == ("noplaintext", "noanonymous")
    assert parameters["smtp_sasl_tls_security_options"] == ("noanonymous",)


def test_implicit_tls_is_for_its_port() -> None:
    assert main_cf(define(upstream_port=465, implicit_tls=True))["smtp_tls_wrappermode"] is True
    assert main_cf(define())["smtp_tls_wrappermode"] is False


def test_a_single_listen_address_does_not_become_the_source_address() -> None:
    assert main_cf(define(listen_addresses=("10.0.0.5",)))["inet_interfaces"] == ("127.0.0.1", "10.0.0.5")


def test_listening_on_ipv6_does_not_unpin_sending() -> None:
    definition = define(listen_addresses=("127.0.0.1", "::1"), ip_protocol="ipv4")
    assert main_cf(definition)["inet_protocols"] == "all"
    assert main_cf(definition)["mynetworks"] == ("127.0.0.0/8", "[::1]/128")
    smtp = next(service for service in master_cf(definition) if service.name == "smtp")
    assert smtp.options == {"inet_protocols": "ipv4", "inet_interfaces": ("127.0.0.1",)}
    assert next(service for service in master_cf(define()) if service.name == "smtp").options == {}


def test_a_bind_address_is_enforced() -> None:
    parameters = main_cf(define(bind_address="203.0.113.7"))
    assert parameters["smtp_bind_address"] == "203.0.113.7"
    assert parameters["smtp_bind_address_enforce"] is True
    assert main_cf(define(bind_address="2001:db8::7", ip_protocol="ipv6"))["smtp_bind_address6"] == "2001:db8::7"


def test_senders_are_exactly_the_domains_and_the_null_sender() -> None:
    assert maps(define())["senders"]["entries"] == {"example.com": "OK", "example.org": "OK", "<>": "OK"}


def test_hosts_below_a_masqueraded_domain_may_send() -> None:
    definition = define(masquerade_domains=("example.com",))
    assert maps(definition)["senders"]["entries"][".example.com"] == "OK"
    assert main_cf(definition)["local_header_rewrite_clients"] == ("permit_mynetworks",)


@pytest.mark.parametrize(
    ("sender", "becomes"),
    [
        ("root@relay.example.com", "root@example.com"),
        ("a@example.com", "a@example.com"),
        ("a@EXAMPLE.ORG", "a@EXAMPLE.ORG"),
        ("a@notexample.com", "a@example.com"),
        ("a@example.com.evil.test", "a@example.com"),
        ("a@exampleXcom", "a@example.com"),
        ('"x@example.com"@evil.test', '"x@example.com"@example.com'),
    ],
)
def test_a_local_sender_becomes_one_that_may_send(sender: Any, becomes: Any) -> None:
    for pattern, result in maps(define())["local_senders"]["rules"]:
        match = re.search(pattern, sender, re.IGNORECASE)
        if match:
            assert result.replace("${1}", match.group(1)) == becomes
            return
    pytest.fail("no rule matched")


GOOGLE_REPLIES = [
    (
        "5.7.1 host smtp-relay.gmail.com[142.250.1.28]:587 said: 550-5.7.1 Daily SMTP relay limit exceeded for "
        "customer. For more 550-5.7.1 information on relaying limits please contact your administrator "
        "(in reply to end of DATA command)"
    ),
    (
        "5.4.5 host smtp-relay.gmail.com[142.250.1.28]:587 said: 550 5.4.5 Daily SMTP relay limit exceeded for user. "
        "(in reply to MAIL FROM command)"
    ),
]


@pytest.mark.parametrize("text", GOOGLE_REPLIES)
def test_a_daily_quota_becomes_temporary_and_countable(text: Any) -> None:
    definition = define(temporary_reply_patterns=PRESETS["google-workspace"].temporary_replies)
    for pattern, result in maps(definition)["temporary_replies"]["rules"]:
        match = re.search(pattern, text, re.IGNORECASE)
        if match:
            assert result.replace("${1}", match.group(1)) == f"4{text[1:]} {QUOTA_MARK}"
            return
    pytest.fail("no rule matched")


@pytest.mark.parametrize(
    "text", ["5.1.1 no such user", "5.7.1 Mail relay denied", "4.2.1 Daily SMTP relay limit exceeded for user"]
)
def test_every_other_reply_stays_as_it_is(text: Any) -> None:
    definition = define(temporary_reply_patterns=PRESETS["google-workspace"].temporary_replies)
    for pattern, _ in maps(definition)["temporary_replies"]["rules"]:
        assert not re.search(pattern, text, re.IGNORECASE)


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_gives_a_usable_definition(preset: Any) -> None:
    upstream = PRESETS[preset]
    definition = define(
        temporary_reply_patterns=upstream.temporary_replies,
        message_size_limit_bytes=upstream.message_size_bytes,
        recipient_limit=upstream.recipients_per_transaction,
        concurrency=upstream.concurrency,
    )
    assert main_cf(definition)["message_size_limit"] == upstream.message_size_bytes


def test_extra_parameters_come_last_and_win() -> None:
    parameters = main_cf(define(extra_parameters={"minimal_backoff_time": "5s", "soft_bounce": True}))
    assert parameters["minimal_backoff_time"] == "5s"
    assert parameters["soft_bounce"] is True


def test_every_reason_belongs_to_a_parameter_the_relay_can_have() -> None:
    full = define(
        masquerade_domains=("example.com",),
        temporary_reply_patterns=("x",),
        bounce_domains=("rp.example.com",),
        bounce_host="127.0.0.2",
        upstreams=(MAILGUN,),
        fallback=SENDGRID,
        smtputf8=False,
        proof_sender="postmaster@example.com",
    )
    known = set(main_cf(full)) | {name for service in master_cf(full) for name in service.options}
    assert set(REASONS) <= known


def test_every_protected_parameter_says_what_to_use() -> None:
    assert all(len(text) > 10 for text in PROTECTED_PARAMETERS.values())


def test_reuse_of_connections_is_on_together_with_what_it_needs() -> None:
    services = {service.name: service.command for service in master_cf(define())}
    assert main_cf(define())["smtp_tls_connection_reuse"] is True
    assert services["tlsproxy"] == "tlsproxy"
    assert services["scache"] == "scache"


# -- several upstreams ------------------------------------------------------------------------------------------------


def service(definition: Any, name: str) -> Any:
    return next(entry for entry in master_cf(definition) if entry.name == name)


def test_a_domain_with_an_upstream_of_its_own_goes_there_by_a_service_with_its_own_tls_and_login() -> None:
    definition = define(upstreams=(MAILGUN,))
    assert maps(definition)["upstreams"]["entries"] == {"@example.org": "upstream_mailgun_eu:[smtp.eu.mailgun.org]:587"}
    parameters = main_cf(definition)
    table = "$default_database_type:$config_directory/mailstack/upstreams"
    assert parameters["sender_dependent_default_transport_maps"] == table
    assert parameters["upstream_mailgun_eu_destination_concurrency_limit"] == 30
    assert parameters["smtp_sasl_auth_enable"] is False, "the first upstream knows us by address"
    options = service(definition, "upstream_mailgun_eu").options
    assert options["smtp_tls_security_level"] == "secure"
    assert options["smtp_sasl_auth_enable"] is True
    assert options["smtp_sasl_password_maps"].endswith("/mailstack/sasl_passwd_mailgun-eu")
    assert "noplaintext" in options["smtp_sasl_security_options"], "no password without TLS"
    assert "smtp_sender_dependent_authentication" not in parameters, "it would switch connection caching off"
    told = role_settings(definition)["more_logins"]
    assert told == [
        {
            "map": "sasl_passwd_mailgun-eu",
            "next_hop": "[smtp.eu.mailgun.org]:587",
            "username": "postmaster@mg.example.org",
            "password_of": "mailgun-eu",
        }
    ]


def test_two_accounts_at_one_host_never_share_a_login() -> None:
    other = replace(MAILGUN, name="second", sasl_username="b@example.com", sender_domains=("example.com",))
    told = role_settings(define(upstreams=(MAILGUN, other)))["more_logins"]
    assert {entry["map"]: entry["username"] for entry in told} == {
        "sasl_passwd_mailgun-eu": "postmaster@mg.example.org",
        "sasl_passwd_second": "b@example.com",
    }


def test_a_fallback_serves_every_upstream_with_its_own_login_but_not_postals_bounces() -> None:
    definition = define(
        upstreams=(MAILGUN,), fallback=SENDGRID, bounce_domains=("rp.example.com",), bounce_host="127.0.0.2"
    )
    assert main_cf(definition)["smtp_fallback_relay"] == ("[smtp.sendgrid.net]:587",)
    assert main_cf(definition)["smtp_sasl_auth_enable"] is True
    told = role_settings(definition)["more_logins"]
    assert sorted((entry["map"], entry["next_hop"]) for entry in told) == [
        ("sasl_passwd", "[smtp.sendgrid.net]:587"),
        ("sasl_passwd_mailgun-eu", "[smtp.eu.mailgun.org]:587"),
        ("sasl_passwd_mailgun-eu", "[smtp.sendgrid.net]:587"),
    ]
    assert service(definition, "postal").options["smtp_fallback_relay"] == ""


def test_a_fallback_that_is_an_upstream_itself_does_not_fall_back_to_itself() -> None:
    definition = define(upstreams=(MAILGUN,), fallback=MAILGUN)
    assert service(definition, "upstream_mailgun_eu").options["smtp_fallback_relay"] == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fallback": replace(SENDGRID, implicit_tls=True, port=465)}, "another way than the upstream"),
        ({"fallback": replace(SENDGRID, tls_level="encrypt")}, "tls and ca_file"),
        ({"upstreams": (replace(MAILGUN, sender_domains=("example.net",)),)}, "one of sender_domains"),
        ({"upstreams": (replace(MAILGUN, host="a b"),)}, "host name"),
        ({"upstreams": (MAILGUN, replace(MAILGUN, name="other"))}, "goes to 'mailgun-eu' already"),
        ({"submission": SUBMISSION_EXAMPLE | {"users": ()}}, "needs a user"),
        ({"submission": SUBMISSION_EXAMPLE | {"users": ("a:b",)}}, "submission user"),
        ({"submission": SUBMISSION_EXAMPLE | {"tls_ports": (25,)}}, "port of its own|port number of its own"),
        ({"submission": SUBMISSION_EXAMPLE | {"key_file": "relative"}}, "absolute path"),
    ],
)
def test_what_upstreams_and_submission_cannot_be_is_refused(changes: dict[str, Any], message: str) -> None:
    if "submission" in changes:
        changes = {"submission": Submission(**changes["submission"])}
    with pytest.raises(RelayDefinitionError, match=message):
        define(**changes)


def test_smtputf8_is_offered_only_when_the_upstream_takes_it() -> None:
    assert "smtputf8_enable" not in main_cf(define())
    refusing = main_cf(define(smtputf8=False))
    assert refusing["smtputf8_enable"] is False
    assert refusing["smtpd_recipient_restrictions"] == (
        "check_recipient_access regexp:$config_directory/mailstack/non_ascii",
    )
    [[pattern, reply]] = maps(define(smtputf8=False))["non_ascii"]["rules"]
    assert re.search(pattern, "müller@example.com")
    assert not re.search(pattern, "mueller+a@example.com")
    assert reply.startswith("553 5.6.7 "), "the client learns at once"


def test_envelopes_without_brackets_are_accepted_unless_strict() -> None:
    assert main_cf(define())["strict_rfc821_envelopes"] is False
    assert main_cf(define(strict_envelopes=True))["strict_rfc821_envelopes"] is True


def test_submission_never_offers_a_login_without_tls() -> None:
    definition = define(submission=Submission(**SUBMISSION_EXAMPLE))
    assert main_cf(definition).get("smtpd_sasl_auth_enable") is None, "off on the relay's own port"
    for name, wrapped in (("192.0.2.1:587", None), ("192.0.2.1:465", True)):
        options = service(definition, name).options
        assert options["smtpd_tls_security_level"] == "encrypt"
        assert options["smtpd_tls_auth_only"] is True
        assert options.get("smtpd_tls_wrappermode") is wrapped
        assert options["smtpd_relay_restrictions"][-1] == "reject"
        assert "smtpd_sender_restrictions" not in options, "the list of allowed senders counts here too"
    assert not [entry for entry in master_cf(define()) if ":587" in entry.name], "off by default"
