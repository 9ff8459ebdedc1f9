"""One relay definition on several hosts: what differs, what is shown, what clients are told, what is refused."""

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from mailstack.dns import rdata_text
from mailstack.plan import Plan, load_plan
from mailstack.plan.hosts import firewall_settings
from mailstack.plan.relay import relay_definition
from mailstack.plan.shown import shown_for_all
from mailstack.postfix.relay import PROOF_HELO, main_cf, master_cf
from mailstack.settings.problems import SettingsError
from tests.unit.plan_parts import dns_records, preflight_settings, relay_rule
from tests.unit.stack_examples import HOST_KEY, dkim_key, example, postal_example

Raw = dict[str, Any]
CLIENTS = "smtp.example.com"


def two_hosts(base: Callable[[], Raw] = example) -> Raw:
    """Return a stack whose relay runs on relay1 (IPv4 and IPv6 outside) and relay2 (IPv4 only)."""
    raw = base()
    raw["hosts"]["relay1"]["private_address"] = "10.20.0.5"
    raw["hosts"]["relay2"] = {
        "address": "relay2.example.com",
        "host_key": HOST_KEY,
        "public_ipv4": "93.184.216.35",
        "private_address": "10.20.0.6",
        "firewall": "ufw",
    }
    del raw["relay"]["host"]
    raw["relay"] |= {"hosts": ["relay1", "relay2"], "client_networks": ["10.20.0.0/16"], "client_name": CLIENTS}
    return raw


def problems(raw: Raw) -> dict[str, str]:
    with pytest.raises(SettingsError) as caught:
        load_plan(raw)
    return {problem.field: f"{problem.rule} | {problem.fix}" for problem in caught.value.problems}


@pytest.fixture(scope="module")
def plan() -> Plan:
    return load_plan(two_hosts())


def test_each_host_listens_on_its_own_address_and_sends_over_what_the_upstream_knows_of_it(plan: Plan) -> None:
    first, second = (relay_definition(plan.settings, name) for name in ("relay1", "relay2"))
    assert first.listen_addresses == ("127.0.0.1", "10.20.0.5")
    assert second.listen_addresses == ("127.0.0.1", "10.20.0.6")
    assert (first.ip_protocol, second.ip_protocol) == ("all", "ipv4"), "no IPv6 from a host whose address none knows"


def test_but_for_addresses_the_definition_is_one(plan: Plan) -> None:
    first, second = (relay_definition(plan.settings, name) for name in ("relay1", "relay2"))
    same = dataclasses.replace(second, listen_addresses=first.listen_addresses, ip_protocol=first.ip_protocol)
    assert same == first
    differing = {name for name, value in main_cf(first).items() if main_cf(second)[name] != value}
    assert differing == {
        "inet_interfaces",
        "inet_protocols",
        "mynetworks",  # loopback of both protocols, or of one
        "smtp_address_preference",
        "smtpd_client_event_limit_exceptions",  # the same
    }
    assert len(master_cf(first)) == len(master_cf(second))


def test_runs_are_named_by_host_in_the_order_of_the_list(plan: Plan) -> None:
    assert [(run.name, run.host) for run in plan.relay.runs] == [
        ("relay-postfix-relay1", "relay1"),
        ("relay-postfix-relay2", "relay2"),
    ]
    assert plan.relay_rule is not None
    assert [run.name for run in plan.relay_rule.runs] == ["relay-rule-probe-relay1", "relay-rule-probe-relay2"]
    assert [run.settings["ip_protocol"] for run in plan.relay_rule.runs] == ["all", "ipv4"]


def test_what_is_shown_is_shown_once_and_below_the_host_where_it_differs(plan: Plan) -> None:
    shown = plan.relay.shown
    assert shown["hosts"] == "relay1, relay2"
    assert shown["main.cf/relayhost"] == "[smtp-relay.gmail.com]:587"
    assert (shown["relay1/main.cf/inet_protocols"], shown["relay2/main.cf/inet_protocols"]) == ("all", "ipv4")
    assert "main.cf/inet_protocols" not in shown
    assert "relay2/main.cf/relayhost" not in shown
    assert str(shown["relay2/master.cf"]).splitlines() == ["10.20.0.6:25 inet n - n - - smtpd"]
    assert "10.20.0.5" not in str(shown["master.cf"])
    assert "127.0.0.1:25 inet" in str(shown["master.cf"])


def test_a_value_that_one_host_lacks_stands_below_the_other() -> None:
    assert shown_for_all({"a": {"x": "1", "y": "2"}, "b": {"x": "1"}}) == {"x": "1", "a/y": "2"}


