"""From settings to what each part of the stack is told: one preset, one host, one rule at a time."""

import copy
import re
from typing import Any

import pytest

from mailstack.plan import Plan, load_plan
from mailstack.relay_rule import translate
from mailstack.settings.names import under_any
from mailstack.upstreams import PRESETS
from tests.unit.plan_parts import dns_records, preflight_settings, probe_settings, relay_definition, relay_rule
from tests.unit.stack_examples import HOST_KEY, example

IPV4, IPV6 = "93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"
SASL = {"auth": "sasl", "username": "relay@example.com", "password": "app password"}
UPSTREAMS: dict[str, dict[str, Any]] = {
    "google-workspace": {},
    "sendgrid": {"preset": "sendgrid", "auth": "sasl", "username": "apikey", "password": "SG.abc"},
    "ses": {"preset": "ses", "region": "eu-west-1", "auth": "sasl", "username": "A" * 20, "password": "B" * 44},
    "mailgun": {"preset": "mailgun", "region": "eu", **SASL},
    "custom": {"preset": "custom", "host": "smtp.example.net"},
}


def settings_with(upstream: dict[str, Any] | None = None, **relay: Any) -> Plan:
    """Return the example's settings with another upstream, and other keys of the relay."""
    raw = example()
    raw["relay"]["upstream"] = upstream or {}
    raw["relay"] |= relay
    if raw["relay"]["upstream"].get("preset", "google-workspace") != "google-workspace":
        del raw["relay_rule"]  # a rule of Google's
    return load_plan(raw)


def spf_of(settings: Plan, name: str = "example.org") -> list[str]:
    values = [getattr(record.data, "value", "") for record in dns_records(settings) if record.name == name]
    return [value for value in values if value.startswith("v=spf1")]


def test_every_preset_is_tested_here() -> None:
    assert set(PRESETS) == set(UPSTREAMS)


@pytest.mark.parametrize(
    ("preset", "host", "spf", "size", "recipients"),
    [
        ("google-workspace", "smtp-relay.gmail.com", "v=spf1 include:_spf.google.com ~all", 25_000_000, 100),
        ("sendgrid", "smtp.sendgrid.net", "v=spf1 include:sendgrid.net ~all", 30_000_000, 1000),
        ("ses", "email-smtp.eu-west-1.amazonaws.com", "v=spf1 include:amazonses.com ~all", 40_000_000, 50),
        ("mailgun", "smtp.eu.mailgun.org", "v=spf1 include:mailgun.org ~all", 25_000_000, 1000),
        ("custom", "smtp.example.net", f"v=spf1 ip4:{IPV4} ip6:{IPV6} ~all", 10_000_000, 50),
    ],
)
def test_a_preset_names_host_limits_and_spf(preset: str, host: str, spf: str, size: int, recipients: int) -> None:
    settings = settings_with(UPSTREAMS[preset])
    definition = relay_definition(settings)
    assert definition.upstream_host == host
    assert definition.message_size_limit_bytes == size
    assert definition.recipient_limit == recipients
    assert definition.concurrency == PRESETS[preset].concurrency
    assert definition.temporary_reply_patterns == PRESETS[preset].temporary_replies
    assert spf_of(settings) == [spf]


@pytest.mark.parametrize("preset", [name for name in UPSTREAMS if name != "custom"])
def test_submission_ports_are_offered_and_only_465_and_2465_start_with_tls(preset: str) -> None:
    assert PRESETS[preset].ports >= {25, 465, 587}
    for port in sorted(PRESETS[preset].ports):
        definition = relay_definition(settings_with({**UPSTREAMS[preset], "port": port}))
        assert (definition.upstream_port, definition.implicit_tls) == (port, port in {465, 2465})


def test_the_port_is_587_unless_said_otherwise() -> None:
    definition = relay_definition(settings_with())
    assert (definition.upstream_port, definition.implicit_tls, definition.tls_level) == (587, False, "secure")


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "us-gov-west-1"])
def test_a_region_of_ses_is_part_of_the_host_name(region: str) -> None:
    definition = relay_definition(settings_with({**UPSTREAMS["ses"], "region": region}))
    assert definition.upstream_host == f"email-smtp.{region}.amazonaws.com"


@pytest.mark.parametrize(("region", "host"), [("us", "smtp.mailgun.org"), ("eu", "smtp.eu.mailgun.org")])
def test_a_region_of_mailgun_chooses_the_host(region: str, host: str) -> None:
    assert relay_definition(settings_with({**UPSTREAMS["mailgun"], "region": region})).upstream_host == host


