"""What `mailstack diff` says could cost mail, where only looking closely tells it from what costs none."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from mailstack.diff.comparison import Comparison, compare
from mailstack.diff.declaration import read_declaration
from mailstack.dns.spf_lock import SPF_LOCK
from tests.unit.diff_bases import pooled, server, two_hosts, with_another_service
from tests.unit.diff_examples import Change, Raw, compared, write
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import CERTIFICATE, on_cluster
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import dkim_key, example, postal_example

pytestmark = pytest.mark.slow

Base = Callable[[], Raw]


def masquerading() -> Raw:
    raw = example()
    raw["relay"]["masquerade_domains"] = ["example.com"]
    return raw


def scaled() -> Raw:
    raw = on_cluster()
    raw["relay"]["kubernetes"]["autoscaling"] = {"min": 3, "max": 8}
    return raw


def fenced() -> Raw:
    raw = on_cluster()
    raw["relay"]["kubernetes"]["network_policies"] = {"upstream_networks": ["93.184.216.0/24", "93.184.218.0/24"]}
    return raw


def served() -> Raw:
    raw = example()
    raw["hosts"]["ns1"] = {**raw["hosts"]["relay1"], "address": "ns1.example.com", "public_ipv4": "93.184.216.40"}
    del raw["hosts"]["ns1"]["public_ipv6"]
    names = ["ns1.example.com", "ns2.example.net"]
    raw["dns"] = {
        "provider": "server",
        "server": {"host": "ns1", "nameservers": names, "hostmaster": "hostmaster@example.com"},
    }
    return raw


def two_pools() -> Raw:
    raw = pooled()
    raw["postal"]["ip_pools"].append(
        {"name": "second", "addresses": [{"ipv4": "93.184.216.35", "hostname": "mx2.example.com"}]}
    )
    host = raw["hosts"][raw["postal"]["host"]]
    raw["relay"]["egress_addresses"] = [host["public_ipv4"], host["public_ipv6"], "93.184.216.35"]
    return raw


def forwarding() -> Raw:
    raw = postal_example()
    server(raw)["routes"].append({"name": "help", "domain": "example.org", "address": "help@example.com"})
    server(raw)["webhooks"] = [{"name": "bounces", "url": "https://hooks.example.com/bounces"}]
    return raw


def patient() -> Raw:
    raw = postal_example()
    raw["postal"]["config"] = {"postal": {"default_maximum_delivery_attempts": 30}}
    return raw


def copied() -> Raw:
    raw = postal_example()
    raw["postal"]["backup"] = {"hook": "/usr/local/bin/copy-elsewhere"}
    return raw


def listed_senders() -> Raw:
    raw = example()
    raw["domains"][0]["spf"]["mechanisms"] = ["ip4:93.184.218.0/24", "ip4:93.184.219.7"]
    return raw


def accept(raw: Raw) -> None:
    route = server(raw)["routes"][1]
    route["mode"] = "Accept"
    del route["address"]


def another_name(raw: Raw) -> None:
    raw["hosts"]["mail"] = raw["hosts"].pop("relay1")
    for section in (raw[name] for name in ("relay", "postal", "caddy") if name in raw):
        section["host"] = "mail"


RISKS: list[tuple[str, str, Base, Change]] = [
    ("smtputf8-off", "high", example, lambda raw: raw["relay"]["upstream"].update(smtputf8=False)),
    ("masquerading-removed", "high", masquerading, lambda raw: raw["relay"].pop("masquerade_domains")),
    (
        "upstream-authority-changed",
        "medium",
        with_another_service,
        lambda raw: raw["relay"]["upstreams"]["mailgun"].update(ca_file="/etc/ssl/other.pem"),
    ),
    (
        "upstream-authority-changed",
        "medium",
        on_cluster,
        lambda raw: raw["relay"]["kubernetes"].update(authorities=CERTIFICATE),
    ),
    (
        "network-closed",
        "medium",
        fenced,
        lambda raw: raw["relay"]["kubernetes"]["network_policies"]["upstream_networks"].pop(),
    ),
    (
        "network-closed",
        "medium",
        on_cluster,
        lambda raw: raw["relay"]["kubernetes"].update(network_policies={"upstream_networks": ["93.184.216.0/24"]}),
    ),
    (
        "network-closed",
        "medium",
        postal_on_cluster,
        lambda raw: raw["postal"]["kubernetes"].update(network_policies={"database_networks": ["10.99.0.0/16"]}),
    ),
    (
        "load-balancer-replaced",
        "medium",
        postal_on_cluster,
        lambda raw: raw["postal"]["kubernetes"].update(load_balancer_class="example.com/internal"),
    ),
    ("pods-removed", "medium", scaled, lambda raw: raw["relay"]["kubernetes"].pop("autoscaling")),
    ("pods-removed", "medium", scaled, lambda raw: raw["relay"]["kubernetes"]["autoscaling"].update(max=3)),
    ("restart-weaker", "medium", docker_example, lambda raw: raw["relay"]["docker"].update(restart="no")),
    (
        "route-endpoint-changed",
        "medium",
        forwarding,
        lambda raw: server(raw)["routes"][1].update(address="desk@example.com"),
    ),
    ("route-refuses", "high", forwarding, accept),
    ("route-spam-stricter", "medium", forwarding, lambda raw: server(raw)["routes"][1].update(spam_mode="Fail")),
    ("webhook-removed", "low", forwarding, lambda raw: server(raw).update(webhooks=[])),
    ("sending-address-changed", "medium", two_pools, lambda raw: server(raw).update(ip_pool="second")),
    (
        "sending-relay-changed",
        "medium",
        postal_example,
        lambda raw: raw["postal"].update(sending={"relay_name": "relay.example.com"}),
    ),
    (
        "delivery-given-up-sooner",
        "high",
        postal_example,
        lambda raw: raw["postal"].update(config={"postal": {"default_maximum_hold_expiry_days": 1}}),
    ),
    ("delivery-given-up-sooner", "high", patient, lambda raw: raw["postal"].update(config={})),
    ("backup-not-copied", "medium", copied, lambda raw: raw["postal"].update(backup={})),
    (
        "dkim-signing-too-soon",
        "high",
        postal_example,
        lambda raw: raw["domains"][0]["dkim"].append({"selector": "postal-202612", "private_key": f"{dkim_key()} "}),
    ),
    ("zone-moved", "high", example, lambda raw: raw["dns"]["cloudflare"]["zones"].update({"example.com": "a" * 32})),
    ("dns-server-closed", "high", served, lambda raw: raw["dns"]["server"].update(port=5353)),
    ("dns-server-closed", "medium", served, lambda raw: raw["dns"]["server"].update(listen_addresses=["127.0.0.1"])),
    ("nameserver-removed", "medium", served, lambda raw: raw["dns"]["server"]["nameservers"].pop()),
    (
        "spf-sender-removed",
        "high",
        listed_senders,
        lambda raw: raw["domains"][0]["spf"].update(mechanisms=["ip4:93.184.218.0/25", "ip4:93.184.219.7"]),
    ),
    ("host-renamed", "medium", example, another_name),
    ("workspace-rule-renamed", "low", example, lambda raw: raw["relay_rule"].update(name="another")),
]


@pytest.mark.parametrize(
    ("rule", "level", "base", "change"), RISKS, ids=[f"{row[0]} {row[1]} {row[2].__name__}" for row in RISKS]
)
def test_a_change_that_can_cost_mail_is_told_with_its_level(
    rule: str, level: str, base: Base, change: Change, tmp_path: Path
) -> None:
    found = {risk.rule: risk for risk in compared(tmp_path, base, change).risks}
    assert rule in found, sorted(found)
    assert found[rule].level == level
    assert all((found[rule].what, found[rule].reason, found[rule].advice))


def rules(comparison: Comparison) -> set[str]:
    assert comparison.different
    return {risk.rule for risk in comparison.risks}


def test_the_same_machine_below_another_name_loses_nothing_that_is_on_it(tmp_path: Path) -> None:
    found = rules(compared(tmp_path, postal_example, another_name))
    assert not found & {"host-removed", "relay-host-removed", "postal-moved", "database-moved", "certificates-anew"}
    [risk] = [one for one in compared(tmp_path, postal_example, another_name).risks if one.rule == "host-renamed"]
    assert risk.what == "host relay1 is called mail now, at the same address"
    assert "postfix_relay is taken back there, and set up again after that" in risk.reason


def test_another_order_of_hosts_changes_neither_the_workspace_rule_nor_an_address(tmp_path: Path) -> None:
    comparison = compared(tmp_path, two_hosts, lambda raw: raw["relay"].update(hosts=["relay2", "relay1"]))
    assert not rules(comparison) & {"workspace-rule-changed", "relay-address-changed"}


def test_a_name_for_applications_beside_the_addresses_takes_no_address_away(tmp_path: Path) -> None:
    comparison = compared(tmp_path, two_hosts, lambda raw: raw["relay"].update(client_name="smtp.example.com"))
    assert "relay-address-changed" not in rules(comparison)


def test_a_wider_network_in_spf_takes_no_sender_away(tmp_path: Path) -> None:
    wider: Change = lambda raw: raw["domains"][0]["spf"].update(mechanisms=["ip4:93.184.218.0/23"])  # noqa: E731
    assert rules(compared(tmp_path, listed_senders, wider)) == set()


def test_an_include_that_is_written_as_its_addresses_takes_no_sender_away(tmp_path: Path) -> None:
    (tmp_path / SPF_LOCK).write_text(
        json.dumps({"spf.example.net": {"seen": "2026-11-01", "networks": ["93.184.218.0/24"]}})
    )

    def base() -> Raw:
        raw = example()
        raw["domains"][0]["spf"]["flatten"] = ["spf.example.net"]
        return raw

    flat = compared(tmp_path, example, lambda raw: raw.update(base()))
    assert "ip4:93.184.218.0/24" in str(flat.changes[0].after)
    assert "spf-sender-removed" not in rules(flat)
    assert flat.after is not None
    path = write(tmp_path, example())
    again = compare(flat.after, read_declaration(path, where="working tree"))
    assert "spf-sender-removed" not in rules(again)


def test_networks_that_pods_may_reach_besides_close_nothing(tmp_path: Path) -> None:
    wider: Change = lambda raw: raw["relay"]["kubernetes"].update(network_policies={})  # noqa: E731
    assert rules(compared(tmp_path, fenced, wider)) == set()


def test_the_first_key_of_a_domain_that_postal_sends_for_signs_nothing_too_soon(tmp_path: Path) -> None:
    def base() -> Raw:
        raw = postal_example()
        server(raw)["domains"].remove("example.org")
        server(raw)["routes"] = []
        return raw

    found = rules(compared(tmp_path, base, lambda raw: server(raw)["domains"].append("example.org")))
    assert "dkim-signing-too-soon" not in found


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda raw: raw["dns"]["server"]["nameservers"].append("ns3.example.net"), "nameservers"),
        (lambda raw: raw["dns"]["server"].update(hostmaster="dns@example.com"), "hostmaster"),
        (
            lambda raw: raw["dns"].update(existing=[{"name": "www.example.com", "type": "A", "action": "keep"}]),
            "existing A www.example.com",
        ),
        (lambda raw: raw["dns"].update(signed_zones=["example.com"]), "dns/signed_zones"),
        (lambda raw: raw.update(verify={"after_up": "warn"}), "verify/after_up"),
    ],
)
def test_what_stands_beside_all_that_is_applied_is_told(change: Change, told: str, tmp_path: Path) -> None:
    comparison = compared(tmp_path, served, change)
    assert [one.label for one in comparison.changes] == [told]