def test_adding_a_host_changes_nothing_on_the_others() -> None:
    raw = two_hosts()
    before = {run.host: run for run in load_plan(raw).relay.runs}
    raw["hosts"]["relay3"] = raw["hosts"]["relay2"] | {
        "address": "relay3.example.com",
        "public_ipv4": "93.184.216.36",
        "private_address": "10.20.0.7",
    }
    raw["relay"]["hosts"].insert(0, "relay3")
    plan = load_plan(raw)
    after = {run.host: run for run in plan.relay.runs}
    assert list(after) == ["relay3", "relay1", "relay2"]
    assert {name: after[name] for name in before} == before
    for name in before:
        assert plan.hosts[name].runs == load_plan(two_hosts()).hosts[name].runs


def test_every_address_is_in_spf_where_it_is_ours_and_in_googles_rule(plan: Plan) -> None:
    addresses = ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "93.184.216.35")
    assert set(relay_rule(plan).ip_ranges) == {f"{a}/{128 if ':' in a else 32}" for a in addresses}
    helo = {rdata_text(record) for record in dns_records(plan) if record.name == "relay.example.com"}
    assert set(addresses) <= helo
    raw = two_hosts()
    raw["relay"]["upstream"] = {"preset": "custom", "host": "smtp.provider.example", "auth": "none"}
    del raw["relay_rule"]
    texts = [rdata_text(record) for record in dns_records(load_plan(raw)) if record.name == "example.org"]
    [spf] = [text for text in texts if "v=spf1" in text]
    for address in addresses:
        assert f":{address}" in spf


def test_one_name_has_the_address_of_every_host_and_follows_the_relay(plan: Plan) -> None:
    clients = [record for record in dns_records(plan) if record.name == CLIENTS]
    assert {rdata_text(record) for record in clients} == {"10.20.0.5", "10.20.0.6"}
    assert plan.dns.clients == frozenset(clients)
    assert (plan.relay.smtp_host, plan.relay.smtp_hosts) == (CLIENTS, ("10.20.0.5", "10.20.0.6"))


def test_on_a_server_of_ours_the_name_is_held_until_the_relay_is_ready() -> None:
    raw = two_hosts()
    server = {"host": "relay2", "nameservers": ["ns1.example.com"], "hostmaster": "hostmaster@example.com"}
    raw["dns"] = {"provider": "server", "server": server}
    dns = load_plan(raw).dns
    assert dns.names_run is not None
    assert dns.clients_run is not None
    assert dns.mail_run is not None
    held = [run.settings.get("hold", []) for run in (dns.names_run, dns.clients_run, dns.mail_run)]
    assert [[CLIENTS, "A"] in places for places in held] == [True, False, False]
    assert ["example.com", "MX"] in held[1]
    del raw["relay"]["client_name"]
    assert load_plan(raw).dns.clients_run is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"host": "relay1"}, ("127.0.0.1", ("127.0.0.1",))),
        (
            {"host": "relay1", "listen_addresses": ["127.0.0.1", "10.20.0.5"], "client_networks": ["10.20.0.0/16"]},
            ("10.20.0.5", ("10.20.0.5", "127.0.0.1")),
        ),
        (
            {"host": "relay1", "listen_addresses": ["0.0.0.0"], "client_networks": ["10.20.0.0/16"]},
            ("10.20.0.5", ("10.20.0.5",)),
        ),
        (
            {"hosts": ["relay1", "relay2"], "client_networks": ["10.20.0.0/16"]},
            ("10.20.0.5", ("10.20.0.5", "10.20.0.6")),
        ),
        (
            {"hosts": ["relay1", "relay2"], "listen_addresses": ["0.0.0.0"], "client_networks": ["10.20.0.0/16"]},
            ("10.20.0.5", ("10.20.0.5", "10.20.0.6")),
        ),
        ({"hosts": ["relay1", "relay2"], "listen_addresses": ["127.0.0.1"]}, ("127.0.0.1", ("127.0.0.1",))),
    ],
    ids=["one", "one with a network", "one on every address", "two", "two on every address", "two on loopback"],
)
def test_applications_are_told_where_to_connect(changes: Raw, expected: tuple[str, tuple[str, ...]]) -> None:
    raw = two_hosts()
    for key in ("hosts", "client_networks", "client_name"):
        del raw["relay"][key]
    raw["relay"] |= changes
    plan = load_plan(raw)
    assert (plan.relay.smtp_host, plan.relay.smtp_hosts) == expected