def test_a_custom_upstream_with_an_spf_include_needs_no_addresses_of_ours() -> None:
    settings = settings_with({**UPSTREAMS["custom"], "spf_include": "spf.example.net"})
    assert spf_of(settings) == ["v=spf1 include:spf.example.net ~all"]


@pytest.mark.parametrize("preset", PRESETS)
def test_an_spf_include_leaves_room_for_other_senders(preset: str) -> None:
    source = PRESETS[preset].spf
    assert source is None or 1 <= source.lookups <= 5


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_says_what_it_is_and_where_it_comes_from(preset: str) -> None:
    assert PRESETS[preset].title
    assert bool(PRESETS[preset].sources) == (preset != "custom")


@pytest.mark.parametrize(
    ("preset", "reply"),
    [
        ("google-workspace", "550 5.7.1 Daily SMTP relay limit exceeded for customer. For more information on"),
        ("google-workspace", "550 5.4.5 Daily SMTP relay limit exceeded for user. For more information on"),
        ("google-workspace", "550 5.4.5 Daily user sending quota exceeded. a1-20020a05600c2141.1 - gsmtp"),
        ("google-workspace", "550 5.4.5 Daily user sending limit exceeded. For more information, visit"),
        ("sendgrid", "550 5.7.0 Maximum credits exceeded"),
        ("ses", "554 Throttling failure: Daily message quota exceeded."),
        ("ses", "554 Throttling failure: Maximum sending rate exceeded."),
    ],
)
def test_a_quota_reply_is_temporary(preset: str, reply: str) -> None:
    assert any(re.search(pattern, reply) for pattern in PRESETS[preset].temporary_replies)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    "reply",
    [
        "550 5.1.1 The email account that you tried to reach does not exist.",
        "550 5.7.1 Invalid credentials for relay [192.0.2.1].",
        "552 5.3.4 Your message exceeded Google's message size limits.",
        "554 Message rejected: Email address is not verified.",
        "550 5.7.1 Recipients limit exceeded for this message",
    ],
)
def test_every_other_refusal_stays_permanent(preset: str, reply: str) -> None:
    assert not any(re.search(pattern, reply) for pattern in PRESETS[preset].temporary_replies)


@pytest.mark.parametrize(
    ("reply", "name"),
    [
        ("550 5.7.1 Daily SMTP relay limit exceeded for customer.", "daily-limit-customer"),
        ("550 5.4.5 Daily SMTP relay limit exceeded for user.", "daily-limit-user"),
        ("550 5.4.5 Daily user sending quota exceeded.", "daily-limit-user"),
    ],
)
def test_what_the_relay_tries_again_the_probe_explains_as_a_daily_limit(reply: str, name: str) -> None:
    assert any(re.search(pattern, reply) for pattern in PRESETS["google-workspace"].temporary_replies)
    explanation = translate(reply)
    assert explanation is not None
    assert explanation.name == name


@pytest.mark.parametrize(
    ("addresses", "setting", "protocol"),
    [
        ({"public_ipv4": IPV4}, "auto", "ipv4"),
        ({"public_ipv6": IPV6}, "auto", "ipv6"),
        ({"public_ipv4": IPV4, "public_ipv6": IPV6}, "auto", "all"),
        ({"public_ipv4": IPV4, "public_ipv6": IPV6}, "all", "all"),
        ({"public_ipv4": IPV4, "public_ipv6": IPV6}, "ipv4", "ipv4"),
        ({"public_ipv4": IPV4, "public_ipv6": IPV6}, "ipv6", "ipv6"),
    ],
)
def test_mail_leaves_only_from_addresses_that_are_allow_listed(
    addresses: dict[str, str], setting: str, protocol: str
) -> None:
    raw = example()
    for key in ("public_ipv4", "public_ipv6"):
        del raw["hosts"]["relay1"][key]
    raw["hosts"]["relay1"] |= addresses
    raw["relay"]["ip_protocol"] = setting
    settings = load_plan(raw)
    assert relay_definition(settings).ip_protocol == protocol
    assert probe_settings(settings)["ip_protocol"] == protocol
    allowed = {"ipv4": (f"{IPV4}/32",), "ipv6": (f"{IPV6}/128",), "all": (f"{IPV4}/32", f"{IPV6}/128")}
    assert relay_rule(settings).ip_ranges == allowed[protocol]
    published = {record.type for record in dns_records(settings) if record.name == "relay.example.com"}
    assert published - {"TXT"} == {"ipv4": {"A"}, "ipv6": {"AAAA"}, "all": {"A", "AAAA"}}[protocol]


