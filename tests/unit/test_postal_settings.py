"""Settings of Postal and Caddy: what is wrong is named with field, rule and fix before anything is registered."""

from typing import Any

import pytest

from mailstack.plan import Secret, load_plan
from mailstack.plan.verification import verify_target
from mailstack.settings.problems import SettingsError
from rehearsal.endpoints import with_images
from tests.unit.mistakes import changed
from tests.unit.plan_parts import (
    dns_records,
    has_run,
    postal_role,
    relay_definition,
    relay_rule,
    role_run,
    role_settings,
)
from tests.unit.stack_examples import HOST_KEY, REMOVE, dkim_key, postal_example, with_value

SERVER = "postal.organizations.0.mail_servers.0"
FIELD = "postal.organizations[0].mail_servers[0]"


def settings_with(path: str, value: Any) -> Any:
    return load_plan(with_value(path, value, postal_example))


# (path, value, field of the problem, part of the rule, part of the fix)
BAD: list[tuple[str, Any, str, str, str]] = [
    ("postal.host", "relay2", "postal.host", "must name one of hosts", "relay1"),
    ("postal.image", {"tag": "stable"}, "postal.image.tag", "exact release", "moving tag"),
    ("postal.image", {"tag": "3.3.6"}, "postal.image.tag", "3.3.7 or newer", "GHSA"),
    ("postal.image", {"digest": "sha256:12"}, "postal.image.digest", "64 hexadecimal", "imagetools"),
    ("postal.image", {"repository": "https://ghcr.io/x"}, "postal.image.repository", "container image", "without https"),
    ("postal.web_hostname", "postal.elsewhere.net", "postal.web_hostname", "below one of domains", "example.com"),
    ("postal.smtp_hostname", "example.com", "postal.smtp_hostname", "below one of domains", "example.com"),
    ("postal.return_path_domain", "rp.elsewhere.net", "postal.return_path_domain", "below one of domains", ""),
    ("postal.signing_key", "not a key", "postal.signing_key", "private key in PEM form", "BEGIN"),
    ("postal.secret_key", "short", "postal.secret_key", "12 characters", "mailstack init"),
    ("postal.secret_key", REMOVE, "postal.secret_key", "is required", "mailstack init"),
    ("postal.admin.password", "short", "postal.admin.password", "12 characters", "mailstack init"),
    ("postal.database.password", "short", "postal.database.password", "12 characters", "mailstack init"),
    ("postal.database.root_password", "short", "postal.database.root_password", "12 characters", "mailstack init"),
    ("postal.database.password", REMOVE, "postal.database.password", "is required", "mailstack init"),
    ("postal.database.root_password", REMOVE, "postal.database.root_password", "is required", "mailstack init"),
    ("postal.database.password", 'with"quote-mark', "postal.database.password", "unescaped", "mailstack init"),
    ("postal.database.address", "db.example.com", "postal.database.address", "no use with kind container", "kind"),
    ("postal.database.kind", "external", "postal.database.address", "is required with kind external", "where"),
    ("postal.database.host", "db9", "postal.database.host", "must name one of hosts", "relay1"),
    ("postal.docker.network", "172.29.25.1/24", "postal.docker.network", "CIDR form", "172.29.25.0/24"),
    ("postal.docker.network", "93.184.216.0/24", "postal.docker.network", "private IPv4", "172.29.25.0/24"),
    ("postal.docker.network", "10.0.0.0/8", "postal.docker.network", "/16 to /28", "172.29.25.0/24"),
    ("postal.sending.tls", "STARTTLS", "postal.sending.tls", "one of", "these"),
    ("postal.sending.path", "google", "postal.sending.path", "one of", "these"),
    ("relay.listen_port", 25, "relay.listen_port", "belongs to Postal", "2525"),
    ("relay.listen_addresses", ["127.0.0.1"], "relay.listen_addresses", "cannot reach it", "172.29.25.1"),
    ("relay.placement", "none", "relay.placement", "needs postal.sending.path direct", "remove placement"),
    ("relay_rule.domains", ["example.com"], "relay_rule.domains", "lacks rp.example.com", "leave the key out"),
    ("postal.max_message_mb", 40, "postal.max_message_mb", "fail after acceptance", "23 or less"),
    ("postal.ip_pools", [{"name": "a", "addresses": [{"ipv4": "93.184.216.34", "hostname": "a.example.com"}]}],
     "postal.ip_pools", "needs path direct", "remove the pools"),
    ("caddy", REMOVE, "caddy", "is required in prod", "acme"),
    ("caddy.host", "relay7", "caddy.host", "must name one of hosts", "relay1"),
    ("caddy.certificates", "internal", "caddy.certificates", "not for prod", "acme"),
    ("caddy.certificates", "custom", "caddy.custom", "is required with certificates custom", "add the section"),
    ("caddy.acme.challenge", "dns", "caddy.acme.dns_token", "goes with challenge dns", "token"),
    ("caddy.acme.email", "nobody", "caddy.acme.email", "mail address", "name@example.com"),
    ("caddy.mta_sts", [{"domain": "example.net", "mx": ["mx.example.com"]}], "caddy.mta_sts[0].domain", "one of domains",
     "did you mean example"),
    ("postal.organizations.0.permalink", "admin", "postal.organizations[0].permalink", "Postal's own addresses", "another"),
    ("postal.organizations.0.permalink", "Ex ample", "postal.organizations[0].permalink", "permalink", "name"),
    (f"{SERVER}.domains", ["example.com", "example.net"], f"{FIELD}.domains[1]", "must be one of domains", "example"),
    (f"{SERVER}.domains", [], f"{FIELD}.domains", "at least one", ""),
    (f"{SERVER}.mode", "live", f"{FIELD}.mode", "one of", "these"),
    (f"{SERVER}.credentials.0.type", "SMTP-IP", f"{FIELD}.credentials[0].type", "one of", "these"),
    (f"{SERVER}.credentials.0.key", "has space in it", f"{FIELD}.credentials[0].key", "letters and digits", "mailstack init"),
    (f"{SERVER}.credentials.0.key", "apiapiapiapiapiapiapiapi", "postal.organizations", "share one key", "mailstack init"),
    (f"{SERVER}.credentials.1.type", "SMTP", f"{FIELD}.credentials", "used twice", "own"),
    (f"{SERVER}.routes.0.domain", "example.com", f"{FIELD}.routes[0].domain", "gets no mail", "mx"),
    (f"{SERVER}.routes.0.address", "someone@example.com", f"{FIELD}.routes[0]", "exactly one of", "change the mode"),
    (f"{SERVER}.routes.0.mode", "Hold", f"{FIELD}.routes[0]", "other modes none", "change the mode"),
    (f"{SERVER}.track_domains.0.domain", "example.net", f"{FIELD}.track_domains[0].domain", "mail server's domains", ""),
    (f"{SERVER}.ip_pool", "main", "postal.organizations", "must name one of ip_pools", "declare the pool"),
    ("postal.config", {"postal": {"web_hostnam": "x"}}, "postal.config.postal.web_hostnam", "", ""),
    ("postal.config", {"postal": {"smtp_relays": ["smtp://1.2.3.4:25"]}}, "postal.config.postal.smtp_relays", "sending", ""),
    ("postal.config", {"dns": {"timeout": 0}}, "postal.config.dns.timeout", "at least", ""),
    ("postal.app_mail", {"from_address": "a@elsewhere.net"}, "postal.app_mail.from_address", "one of domains", "example.com"),
    ("domains.0.dkim.1.selector", "mail202611", "domains[0].dkim", "begins with postal-", "postal-202611"),
    ("postal.backup", {"hook": "copy it"}, "postal.backup.hook", "absolute path", "root"),
    ("postal.backup", {"schedule": "daily; reboot"}, "postal.backup.schedule", "calendar expression", "daily"),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value", "field", "rule", "fix"), BAD, ids=lambda value: str(value)[:40])
def test_a_mistake_is_named_with_field_rule_and_fix(path: str, value: Any, field: str, rule: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings_with(path, value)
    found = [problem for problem in caught.value.problems if problem.field == field]
    assert found, f"no problem at {field}, but: {caught.value}"
    assert any(any(part in problem.rule for part in rule.split("|")) and fix in problem.fix for problem in found), found


def test_a_secret_that_is_wrong_is_not_shown() -> None:
    for path, value in (
        (f"{SERVER}.credentials.0.key", "my own key!"),
        ("postal.admin.password", "hunter2"),
        ("postal.database.password", " hunter2 "),
        ("postal.signing_key", "hunter2"),
    ):
        with pytest.raises(SettingsError) as caught:
            settings_with(path, value)
        assert "hunter2" not in str(caught.value)
        assert "my own key" not in str(caught.value)


def test_one_host_carries_all_and_no_ports_clash() -> None:
    settings = load_plan(postal_example())
    relay = relay_definition(settings)
    assert (relay.listen_addresses, relay.listen_port) == (("127.0.0.1", "172.29.25.1"), 2525)
    assert relay.client_networks == ("172.29.25.0/24",)
    role = postal_role(settings)
    assert role["relay"] == {"name": "relay-internal.example.com", "port": 2525}
    assert role["config"]["postal"]["smtp_relays"] == ["smtp://relay-internal.example.com:2525?ssl_mode=None"]
    assert role["compose"]["web_publish"] == "127.0.0.1"
    assert role_settings(settings, "caddy")
    internal = [record for record in dns_records(settings) if record.name == "relay-internal.example.com"]
    assert [record.type for record in internal] == ["A"]


def test_bounces_go_to_postal_and_never_to_the_upstream() -> None:
    settings = load_plan(postal_example())
    relay = relay_definition(settings)
    assert relay.bounce_domains == ("rp.example.com",)
    assert relay.bounce_host == "127.0.0.2"
    assert relay.bounce_host not in relay.listen_addresses, "or it loops back, and Postal never hears of it"
    assert "rp.example.com" in relay.sender_domains, "Postal's MAIL FROM is taken, or recipients would be suppressed"
    assert "rp.example.com" in relay_rule(settings).domains, "and Google is told of it"


def test_a_custom_return_path_is_declared_everywhere() -> None:
    settings = settings_with("postal.custom_return_paths", True)
    assert relay_definition(settings).bounce_domains == ("rp.example.com", "psrp.example.com", "psrp.example.org")
    aliases = {record.name for record in dns_records(settings) if record.type == "CNAME"}
    assert {"psrp.example.com", "psrp.example.org"} <= aliases


def four_hosts() -> dict[str, Any]:
    raw = postal_example()
    for number, name in enumerate(("mail1", "db1", "web1"), 5):
        raw["hosts"][name] = {
            "address": f"{name}.example.com",
            "host_key": HOST_KEY,
            "public_ipv4": f"93.184.216.{number}",
            "private_address": f"10.0.0.{number}",
            "firewall": "ufw",
        }
    raw["hosts"]["relay1"] |= {"private_address": "10.0.0.9", "firewall": "ufw"}
    raw["relay"] |= {"listen_addresses": ["127.0.0.1", "10.0.0.9"], "client_networks": ["10.0.0.5/32"]}
    raw["postal"] |= {"host": "mail1", "smtp_tls": False}
    raw["postal"]["sending"] = {"relay_name": "relay.internal.example.com"}
    raw["postal"]["database"]["host"] = "db1"
    raw["caddy"]["host"] = "web1"
    return raw


def test_each_of_the_four_lives_on_its_own_host_by_settings_alone() -> None:
    settings = load_plan(four_hosts())
    role = postal_role(settings)
    assert role["relay"] == {"name": "relay.internal.example.com", "port": 25}
    assert role["database"]["host"] == "10.0.0.6"
    assert role["compose"]["web_publish"] == "10.0.0.5"
    database = role_settings(settings, "mariadb")
    assert database is not None
    assert database["listen"] == "10.0.0.6"
    assert relay_definition(settings).bounce_host == "mx.example.com"
    opened = {
        name: [(entry["port"], entry["sources"]) for entry in role_settings(settings, "firewall", name)["allow"]]
        for name in settings.hosts
    }
    assert opened == {
        "relay1": [(25, ["10.0.0.5/32"])],
        "mail1": [(25, []), (5000, ["10.0.0.7/32"])],
        "db1": [(3306, ["10.0.0.5/32"])],
        "web1": [(80, []), (443, [])],
    }
    assert [name for name in settings.hosts if has_run(settings, "docker", name)] == ["mail1", "db1"]


@pytest.mark.parametrize(
    ("path", "value", "field", "rule"),
    [
        ("relay.client_networks", ["10.1.0.0/24"], "relay.client_networks", "suppression list"),
        ("relay.listen_addresses", ["127.0.0.1"], "relay.listen_addresses", "loopback only"),
        ("hosts.db1.private_address", REMOVE, "hosts.db1.private_address", "is required"),
        ("hosts.mail1.private_address", REMOVE, "hosts.mail1.private_address", "is required"),
        ("postal.smtp_tls", True, "postal.smtp_tls", "needs caddy on Postal's host"),
    ],
)
def test_hosts_that_cannot_reach_each_other_are_refused(path: str, value: Any, field: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_plan(with_value(path, value, four_hosts))
    assert any(problem.field == field and rule in problem.rule for problem in caught.value.problems), caught.value


def direct() -> dict[str, Any]:
    raw = postal_example()
    raw["relay"]["placement"] = "none"
    raw["postal"]["sending"] = {"path": "direct"}
    return raw


def test_the_direct_path_uses_postals_own_spelling_of_verified_starttls() -> None:
    role = postal_role(load_plan(direct()))
    assert role["config"]["postal"]["smtp_relays"] == ["smtp://smtp-relay.gmail.com:587?ssl_mode=STARTLS"]
    assert role["config"]["dns"]["helo_hostname"] == "relay.example.com", "Google tells customers apart by it"


def test_the_direct_path_cannot_log_in() -> None:
    raw = direct()
    raw["relay"]["upstream"] |= {"auth": "sasl", "username": "relay@example.com", "password": "abcdabcdabcdabcd"}
    with pytest.raises(SettingsError, match="Postal cannot log in"):
        load_plan(raw)


def test_without_an_include_of_the_upstream_postal_finds_one_of_ours() -> None:
    raw = postal_example()
    raw["relay"]["upstream"] = {"preset": "custom", "host": "smtp.example.net", "auth": "none"}
    raw["postal"]["max_message_mb"] = 9
    del raw["relay_rule"]
    settings = load_plan(raw)
    include = postal_role(settings)["config"]["dns"]["spf_include"]
    texts = [str(record.data) for record in dns_records(settings) if record.type == "TXT"]
    assert include == "spf.example.com"
    assert sum(f"include:{include}" in text for text in texts) == 2


def test_no_secret_is_in_the_settings_of_a_role() -> None:
    settings = load_plan(postal_example())
    assert settings.settings.postal is not None
    plain = str([postal_role(settings), role_settings(settings, "mariadb"), role_settings(settings, "caddy")])
    for secret in settings.settings.postal.secrets:
        assert secret.get_secret_value() not in plain
    sent = str(role_run(settings, "postal").secrets)
    assert settings.settings.postal.admin.password.get_secret_value() in sent
    assert dkim_key() in role_run(settings, "postal").secrets["dkim"]["example.com"]


def test_applications_are_told_all_they_need() -> None:
    postal = load_plan(postal_example()).postal
    assert postal is not None
    told = postal.mail_servers["example/apps"]
    assert told == {
        "smtp_host": "mx.example.com",
        "smtp_port": 25,
        "smtp_starttls": True,
        "smtp_user": "example/apps",
        "smtp_keys": {"shop": Secret("smtpsmtpsmtpsmtpsmtpsmtp")},
        "api_url": "https://postal.example.com/api/v1",
        "api_keys": {"shop": Secret("apiapiapiapiapiapiapiapi")},
        "sender_domains": ["example.com", "example.org"],
        "web_url": "https://postal.example.com/org/example/servers/apps",
        "health_url": "https://postal.example.com/login",
    }
    assert "smtpsmtp" not in repr(postal), "a plan may be logged"


def test_a_digest_pins_the_database_and_the_client_that_makes_dumps() -> None:
    digest = f"sha256:{'0a' * 32}"
    raw = with_value("postal.database.digest", digest, postal_example)
    pinned = f"docker.io/library/mariadb@{digest}"
    plan = load_plan(raw).postal
    assert plan is not None
    assert plan.database_run is not None
    assert plan.run is not None
    assert plan.database_run.settings["image"] == pinned
    assert plan.run.settings["database"]["client_image"] == pinned
    # A rehearsal has images of its own.
    assert "digest" not in with_images(raw, postal="a/postal:1", mariadb="a/mariadb:1")["postal"]["database"]


OWN, FURTHER = "93.184.216.34", "93.184.216.40"


def pooled(*addresses: dict[str, Any], **more: Any) -> dict[str, Any]:
    named = [{"hostname": f"out{number}.example.com", **one} for number, one in enumerate(addresses)]
    return changed(direct(), {"postal.ip_pools": [{"name": "main", "addresses": named}], **more})


@pytest.mark.parametrize(
    ("raw", "rule", "fix"),
    [
        (pooled({"ipv4": "127.0.0.1"}), "no address that mail leaves", "one that relay1 has"),
        (pooled({"ipv4": "0.0.0.0"}), "no address that mail leaves", "one that relay1 has"),
        (pooled({"ipv4": OWN, "ipv6": "ff02::1"}), "no address that mail leaves", "one that relay1 has"),
        (pooled({"ipv4": OWN}, {"ipv4": OWN}), "used twice", "one place"),
        (pooled({"ipv4": FURTHER}), "SPF, relay rule and upstream", f"{FURTHER} in relay.egress_addresses"),
        (
            pooled({"ipv4": "10.0.0.7"}, **{"hosts.db": {"address": "db.example.com", "private_address": "10.0.0.7"}}),
            "is of hosts.db",
            "one that relay1 has",
        ),
        (
            pooled({"ipv4": OWN, "ipv6": "2606:2800:220:1:248:1893:25c8:1946"}, **{"relay.ip_protocol": "ipv4"}),
            "SPF, relay rule and upstream",
            "remove relay.ip_protocol",
        ),
    ],
)
def test_a_pool_has_addresses_of_its_host_that_the_upstream_knows(raw: dict[str, Any], rule: str, fix: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load_plan(raw)
    found = [problem for problem in caught.value.problems if problem.field == "postal.ip_pools"]
    assert [(rule in one.rule, fix in one.fix) for one in found] == [(True, True)], found


@pytest.mark.parametrize(
    "raw",
    [
        pooled({"ipv4": OWN}),
        pooled({"ipv4": FURTHER}, **{"relay.egress_addresses": [OWN, FURTHER]}),
        pooled({"ipv4": "10.0.0.7"}),
    ],
    ids=["its own", "a further one", "behind NAT"],
)
def test_a_pool_may_have_further_addresses_and_those_behind_nat(raw: dict[str, Any]) -> None:
    plan = load_plan(raw)
    told = {host.name: host.addresses for host in verify_target(plan).hosts}
    own = raw["postal"]["ip_pools"][0]["addresses"][0]["ipv4"]
    assert told.get("out0.example.com", ()) == (() if own.startswith("10.") else (own,))