def test_hosts_prove_themselves_and_one_host_only_where_asked() -> None:
    several = load_plan(two_hosts()).relay.runs
    for run in several:
        proof = run.settings["proof"]
        assert (proof["helo"], proof["sender"], proof["recipient"], proof["on_failure"]) == (
            PROOF_HELO, "postmaster@example.com", "abuse@example.com", "fail",
        )  # fmt: skip
        assert ["address_verify_sender", "postmaster@example.com"] in run.settings["main_cf"]
        assert run.timeout_seconds == 1800 + 120
    [alone] = load_plan(example()).relay.runs
    assert "proof" not in alone.settings
    assert not [name for name, _ in alone.settings["main_cf"] if name.startswith("address_verify")]
    raw = example()
    raw["relay"]["proof"] = {"on_failure": "warn", "wait_minutes": 0, "recipient": "ops@example.org"}
    proof = load_plan(raw).relay.runs[0].settings["proof"]
    assert (proof["on_failure"], proof["wait_seconds"], proof["recipient"]) == ("warn", 0, "ops@example.org")


def test_with_the_proof_client_and_sender_are_asked_for_at_data_too(plan: Plan) -> None:
    """Postfix exempts the proof's sender, as a recipient, from every list before."""
    parameters = main_cf(plan.relay.definition)
    assert parameters["smtpd_data_restrictions"] == ("reject_unauth_pipelining", "permit_mynetworks", "reject")
    assert "reject" in str(parameters["smtpd_end_of_data_restrictions"])
    raw = two_hosts()
    certificate = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"}
    raw["relay"]["submission"] = SUBMISSION | {"certificate": certificate}
    services = master_cf(load_plan(raw).relay.definition)
    logins = [service for service in services if service.name.endswith((":587", ":465"))]
    assert len(logins) == 2
    for service in logins:
        assert service.options["smtpd_data_restrictions"] == (
            "reject_unauth_pipelining", "permit_sasl_authenticated", "permit_mynetworks", "reject",
        )  # fmt: skip
    assert main_cf(relay_definition(load_plan(example()).settings))["smtpd_data_restrictions"] == (
        "reject_unauth_pipelining",
    )


def test_the_relay_rules_probe_sender_is_the_proofs_too() -> None:
    raw = two_hosts()
    raw["relay_rule"]["probe"]["sender"] = "relay@example.org"
    proof = load_plan(raw).relay.runs[0].settings["proof"]
    assert (proof["sender"], proof["recipient"]) == ("relay@example.org", "abuse@example.org")


def test_every_host_is_asked_for_its_own_port_and_opens_it(plan: Plan) -> None:
    for name, address in (("relay1", "10.20.0.5"), ("relay2", "10.20.0.6")):
        ports = [(port["address"], port["port"]) for port in preflight_settings(plan, name)["ports"]]
        assert ports == [("127.0.0.1", 25), (address, 25)]
    firewall = firewall_settings(plan.settings, "relay2")
    assert firewall is not None
    assert [(opening["port"], opening["sources"]) for opening in firewall["allow"]] == [(25, ["10.20.0.0/16"])]


def test_postal_on_one_of_the_hosts_uses_the_relay_beside_it() -> None:
    plan = load_plan(two_hosts(postal_example))
    first, second = (relay_definition(plan.settings, name) for name in ("relay1", "relay2"))
    assert first.listen_addresses == ("127.0.0.1", "10.20.0.5", "172.29.25.1")
    assert second.listen_addresses == ("127.0.0.1", "10.20.0.6")
    assert first.listen_port == second.listen_port == 2525, "one port for all"
    assert (first.bounce_host, second.bounce_host) == ("127.0.0.2", "mx.example.com")
    assert (first.after_unit, second.after_unit) == ("mailstack-network.service", None)
    assert "172.29.25.0/24" in first.client_networks
    assert "172.29.25.0/24" not in second.client_networks
    assert plan.relay.smtp_hosts == ("10.20.0.5", "10.20.0.6")
    assert plan.postal is not None
    assert plan.postal.definition.relays[0].name == "relay-internal.example.com"


def test_postal_elsewhere_uses_the_name_of_all_hosts() -> None:
    raw = two_hosts(postal_example)
    raw["hosts"]["mail1"] = {"address": "mail1.example.com", "host_key": HOST_KEY, "public_ipv4": "93.184.216.40"}
    raw["hosts"]["mail1"]["private_address"] = "10.20.0.9"
    raw["postal"]["host"] = raw["caddy"]["host"] = "mail1"
    plan = load_plan(raw)
    assert plan.postal is not None
    assert plan.postal.definition.relays[0].name == CLIENTS
    del raw["relay"]["client_name"]
    assert "Postal on mail1 finds the relay by a name" in problems(raw)["relay.client_name"]


def test_going_on_without_the_proof_is_reported_by_every_update() -> None:
    raw = two_hosts()
    assert not [warning for warning in load_plan(raw).warnings if "proof" in warning]
    raw["relay"]["proof"] = {"on_failure": "warn"}
    assert [warning for warning in load_plan(raw).warnings if warning.startswith("relay.proof.on_failure is warn")]


