"""Every mistake is told with its field, the rule and a fix. One line of the table is one promise."""

from typing import Any

import pytest

from mailstack.plan import load_plan
from mailstack.settings.problems import SettingsError
from tests.unit.stack_examples import HOST_KEY, REMOVE, dkim_key, example, ssh_key, with_value

SASL = {"auth": "sasl", "username": "relay@example.com", "password": "app password"}
SENDGRID = {"preset": "sendgrid", "auth": "sasl", "username": "apikey", "password": "SG.abc"}
SES = {"preset": "ses", "region": "eu-west-1", "auth": "sasl", "username": "A" * 20, "password": "B" * 44}
MAILGUN = {"preset": "mailgun", "region": "eu", "auth": "sasl", "username": "relay@example.com", "password": "pw"}
CUSTOM = {"preset": "custom", "host": "smtp.example.net", "port": 2525}
DNS_SERVER: dict[str, Any] = {
    "provider": "server",
    "server": {"host": "relay1", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"},
}

# (path, value, field in the message, part of the rule, part of the fix)
BAD: list[tuple[str, Any, str, str, str]] = [
    ("environment", REMOVE, "environment", "is required", "add it"),
    ("environment", "production", "environment", "must be one of 'local', 'staging', 'prod'", "write one of these"),
    ("enviroment", "prod", "enviroment", "is not a known key", "did you mean environment"),
    ("hosts", REMOVE, "hosts", "is required", "add it"),
    ("hosts", {}, "hosts", "at least one entry", "add an entry"),
    ("hosts", ["relay1"], "hosts", "must be a mapping", "key: value"),
    ("hosts.Relay_1", {"address": "a.example.com"}, "hosts.Relay_1", "must be a short name", "rename it"),
    ("hosts.relay1.address", REMOVE, "hosts.relay1.address", "is required", "Name or address"),
    ("hosts.relay1.address", "https://relay.example.com", "hosts.relay1.address", "domain name", "no scheme"),
    ("hosts.relay1.address", "relay.example.com:22", "hosts.relay1.address", "domain name", "no port"),
    ("hosts.relay1.address", "relay", "hosts.relay1.address", "domain name", "whole name"),
    ("hosts.relay1.address", "relay..example.com", "hosts.relay1.address", "domain name", "letters, digits"),
    ("hosts.relay1.address", "-relay.example.com", "hosts.relay1.address", "domain name", "inner hyphens"),
    ("hosts.relay1.address", f"{'a' * 64}.example.com", "hosts.relay1.address", "domain name", "at most 63"),
    ("hosts.relay1.address", "192.0.2.300", "hosts.relay1.address", "domain name", "looks like an IP"),
    ("hosts.relay1.adress", "relay.example.com", "hosts.relay1.adress", "not a known key", "did you mean address"),
    ("hosts.relay1.port", 0, "hosts.relay1.port", "must be 1 or more", "larger"),
    ("hosts.relay1.port", 65536, "hosts.relay1.port", "must be 65535 or less", "smaller"),
    ("hosts.relay1.port", "ssh", "hosts.relay1.port", "whole number", "digits"),
    ("hosts.relay1.user", "Root User", "hosts.relay1.user", "Unix user name", "login name"),
    ("hosts.relay1.host_key", REMOVE, "hosts.relay1.host_key", "is required in prod", "ssh-keyscan -t ed25519"),
    (
        "hosts.relay1.host_key",
        f"{HOST_KEY}\n{HOST_KEY}",
        "hosts.relay1.host_key",
        "one SSH host key",
        "one line with one",
    ),
    ("hosts.relay1.host_key", f"{HOST_KEY} a\rb", "hosts.relay1.host_key", "one SSH host key", "one line"),
    ("hosts.relay1.host_key", "AAAA", "hosts.relay1.host_key", "one SSH host key", "ssh-keyscan"),
    ("hosts.relay1.host_key", "ssh-rsa AAAAB3NzaC1yc2E=", "hosts.relay1.host_key", "SHA-1", "ssh-keyscan -t ed25519"),
    ("hosts.relay1.host_key", "ssh-dss AAAA", "hosts.relay1.host_key", "one SSH host key", "ssh-keyscan"),
    ("hosts.relay1.host_key", f"relay {HOST_KEY}", "hosts.relay1.host_key", "one SSH host key", "leave the host name"),
    ("hosts.relay1.host_key", HOST_KEY[:40], "hosts.relay1.host_key", "one SSH host key", "copy"),
    ("hosts.relay1.host_key", "ssh-ed25519 !!!!", "hosts.relay1.host_key", "one SSH host key", "typing mistake"),
    ("hosts.relay1.private_key", "hunter2", "hosts.relay1.private_key", "PEM form", "paste the whole file"),
    ("ssh.private_key", "hunter2", "ssh.private_key", "PEM form", "paste the whole file"),
    (
        "ssh.private_key",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n-----END ENCRYPTED PRIVATE KEY-----",
        "ssh.private_key",
        "without a passphrase",
        "mailstack init",
    ),
    ("ssh.connect_attempts", 0, "ssh.connect_attempts", "1 or more", "larger"),
    ("hosts.relay1.public_ipv4", "10.0.0.1", "hosts.relay1.public_ipv4", "public address", "curl ifconfig.me"),
    ("hosts.relay1.public_ipv4", "192.0.2.1", "hosts.relay1.public_ipv4", "public address", "curl"),
    ("hosts.relay1.public_ipv4", "2001:db8::1", "hosts.relay1.public_ipv4", "IPv4 address", "its own field"),
    ("hosts.relay1.public_ipv4", "93.184.216.34/32", "hosts.relay1.public_ipv4", "IPv4 address", "without a mask"),
    ("hosts.relay1.public_ipv6", "93.184.216.34", "hosts.relay1.public_ipv6", "IPv6 address", "its own field"),
    ("hosts.relay1.public_ipv6", "fd00::1", "hosts.relay1.public_ipv6", "public address", "curl"),
    ("hosts.relay1.jump", {"address": "jump.example.com"}, "hosts.relay1.jump.host_key", "required in prod", "ssh-key"),
    ("hosts.relay1.jump", "jump.example.com", "hosts.relay1.jump", "must be a mapping", "key: value"),
    (
        "hosts.relay2",
        {"address": "relay.example.com", "host_key": HOST_KEY},
        "hosts.relay2.address",
        "same address and port",
        "keep one",
    ),
    ("hosts.relay1.minimum_memory_mb", 1, "hosts.relay1.minimum_memory_mb", "64 or more", "larger"),
    ("domains", REMOVE, "domains", "is required", "add it"),
    ("domains", [], "domains", "at least one entry", "add an entry"),
    ("domains", "example.com", "domains", "must be a list", "- entry"),
    ("domains.0.name", REMOVE, "domains[0].name", "is required", "add it"),
    ("domains.0.name", "info@example.com", "domains[0].name", "domain name", "name only"),
    ("domains.0.name", 42, "domains[0].name", "domain name", "in quotes"),
    ("domains.1.name", "example.com", "domains[1].name", "listed twice", "merge"),
    ("domains.0.mx", [{"exchange": "mx.example.com"}], "domains[0].mx[0].preference", "is required", "add it"),
    ("domains.0.mx", [{"preference": 70000, "exchange": "mx.example.com"}], "domains[0].mx[0].preference", "65535", ""),
    ("domains.0.mx", [{"preference": 1, "exchange": "192.0.2.1"}], "domains[0].mx[0].exchange", "domain name", "IP"),
    ("domains.0.spf.all", "+all", "domains[0].spf.all", "must be one of '~all', '-all'", "one of these"),
    ("domains.0.spf.include", ["_spf.google.com "], "domains[0].spf.include[0]", "domain name", "blanks"),
    ("domains.0.spf.mechanisms", ["ipv4:93.184.216.34"], "domains[0]", "ip4", "ip4:93.184.216.34"),
    (
        "domains.0.spf.lookups",
        {"spf.example.nt": 2},
        "domains[0].spf.lookups.spf.example.nt",
        "not there",
        "did you mean",
    ),
    ("domains.0.spf.lookups", {"spf.example.net": 0}, "domains[0].spf.lookups.spf.example.net", "1 or more", "larger"),
    ("domains.0.spf.lookups", {"spf.example.net": 7}, "domains[0]", "10", ""),
    ("domains.0.spf.mechanisms", ["+all"], "domains[0]", "+all", "`spf.all`"),
    ("domains.0.spf.mechanisms", ["+all"], "domains[0]", "all", ""),
    ("domains.0.spf.mechanisms", ["ip4:10.0.0.0/4"], "domains[0]", "ip4", ""),
    ("domains.0.spf.mechanisms", ["a:1.2.3.4"], "domains[0]", "a:", "ip4:1.2.3.4"),
    (
        "domains.0.spf.include",
        [f"spf{number}.example.net" for number in range(8)],
        "domains[0]",
        "10",
        "",
    ),
    (
        "domains.0.dkim.0.selector",
        "google._domainkey",
        "domains[0].dkim[0].selector",
        "selector",
        "without ._domainkey",
    ),
    ("domains.0.dkim.0.selector", REMOVE, "domains[0].dkim[0].selector", "is required", "add it"),
    ("domains.0.dkim.1.selector", "google", "domains[0].dkim[1].selector", "used twice", "selector of its own"),
    ("domains.0.dkim.0.private_key", "x", "domains[0].dkim[0].private_key", "PEM form", "paste"),
    (
        "domains.0.dkim.0.public_key",
        REMOVE,
        "domains[0].dkim[0]",
        "exactly one of private_key",
        "mailstack init",
    ),
    (
        "domains.0.dkim.1.public_key",
        "AAAA",
        "domains[0].dkim[1]",
        "exactly one of private_key",
        "public_key for",
    ),
    ("domains.0.dkim.1.key_type", "ed25519", "domains[0].dkim[1].private_key", "hold an Ed25519", "mailstack init"),
    ("domains.0.dkim.0.public_key", "not base64", "domains[0].dkim[0]", "not base64", "again, completely"),
    ("domains.0.dmarc.policy", "block", "domains[0].dmarc.policy", "'none', 'quarantine', 'reject'", "one of these"),
    ("domains.0.dmarc.pct", 50, "domains[0].dmarc.pct", "is not a known key", "Known here"),
    ("domains.0.dmarc.aggregate_reports", ["dmarc"], "domains[0].dmarc.aggregate_reports[0]", "mail address", "name@"),
    (
        "domains.0.dmarc.aggregate_reports",
        ["mailto:a@example.com"],
        "domains[0].dmarc.aggregate_reports[0]",
        "mail",
        "",
    ),
    ("domains.0.dmarc.dkim_alignment", "r", "domains[0].dmarc.dkim_alignment", "'relaxed', 'strict'", "one of these"),
    ("relay", REMOVE, "relay", "is required", "add it"),
    ("relay.host", "relay2", "relay.host", "must name one of hosts", "did you mean relay1"),
    ("relay.host", REMOVE, "relay.host", "is required", "use one of relay1"),
    ("relay.placement", "cluster", "relay.placement", "must be one of 'vm'", "one of these"),
    ("relay.hostname", REMOVE, "relay.hostname", "is required", "EHLO"),
    ("relay.hostname", "localhost", "relay.hostname", "domain name", "whole name"),
    ("relay.hostname", "example.com", "relay.hostname", "below one of domains", "relay.example.com"),
    ("relay.hostname", "relay.elsewhere.net", "relay.hostname", "below one of domains", "relay.example.com"),
    ("relay.hostname", "relay.notexample.com", "relay.hostname", "below one of domains", "relay.example.com"),
    ("relay.listen_addresses", [], "relay.listen_addresses", "at least one entry", "add an entry"),
    ("relay.listen_addresses", ["localhost"], "relay.listen_addresses[0]", "IP address", "192.0.2.1"),
    ("relay.listen_addresses", ["0.0.0.0"], "relay.client_networks", "is required", "listen on 127.0.0.1"),
    ("relay.listen_addresses", ["127.0.0.1", "127.0.0.1"], "relay.listen_addresses", "listed twice", "remove"),
    ("relay.listen_addresses", ["127.0.0.1", "0.0.0.0"], "relay.listen_addresses", "cannot be combined", "either all"),
    ("relay.client_networks", ["10.0.0.0/8"], "relay.client_networks", "has no effect", "listen_addresses"),
    ("relay.client_networks", ["10.0.0.1/8"], "relay.client_networks[0]", "CIDR", "10.0.0.0/8"),
    ("relay.client_networks", ["example.com"], "relay.client_networks[0]", "CIDR", "192.0.2.0/24"),
    ("relay.client_networks", ["0.0.0.0/0"], "relay.client_networks[0]", "too wide", "only"),
    ("relay.client_networks", ["93.0.0.0/8"], "relay.client_networks[0]", "too wide", "only"),
    ("relay.client_networks", ["2606:2800::/32"], "relay.client_networks[0]", "too wide", "only"),
    ("relay.sender_domains", [], "relay.sender_domains", "must not be empty", "leave the key out"),
    ("relay.sender_domains", ["exmaple.com"], "relay.sender_domains[0]", "one of domains", "did you mean example.com"),
    ("relay.sender_domains", ["example.com"] * 2, "relay.sender_domains", "listed twice", "remove one"),
    ("relay.masquerade_domains", ["other.net"], "relay.masquerade_domains[0]", "one of domains", ""),
    ("relay.message_size_mb", 26, "relay.message_size_mb", "takes 25 MB at most", "25 or less"),
    ("relay.message_size_mb", 0, "relay.message_size_mb", "1 or more", "larger"),
    ("relay.concurrency", 501, "relay.concurrency", "500 or less", "smaller"),
    ("relay.queue_lifetime_hours", 0, "relay.queue_lifetime_hours", "1 or more", "larger"),
    ("relay.postmaster", "root", "relay.postmaster", "mail address", "name@example.com"),
    ("relay.ip_protocol", "both", "relay.ip_protocol", "must be one of", "one of these"),
    ("relay.extra_parameters", {"Bad-Name": "1"}, "relay.extra_parameters.Bad-Name", "main.cf parameter", "postconf"),
    ("relay.extra_parameters", {"mynetworks": "0/0"}, "relay.extra_parameters.mynetworks", "cannot be overridden", ""),
    ("relay.extra_parameters", {"relayhost": "x"}, "relay.extra_parameters.relayhost", "cannot be overridden", ""),
    ("relay.extra_parameters", {"mail_name": "a\nb = c"}, "relay.extra_parameters.mail_name", "one line", "commas"),
    ("relay.upstream.preset", "gmail", "relay.upstream.preset", "'google-workspace'", "one of these"),
    ("relay.upstream.host", "smtp.gmail.com", "relay.upstream.host", "cannot be changed", "preset custom"),
    ("relay.upstream.spf_include", "a.example.net", "relay.upstream.spf_include", "cannot be changed", "custom"),
    ("relay.upstream.port", 2525, "relay.upstream.port", "does not listen there", "587 (STARTTLS)"),
    ("relay.upstream.region", "eu-west-1", "relay.upstream.region", "has no regions", "remove it"),
    ("relay.upstream.username", "relay@example.com", "relay.upstream.username", "no use with auth none", "sasl"),
    ("relay.upstream.password", "dummy-password", "relay.upstream.password", "no use with auth none", "remove it"),
    (
        "relay.upstream",
        {"auth": "sasl", "username": "a@example.com"},
        "relay.upstream.password",
        "is required",
        "set it",
    ),
    ("relay.upstream", {"auth": "sasl", "password": "secret"}, "relay.upstream.username", "is required", "mailbox"),
    ("relay.upstream", {**SASL, "username": "relay"}, "relay.upstream.username", "full address", "copy it"),
    (
        "relay.upstream",
        {**SASL, "password": "secret\n"},
        "relay.upstream.password",
        "one line",
        "without a final newline",
    ),
    ("relay.upstream", {**SASL, "tls": "may"}, "relay.upstream.tls", "unencrypted", "use secure"),
    ("relay.upstream.tls", "none", "relay.upstream.tls", "must be one of", "one of these"),
    ("relay.upstream.ca_file", "certs/ca.pem", "relay.upstream.ca_file", "must match", "correct"),
    ("relay.upstream", {**SASL, "username": "a:b@example.com"}, "relay", "no colon", "correct"),
    ("relay.upstream", {**SENDGRID, "username": "me"}, "relay.upstream.username", "the word apikey", "copy it"),
    ("relay.upstream", {**SENDGRID, "password": "abc"}, "relay.upstream.password", "starts with SG.", "copy it"),
    ("relay.upstream", {"preset": "sendgrid"}, "relay.upstream.auth", "user name and password only", "sasl"),
    ("relay.upstream", {**SES, "region": REMOVE}, "relay.upstream.region", "is required", "eu-west-1"),
    ("relay.upstream", {**SES, "region": "europe"}, "relay.upstream.region", "not a region", "eu-west-1"),
    ("relay.upstream", {**SES, "password": "s" * 40}, "relay.upstream.password", "secret access key", "copy it"),
    ("relay.upstream", {**MAILGUN, "region": "asia"}, "relay.upstream.region", "not a region", "us, eu"),
    (
        "relay.upstream",
        {**CUSTOM, "host": REMOVE},
        "relay.upstream.host",
        "is required with preset custom",
        "host name",
    ),
    ("relay_rule.name", REMOVE, "relay_rule.name", "is required", "add it"),
    ("relay_rule.name", "", "relay_rule.name", "must not be empty", "write a value"),
    ("relay_rule.allowed_senders", "anyone", "relay_rule.allowed_senders", "must be one of", "one of these"),
    ("relay_rule.allowed_senders", "any-address", "relay_rule.allowed_senders", "", ""),
    ("relay_rule.require_tls", False, "relay_rule.require_tls", "", ""),
    ("relay_rule.require_smtp_auth", True, "relay_rule.require_smtp_auth", "", ""),
    ("relay_rule.ip_ranges", ["10.0.0.0/24"], "relay_rule.ip_ranges", "", ""),
    ("relay_rule.ip_ranges", ["93.184.0.0/16"], "relay_rule.ip_ranges", "", ""),
    ("relay_rule.ip_ranges", ["93.184.216.34"], "relay_rule", "", ""),
    ("relay_rule.domains", ["other.net"], "relay_rule.domains[0]", "one of domains", ""),
    ("relay_rule.probe.sender", "me@other.net", "relay_rule.probe.sender", "in one of domains", "postmaster@"),
    ("relay_rule.probe.on_failure", "ignore", "relay_rule.probe.on_failure", "'warn', 'fail'", "one of these"),
    ("relay_rule.probe.wait_minutes", 2000, "relay_rule.probe.wait_minutes", "1500 or less", "smaller"),
    ("dns.provider", "route53", "dns.provider", "'cloudflare', 'server', 'none'", "one of these"),
    ("dns.provider", "none", "dns.cloudflare", "has no effect", "set provider to cloudflare"),
    ("dns.provider", "server", "dns.server", "is required with provider server", "add the section"),
    ("dns.ttl", 30, "dns.ttl", "60 or more", "larger"),
    ("dns.ttl", 100000, "dns.ttl", "86400 or less", "smaller"),
    ("dns.cloudflare.zones", ["one word"], "dns.cloudflare.zones", "domain name", "write"),
    ("dns.cloudflare.zones", {"example.com": "123"}, "dns.cloudflare.zones.example.com", "zone ID", "overview page"),
    ("dns.cloudflare.zones", {"example.com": "0" * 32}, "dns.cloudflare.zones", "no zone holds example.org", "add the"),
    (
        "dns.cloudflare.api_token",
        "0123456789abcdef0123456789abcdef01234",
        "dns.cloudflare.api_token",
        "global API",
        "Zone Read",
    ),
    ("dns.cloudflare.api_token", " token ", "dns.cloudflare.api_token", "one line", "set it again"),
    ("dns.cloudflare.api_token", REMOVE, "dns.cloudflare.api_token", "is required", "Zone Read"),
    ("dns.cloudflare.api_token", REMOVE, "dns.cloudflare.api_token", "is required", "`mailstack init`"),
    ("dns", {**DNS_SERVER, "server": {**DNS_SERVER["server"], "host": "ns9"}}, "dns.server.host", "one of hosts", ""),
    ("dns", {**DNS_SERVER, "server": {"host": "relay1"}}, "dns.server.nameservers", "is required", "NS records"),
    (
        "dns",
        {**DNS_SERVER, "server": {**DNS_SERVER["server"], "nameservers": ["ns1.example.com"] * 2}},
        "dns.server.nameservers[1]",
        "listed twice",
        "remove",
    ),
    (
        "dns",
        {**DNS_SERVER, "server": {**DNS_SERVER["server"], "nameservers": ["ns1.example.com", "ns2.example.com"]}},
        "dns.server.nameservers[1]",
        "only the first name server is this host",
        "secondary",
    ),
    ("domains.0.spf.include", ["_spf..example.net"], "domains[0].spf.include[0]", "labels", "extra dot"),
]


def without_removed(value: Any) -> Any:
    return {key: item for key, item in value.items() if item is not REMOVE} if isinstance(value, dict) else value


def problems_of(raw: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        load_plan(raw)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(("path", "value", "field", "rule", "fix"), BAD)
def test_a_mistake_names_field_rule_and_fix(path: str, value: Any, field: str, rule: str, fix: str) -> None:
    lines = problems_of(with_value(path, without_removed(value)))
    matching = [line for line in lines if line.startswith(f"mailstack:{field}")]
    assert matching, lines
    assert any(rule in line and fix in line.partition("Fix: ")[2] for line in matching), matching


def test_the_table_holds_at_least_a_hundred_mistakes() -> None:
    assert len(BAD) >= 100


def test_the_example_is_valid() -> None:
    assert load_plan(example()).settings.relay.hostname == "relay.example.com"


def test_mistakes_of_every_kind_are_told_in_one_run() -> None:
    raw = with_value("relay.upstream.port", "smtp")
    raw["hosts"]["relay1"]["adress"] = "typo"
    raw["relay"]["sender_domains"] = ["unknown.net"]
    raw["domains"][0]["spf"]["mechanisms"] = ["+all"]
    del raw["hosts"]["relay1"]["host_key"]
    raw["dns"]["ttl"] = 1
    text = "\n".join(problems_of(raw))
    for field in (
        "hosts.relay1.adress",
        "hosts.relay1.host_key",
        "relay.upstream.port",
        "relay.sender_domains[0]",
        "dns.ttl",
        "domains[0]",
    ):
        assert f"mailstack:{field}" in text


@pytest.mark.parametrize("hostname", ["localhost", REMOVE])
def test_a_name_that_is_wrong_or_missing_has_no_zone_to_miss(hostname: Any) -> None:
    """What stands in for it, so that the other rules can be tried, is a name that nobody wrote."""
    [line] = problems_of(with_value("relay.hostname", hostname))
    assert line.startswith("mailstack:relay.hostname")


def test_a_part_that_was_left_out_is_not_complained_about_twice() -> None:
    lines = problems_of(with_value("hosts.relay1.host_key", "AAAA"))
    assert len(lines) == 1, lines


@pytest.mark.parametrize(
    ("path", "secret"),
    [
        ("hosts.relay1.private_key", "hunter2-planted"),
        ("ssh.private_key", "hunter2-planted"),
        ("relay.upstream.password", "hunter2-planted"),
        ("relay.upstream.pasword", "hunter2-planted"),
        ("dns.cloudflare.api_token", " hunter2-planted"),
        ("domains.0.dkim.0.private_key", "hunter2-planted"),
        ("domains.0.dkim.0.public_key", "-----BEGIN PRIVATE KEY-----\nhunter2-planted\n-----END PRIVATE KEY-----"),
    ],
)
def test_a_secret_never_shows_in_a_message(path: str, secret: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_plan(with_value(path, secret))
    assert "hunter2-planted" not in str(caught.value)
    assert "hunter2-planted" not in repr(caught.value.problems)


def test_settings_do_not_print_their_secrets() -> None:
    settings = load_plan(example())
    for secret in (ssh_key(), dkim_key(), "t" * 40):
        assert secret.splitlines()[1 if "\n" in secret else 0] not in repr(settings)


@pytest.mark.parametrize(
    "upstream",
    [
        {},
        {"port": 465},
        {"port": 25},
        SASL,
        {**SASL, "password": "a:b#c$d ü"},
        SENDGRID,
        SES,
        {**SES, "region": "us-gov-west-1"},
        MAILGUN,
        {**MAILGUN, "region": "us"},
        CUSTOM,
        {**CUSTOM, "spf_include": "spf.example.net"},
        {"tls": "encrypt"},
    ],
)
def test_every_supported_upstream_is_accepted(upstream: dict[str, Any]) -> None:
    raw = with_value("relay.upstream", upstream)
    if upstream.get("preset", "google-workspace") != "google-workspace":
        del raw["relay_rule"]
    for domain in raw["domains"]:
        domain["mx"] = [{"preference": 10, "exchange": "mx.example.net"}]
    raw["domains"][0]["spf"]["include"] = []
    assert load_plan(raw).settings.relay.upstream.host_name


def test_includes_may_have_underscores() -> None:
    raw = with_value("domains.0.spf.include", ["_spf.salesforce.com"])
    assert load_plan(raw).settings.domains[0].spf.include == ("_spf.salesforce.com",)


def test_a_name_server_cannot_share_the_relays_name_on_another_host() -> None:
    raw = example(dns={**DNS_SERVER, "server": {**DNS_SERVER["server"], "nameservers": ["relay.example.com"]}})
    assert load_plan(raw).settings.dns.server is not None
    raw["hosts"]["ns1"] = {"address": "ns1.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.35"}
    raw["dns"]["server"]["host"] = "ns1"
    assert any("is the relay's name" in line for line in problems_of(raw))


def test_a_relay_without_a_public_address_is_told_at_its_host() -> None:
    raw = with_value("relay.upstream", SASL)
    del raw["hosts"]["relay1"]["public_ipv4"], raw["hosts"]["relay1"]["public_ipv6"], raw["relay_rule"]
    assert any(line.startswith("mailstack:hosts.relay1.public_ipv4: is required") for line in problems_of(raw))


def test_a_wrong_entry_in_a_short_list_hides_nothing() -> None:
    raw = with_value("relay.host", "relay9")
    raw["domains"] = [{"name": "example.com", "dmarc": {"policy": "strict"}}]
    del raw["relay_rule"]
    lines = problems_of(raw)
    assert any(line.startswith("mailstack:domains[0].dmarc.policy") for line in lines)
    assert any(line.startswith("mailstack:relay.host") for line in lines)
    assert not any("at least one entry" in line for line in lines), lines