def test_without_a_login_the_relay_has_no_user_name() -> None:
    assert relay_definition(settings_with()).sasl_username is None
    assert relay_definition(settings_with(SASL)).sasl_username == "relay@example.com"


def test_senders_are_all_domains_unless_some_are_listed() -> None:
    assert relay_definition(settings_with()).sender_domains == ("example.com", "example.org")
    assert relay_definition(settings_with(sender_domains=["example.org"])).sender_domains == ("example.org",)


def test_settings_of_the_relay_go_before_the_preset() -> None:
    definition = relay_definition(
        settings_with(
            message_size_mb=10,
            concurrency=7,
            queue_lifetime_hours=12,
            postmaster="postmaster@example.com",
            masquerade_domains=["example.com"],
            extra_parameters={"mail_name": "Postfix"},
        )
    )
    assert definition.message_size_limit_bytes == 10_000_000
    assert definition.concurrency == 7
    assert (definition.queue_lifetime_hours, definition.bounce_lifetime_hours) == (12, 12)
    assert definition.postmaster == "postmaster@example.com"
    assert definition.masquerade_domains == ("example.com",)
    assert definition.extra_parameters == {"mail_name": "Postfix"}


def test_bounces_are_tried_for_a_day() -> None:
    assert relay_definition(settings_with(queue_lifetime_hours=96)).bounce_lifetime_hours == 24


def test_the_relay_listens_on_loopback_unless_networks_are_named() -> None:
    definition = relay_definition(settings_with())
    assert (definition.listen_addresses, definition.client_networks) == (("127.0.0.1",), ())
    definition = relay_definition(settings_with(listen_addresses=["10.0.0.5"], client_networks=["10.0.0.0/24"]))
    assert (definition.listen_addresses, definition.client_networks) == (("10.0.0.5",), ("10.0.0.0/24",))


def test_the_rule_covers_all_domains_and_the_listed_ranges() -> None:
    assert relay_rule(load_plan(example())).domains == ("example.com", "example.org")
    raw = example()
    raw["relay_rule"] |= {"ip_ranges": [f"{IPV4}/32", f"{IPV6}/128", "93.184.216.40/32"], "domains": ["example.com"]}
    rule = relay_rule(load_plan(raw))
    assert rule.ip_ranges == (f"{IPV4}/32", f"{IPV6}/128", "93.184.216.40/32")
    assert rule.domains == ("example.com",)
    assert (rule.allowed_senders, rule.require_smtp_auth, rule.require_tls) == ("domain-addresses", False, True)


def test_the_probe_asks_as_the_relay_would() -> None:
    raw = example()
    raw["relay"]["upstream"] |= {"port": 465, "ca_file": "/etc/ssl/own.pem"}
    raw["relay_rule"]["probe"] = {"wait_minutes": 30, "interval_seconds": 60, "on_failure": "fail"}
    asked = probe_settings(load_plan(raw))
    replies = asked["replies"]
    assert asked["rule"].startswith("# Google Workspace"), "a changed rule is probed again"
    assert {name: value for name, value in asked.items() if name not in {"replies", "rule"}} == {
        "host": "smtp-relay.gmail.com",
        "port": 465,
        "implicit_tls": True,
        "helo": "relay.example.com",
        "ca_file": "/etc/ssl/own.pem",
        "sender": "postmaster@example.com",
        "recipient": "postmaster@example.com",
        "ip_protocol": "all",
        "source_address": None,
        "deadline_seconds": 1800,
        "interval_seconds": 60,
        "connect_timeout": 20,
        "on_failure": "fail",
    }
    assert {"daily-limit-customer", "daily-limit-user"} <= {reply["name"] for reply in replies}


def test_the_probe_takes_its_own_sender_and_recipient() -> None:
    raw = example()
    raw["relay_rule"]["probe"] = {"sender": "test@example.org", "recipient": "box@example.com"}
    asked = probe_settings(load_plan(raw))
    assert (asked["sender"], asked["recipient"]) == ("test@example.org", "box@example.com")
    del raw["relay_rule"]["probe"]["recipient"]
    assert probe_settings(load_plan(raw))["recipient"] == "test@example.org"