@pytest.mark.parametrize("way", ["to several", "to one"])
def test_the_step_between_one_host_and_several_keeps_the_resource_of_the_same_host(way: str) -> None:
    several, alone = load_plan(two_hosts()), load_plan(example())
    if way == "to several":
        placed = {"relay-postfix": "relay2", "relay-rule-probe": "relay2"}
        runs = several.continued(placed, {}).relay.runs
        assert [run.formerly for run in runs] == [(), ("relay-postfix",)], "of the host that had it, not the first"
        assert several.continued({"relay-postfix": "gone"}, {}).relay == several.relay
    else:
        placed = {"relay-postfix-relay1": "relay1", "relay-postfix-relay2": "relay2"}
        [run] = alone.continued(placed, {}).relay.runs
        assert run.formerly == ("relay-postfix-relay1",)


def with_relay(**changes: Any) -> Raw:
    raw = two_hosts()
    raw["relay"] |= changes
    return raw


SUBMISSION = {"listen_addresses": ["0.0.0.0"], "users": [{"name": "printer2", "password": "p" * 12}]}
BAD: list[tuple[str, Raw, str, str]] = [
    ("relay.hosts", with_relay(host="relay1"), "cannot stand beside relay.host", "keep one"),
    ("relay.hosts", with_relay(hosts=["relay1", "relay1"]), "listed twice", "remove one"),
    ("relay.hosts[1]", with_relay(hosts=["relay1", "relay9"]), "must name one of hosts", "did you mean relay"),
    ("relay.listen_addresses", with_relay(listen_addresses=["10.20.0.5"]), "address of one host", "0.0.0.0"),
    ("relay.client_networks", with_relay(client_networks=[]), "when the relay listens on 10.20.0.5", "list"),
    ("relay.client_name", with_relay(client_name="example.com"), "below one of domains", "smtp.example.com"),
    ("relay.client_name", with_relay(client_name="smtp.elsewhere.net"), "below one of domains", "smtp.example.com"),
    ("relay.client_name", with_relay(client_name="relay.example.com"), "is relay.hostname already", "of its own"),
    ("relay.client_name", with_relay(listen_addresses=["127.0.0.1"], client_networks=[]), "loopback only", "remove it"),
    ("relay.submission.certificate", with_relay(submission=SUBMISSION), "no Caddy has a certificate", "on each host"),
    (
        "relay.submission.listen_addresses",
        with_relay(submission={**SUBMISSION, "listen_addresses": ["93.184.216.34"]}),
        "address of one host",
        "use 0.0.0.0",
    ),
    ("relay.proof.sender", with_relay(proof={"sender": "a@elsewhere.net"}), "one of the sender domains", "postmaster@"),
    (
        "relay.proof.recipient",
        with_relay(proof={"sender": "a@example.com", "recipient": "a@example.com"}),
        "another address than the sender",
        "leave it out",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("field", "raw", "rule", "fix"), BAD, ids=[f"{row[0]} {row[2]}" for row in BAD])
def test_what_cannot_be_is_refused_with_its_fix(field: str, raw: Raw, rule: str, fix: str) -> None:
    found = problems(raw)
    assert field in found, found
    assert rule in found[field]
    assert fix in found[field].partition(" | ")[2]


def test_hosts_need_addresses_of_their_own() -> None:
    raw = two_hosts()
    raw["hosts"]["relay2"]["private_address"] = "10.20.0.5"
    assert "is the address of relay1 too" in problems(raw)["hosts.relay2.private_address"]
    raw = two_hosts()
    del raw["hosts"]["relay2"]["private_address"], raw["hosts"]["relay2"]["public_ipv4"]
    raw["relay"]["egress_addresses"] = ["93.184.216.34", "93.184.216.35"]
    assert "own address" in problems(raw)["hosts.relay2.private_address"]


def test_several_hosts_are_for_virtual_machines() -> None:
    raw = two_hosts(postal_example)
    raw["relay"]["placement"] = "none"
    raw["postal"]["sending"] = {"path": "direct"}
    found = problems(raw)
    assert "is for placement vm" in found["relay.hosts"]
    assert "is for placement vm" in found["relay.client_name"]


def test_a_caddy_on_one_of_the_hosts_has_no_certificate_for_the_others() -> None:
    raw = two_hosts(postal_example)
    raw["relay"]["submission"] = SUBMISSION
    assert "each host" in problems(raw)["relay.submission.certificate"]
    raw["relay"]["submission"] = SUBMISSION | {
        "certificate": {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"}
    }
    assert load_plan(raw).relay.after_caddy is False
    assert dkim_key() not in str(load_plan(raw).relay)