def test_without_a_rule_there_is_nothing_to_render_or_probe() -> None:
    raw = example()
    del raw["relay_rule"]
    settings = load_plan(raw)
    assert settings.relay_rule is None


def three_hosts() -> Plan:
    """Return a stack whose DNS server is on a host of its own, with a third host that nothing runs on."""
    server = {
        "host": "ns1",
        "nameservers": ["ns1.example.com"],
        "hostmaster": "hostmaster@example.com",
        "listen_addresses": ["93.184.216.53", "::1"],
    }
    raw = example(dns={"provider": "server", "server": server})
    machine = {"address": "ns1.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.53"}
    raw["hosts"]["ns1"] = {**machine, "minimum_memory_mb": 800, "minimum_disk_gb": 7}
    raw["hosts"]["spare"] = {"address": "spare.example.com", "host_key": HOST_KEY}
    raw["relay"] |= {"listen_addresses": ["127.0.0.1", "10.0.0.5"], "client_networks": ["10.0.0.0/24"]}
    raw["relay"]["listen_port"] = 2525
    return load_plan(raw)


def test_preflight_asks_a_host_for_what_will_run_there() -> None:
    settings = three_hosts()
    relay, server, spare = (preflight_settings(settings, name) for name in ("relay1", "ns1", "spare"))
    assert relay["outbound"] == [{"host": "smtp-relay.gmail.com", "port": 587}]
    assert relay["ports"] == [
        {"address": "127.0.0.1", "port": 2525, "holder": "postfix"},
        {"address": "10.0.0.5", "port": 2525, "holder": "postfix"},
    ]
    assert server["outbound"] == []
    assert [(port["address"], port["port"]) for port in server["ports"]] == [("93.184.216.53", 53), ("::1", 53)]
    assert (spare["outbound"], spare["ports"]) == ([], [])


def test_preflight_asks_for_the_memory_and_disk_of_the_settings() -> None:
    settings = three_hosts()
    asked = preflight_settings(settings, "ns1")
    assert (asked["minimum_memory_mb"], asked["minimum_disk_gb"]) == (800, 7)
    asked = preflight_settings(settings, "spare")
    assert (asked["minimum_memory_mb"], asked["minimum_disk_gb"]) == (400, 2)


def test_a_strict_stack_has_no_weakness_to_report() -> None:
    assert list(load_plan(example()).warnings) == []


@pytest.mark.parametrize("level", ["verify", "encrypt", "may"])
def test_weaker_tls_to_the_upstream_is_reported(level: str) -> None:
    [sentence] = list(settings_with({"tls": level}).warnings)
    assert sentence.startswith(f"relay.upstream.tls is {level}")


def test_a_rule_for_any_address_is_reported() -> None:
    raw = example()
    raw["relay_rule"] |= {"allowed_senders": "any-address", "accept_any_address": True}
    [sentence] = list(load_plan(raw).warnings)
    assert sentence.startswith("relay_rule.allowed_senders is any-address")


def test_a_host_without_a_pinned_key_is_reported_with_its_address() -> None:
    raw = example(environment="staging")
    del raw["hosts"]["relay1"]["host_key"]
    [sentence] = list(load_plan(raw).warnings)
    assert sentence.startswith("hosts.relay1.host_key is not set")
    assert "relay.example.com" in sentence


def test_all_weaknesses_are_reported_together() -> None:
    raw = example(environment="staging")
    del raw["hosts"]["relay1"]["host_key"]
    raw["relay"]["upstream"]["tls"] = "encrypt"
    assert len(list(load_plan(raw).warnings)) == 2


@pytest.mark.parametrize(
    ("name", "parents", "inside"),
    [
        ("example.com", ["example.com"], True),
        ("relay.example.com", ["example.org", "example.com"], True),
        ("badexample.com", ["example.com"], False),
        ("com", ["example.com"], False),
        ("example.com", [], False),
    ],
)
def test_a_name_is_inside_its_domain_only(name: str, parents: list[str], inside: bool) -> None:
    assert under_any(name, parents) is inside


def test_the_same_settings_give_the_same_answers() -> None:
    first, second = load_plan(example()), load_plan(copy.deepcopy(example()))
    assert relay_definition(first) == relay_definition(second)
    assert preflight_settings(first, "relay1") == preflight_settings(second, "relay1")
    assert probe_settings(first) == probe_settings(second)
