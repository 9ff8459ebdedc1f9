"""What `mailstack diff` says could cost mail, and what restarts: each rule on the change it is there for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mailstack.diff.restarts import RESTART_PARAMETERS
from postfix_relay.planning import RESTART_PARAMETERS as OF_THE_ROLE
from tests.unit.diff_examples import Change, Raw, compared
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import HOST_KEY, dkim_key, example, postal_example

Base = Callable[[], Raw]


def server(raw: Raw) -> Raw:
    found: Raw = raw["postal"]["organizations"][0]["mail_servers"][0]
    return found


def pop(holder: Any, key: str | int) -> Any:
    return holder.pop(key)


def with_clients() -> Raw:
    raw = example()
    raw["relay"].update(listen_addresses=["127.0.0.1", "10.1.0.1"], client_networks=["10.1.0.0/24", "10.3.0.0/24"])
    return raw


def with_submission() -> Raw:
    raw = example()
    files = {"certificate_file": "/etc/ssl/relay.pem", "key_file": "/etc/ssl/relay.key"}
    users = [{"name": name, "password": f"{name}-password-1"} for name in ("printer", "crm")]
    raw["relay"]["submission"] = {"listen_addresses": ["93.184.216.34"], "certificate": files, "users": users}
    return raw


def with_fallback() -> Raw:
    raw = example()
    raw["relay"]["upstreams"] = {"other": {"preset": "custom", "host": "smtp.example.net", "port": 587, "auth": "none"}}
    raw["relay"]["fallback_upstream"] = "other"
    return raw


def allowing() -> Raw:
    raw = postal_example()
    raw["postal"]["removal"] = "allow"
    return raw


def at_home() -> Raw:
    raw = postal_example()
    raw["environment"] = "local"
    server(raw)["track_domains"] = []
    return raw


def with_firewall() -> Raw:
    raw = with_clients()
    raw["hosts"]["relay1"]["firewall"] = "ufw"
    return raw


def two_hosts() -> Raw:
    raw = example()
    raw["hosts"]["relay2"] = {**raw["hosts"]["relay1"], "address": "relay2.example.com", "public_ipv4": "93.184.216.36"}
    del raw["hosts"]["relay2"]["public_ipv6"]
    del raw["relay"]["host"]
    raw["relay"].update(hosts=["relay1", "relay2"], client_networks=["10.1.0.0/24"])
    return raw


def enforced() -> Raw:
    raw = postal_example()
    raw["caddy"]["mta_sts"] = [{"domain": "example.org", "mode": "enforce", "mx": ["mx.example.com"]}]
    return raw


OTHER_KEY = HOST_KEY.replace("IJ+3yT5hZZz1", "IJ+3yT5hZZz2")
RISKS: list[tuple[str, str, Base, Change]] = [
    ("sender-domain-removed", "high", example, lambda raw: raw["relay"].update(sender_domains=["example.com"])),
    ("client-network-removed", "high", with_clients, lambda raw: raw["relay"]["client_networks"].pop()),
    ("queue-lifetime-lowered", "high", example, lambda raw: raw["relay"].update(queue_lifetime_hours=24)),
    ("bounce-lifetime-lowered", "high", example, lambda raw: raw["relay"].update(queue_lifetime_hours=12)),
    ("message-size-lowered", "medium", example, lambda raw: raw["relay"].update(message_size_mb=5)),
    ("strict-envelopes", "medium", example, lambda raw: raw["relay"].update(strict_envelopes=True)),
    ("submission-user-removed", "high", with_submission, lambda raw: raw["relay"]["submission"]["users"].pop()),
    ("submission-closed", "medium", with_submission, lambda raw: raw["relay"]["submission"].update(tls_port=None)),
    (
        "fallback-removed",
        "medium",
        with_fallback,
        lambda raw: (pop(raw["relay"], "fallback_upstream"), pop(raw["relay"], "upstreams")),
    ),
    ("extra-parameters", "low", example, lambda raw: raw["relay"].update(extra_parameters={"soft_bounce": True})),
    ("upstream-changed", "medium", example, lambda raw: raw["relay"]["upstream"].update(port=465)),
    ("hostname-changed", "medium", example, lambda raw: raw["relay"].update(hostname="mail.example.com")),
    ("relay-address-changed", "medium", with_clients, lambda raw: raw["relay"].update(listen_port=2525)),
    (
        "placement-changed",
        "high",
        example,
        lambda raw: raw["relay"].update(placement="docker", docker={"ssh_key": "agent"}),
    ),
    ("relay-host-removed", "medium", two_hosts, lambda raw: raw["relay"].update(hosts=["relay1"])),
    ("queue-volume-changed", "high", docker_example, lambda raw: raw["relay"]["docker"].update(queue_volume="other")),
    ("stateful-replaced", "medium", docker_example, lambda raw: raw["relay"]["docker"].update(queue_volume="other")),
    ("queue-not-kept", "low", docker_example, lambda raw: raw["relay"]["docker"].update(keep_queue=False)),
    ("grace-lowered", "low", docker_example, lambda raw: raw["relay"]["docker"].update(stop_seconds=20)),
    ("queue-not-durable", "high", on_cluster, lambda raw: raw["relay"]["kubernetes"].update(ephemeral_queue=True)),
    ("stateful-set-replaced", "high", on_cluster, lambda raw: raw["relay"]["kubernetes"].update(queue={"size": "9Gi"})),
    ("relay-moved-on-cluster", "high", on_cluster, lambda raw: raw["relay"]["kubernetes"].update(name="other")),
    ("pods-removed", "medium", on_cluster, lambda raw: raw["relay"]["kubernetes"].update(replicas=1)),
    ("grace-lowered", "low", on_cluster, lambda raw: raw["relay"]["kubernetes"].update(grace_seconds=30)),
    (
        "mx-removed",
        "high",
        postal_example,
        lambda raw: (raw["domains"][1].update(mx=[]), server(raw).update(routes=[])),
    ),
    (
        "mx-changed",
        "high",
        example,
        lambda raw: raw["domains"][0].update(mx=[{"preference": 5, "exchange": "m.example.net"}]),
    ),
    ("spf-sender-removed", "high", example, lambda raw: raw["domains"][0].update(spf={"all": "-all"})),
    ("spf-stricter", "medium", example, lambda raw: raw["domains"][1].update(spf={"all": "-all"})),
    ("dkim-key-removed", "medium", example, lambda raw: raw["domains"][0]["dkim"].pop()),
    (
        "dkim-key-removed",
        "high",
        postal_example,
        lambda raw: raw["domains"][0]["dkim"][1].update(selector="postal-202612"),
    ),
    (
        "dkim-key-replaced",
        "high",
        example,
        lambda raw: raw["domains"][0]["dkim"][1].update(private_key=f"{dkim_key()} "),
    ),
    ("dmarc-stricter", "high", example, lambda raw: raw["domains"][1].update(dmarc={"policy": "reject"})),
    (
        "dmarc-alignment-stricter",
        "medium",
        example,
        lambda raw: raw["domains"][0]["dmarc"].update(spf_alignment="strict"),
    ),
    ("mta-sts-removed", "high", enforced, lambda raw: raw["caddy"].update(mta_sts=[])),
    ("address-changed", "medium", example, lambda raw: raw["hosts"]["relay1"].update(public_ipv4="93.184.216.99")),
    ("alias-changed", "medium", postal_example, lambda raw: server(raw).update(track_domains=[])),
    ("dns-provider-changed", "high", example, lambda raw: raw.update(dns={"provider": "none"})),
    (
        "zone-removed",
        "high",
        example,
        lambda raw: (raw["domains"].pop(), pop(raw["dns"]["cloudflare"]["zones"], "example.org")),
    ),
    ("postal-removed", "high", postal_example, lambda raw: (pop(raw, "postal"), pop(raw, "caddy"))),
    ("postal-upgrade", "medium", postal_example, lambda raw: raw["postal"].update(image={"tag": "3.3.8"})),
    (
        "postal-domain-removed",
        "high",
        allowing,
        lambda raw: (server(raw)["domains"].pop(), server(raw).update(routes=[])),
    ),
    ("credential-removed", "high", allowing, lambda raw: server(raw)["credentials"].pop()),
    ("credential-removed", "medium", postal_example, lambda raw: server(raw)["credentials"].pop()),
    ("credential-held", "high", postal_example, lambda raw: server(raw)["credentials"][0].update(hold=True)),
    ("mail-server-held", "high", postal_example, lambda raw: server(raw).update(mode="Development")),
    ("mail-server-removed", "high", allowing, lambda raw: raw["postal"]["organizations"][0].update(mail_servers=[])),
    ("send-limit-lowered", "medium", postal_example, lambda raw: server(raw).update(send_limit=10)),
    ("route-removed", "high", postal_example, lambda raw: server(raw).update(routes=[])),
    ("retention-lowered", "medium", postal_example, lambda raw: raw["postal"].update(backup={"keep": 3})),
    ("backup-off", "medium", postal_example, lambda raw: raw["postal"].update(backup={"schedule": None})),
    ("workers-lowered", "low", postal_example, lambda raw: raw["postal"].update(worker_threads=1)),
    ("removal-allowed", "medium", postal_example, lambda raw: raw["postal"].update(removal="allow")),
    ("database-moved", "high", postal_example, lambda raw: raw["postal"]["database"].update(name="other")),
    ("postal-stopped", "high", postal_on_cluster, lambda raw: raw["postal"]["kubernetes"].update(stopped=True)),
    (
        "postal-name-changed",
        "medium",
        postal_example,
        lambda raw: raw["postal"].update(web_hostname="post.example.com"),
    ),
    (
        "host-removed",
        "high",
        two_hosts,
        lambda raw: (raw["relay"].update(hosts=["relay1"]), pop(raw["hosts"], "relay2")),
    ),
    ("host-address-changed", "high", example, lambda raw: raw["hosts"]["relay1"].update(address="new.example.com")),
    ("host-key-changed", "medium", example, lambda raw: raw["hosts"]["relay1"].update(host_key=OTHER_KEY)),
    ("firewall-on", "medium", with_clients, lambda raw: raw["hosts"]["relay1"].update(firewall="ufw")),
    ("firewall-off", "low", with_firewall, lambda raw: raw["hosts"]["relay1"].update(firewall="none")),
    ("new-warning", "low", example, lambda raw: raw["relay"]["upstream"].update(tls="encrypt")),
    ("upstream-tls-weakened", "medium", example, lambda raw: raw["relay"]["upstream"].update(tls="encrypt")),
    ("port-closed", "medium", with_firewall, lambda raw: raw["relay"].update(client_networks=["10.1.0.0/28"])),
    ("certificates-removed", "high", at_home, lambda raw: (pop(raw, "caddy"), raw["postal"].update(smtp_tls=False))),
    (
        "certificates-anew",
        "medium",
        postal_example,
        lambda raw: raw["caddy"]["acme"].update(directory="https://acme.example.net/d"),
    ),
    (
        "workspace-rule-changed",
        "high",
        example,
        lambda raw: raw["relay_rule"].update(allowed_senders="registered-users"),
    ),
]
# What `bounce-lifetime-lowered` is about is said by the queue's own lifetime, where that is lowered too.
SAID_ALREADY = {"bounce-lifetime-lowered": "queue-lifetime-lowered"}


@pytest.mark.parametrize(
    ("rule", "level", "base", "change"), RISKS, ids=[f"{row[0]} {row[1]} {row[2].__name__}" for row in RISKS]
)
def test_a_change_that_can_cost_mail_is_told_with_its_level(
    rule: str, level: str, base: Base, change: Change, tmp_path: Path
) -> None:
    comparison = compared(tmp_path, base, change)
    rule = SAID_ALREADY.get(rule, rule)
    found = {risk.rule: risk for risk in comparison.risks}
    assert rule in found, sorted(found)
    risk = found[rule]
    assert risk.level == level
    assert all((risk.what, risk.reason, risk.advice))
    assert [one.level for one in comparison.risks] == sorted(
        (one.level for one in comparison.risks), key=("high", "medium", "low").index
    )


HARMLESS: list[tuple[Base, Change]] = [
    (example, lambda raw: raw["relay"].update(concurrency=20)),
    (example, lambda raw: raw["relay"].update(queue_lifetime_hours=96)),
    (example, lambda raw: raw["dns"].update(ttl=600)),
    (example, lambda raw: raw["domains"][0]["dmarc"].update(policy="quarantine")),
    (example, lambda raw: raw["domains"][0]["dkim"].append({"selector": "next", "private_key": f"{dkim_key()} "})),
    (with_clients, lambda raw: raw["relay"]["client_networks"].append("10.2.0.0/24")),
    (with_firewall, lambda raw: raw["relay"].update(client_networks=["10.0.0.0/8"])),
    (postal_example, lambda raw: server(raw)["credentials"].append({"name": "x", "type": "API", "key": "K" * 24})),
    (postal_example, lambda raw: raw["postal"].update(workers=3)),
    (on_cluster, lambda raw: raw["relay"]["kubernetes"].update(replicas=5)),
    (docker_example, lambda raw: raw["relay"]["docker"].update(stop_seconds=60)),
]


@pytest.mark.parametrize("number", range(len(HARMLESS)))
def test_a_change_that_only_adds_or_loosens_risks_nothing(number: int, tmp_path: Path) -> None:
    base, change = HARMLESS[number]
    comparison = compared(tmp_path, base, change)
    assert comparison.changes
    assert comparison.risks == ()


RESTARTS: list[tuple[Base, Change, set[tuple[str, str]]]] = [
    (example, lambda raw: raw["relay"].update(concurrency=20), {("Postfix", "reload")}),
    (with_clients, lambda raw: raw["relay"]["listen_addresses"].append("10.0.0.1"), {("Postfix", "restart")}),
    (example, lambda raw: raw["relay"].update(on_destroy="keep"), set()),
    (example, lambda raw: raw["hosts"]["relay1"].update(port=2222), set()),
    (
        with_submission,
        lambda raw: raw["relay"]["submission"]["users"].pop(),
        {("login service of submission", "restart")},
    ),
    (postal_example, lambda raw: raw["postal"].update(workers=2), {("Postal (worker)", "recreate")}),
    (
        postal_example,
        lambda raw: raw["postal"].update(image={"tag": "3.3.8"}),
        {("Postal (web, smtp, worker)", "recreate")},
    ),
    (postal_example, lambda raw: server(raw)["credentials"].pop(), {("Postal's provisioning", "run")}),
    (postal_example, lambda raw: raw["postal"]["database"].update(memory_mb=512), {("MariaDB", "recreate")}),
    (postal_example, lambda raw: raw["caddy"].update(extra_names=["w.example.com"]), {("Caddy", "reload")}),
    (docker_example, lambda raw: raw["relay"].update(concurrency=4), {("container postfix-relay", "recreate")}),
    (on_cluster, lambda raw: raw["relay"]["kubernetes"].update(replicas=5), set()),
]


@pytest.mark.parametrize("number", range(len(RESTARTS)))
def test_what_restarts_is_told_and_nothing_else(number: int, tmp_path: Path) -> None:
    base, change, expected = RESTARTS[number]
    found = {(one.what, one.how) for one in compared(tmp_path, base, change).restarts}
    assert expected <= found
    # Whoever asks Google, or looks at ports, does so beside.
    assert {one for one in found - expected if one[1] not in {"ask", "reload"}} == set()


def test_pods_roll_and_a_job_tries_the_configuration_first(tmp_path: Path) -> None:
    comparison = compared(tmp_path, on_cluster, lambda raw: raw["relay"].update(concurrency=4))
    assert [(one.what.partition(" ")[0], one.how) for one in comparison.restarts] == [
        ("Job", "run"),
        ("StatefulSet", "roll"),
    ]


def test_postfix_restarts_for_the_parameters_that_the_role_restarts_it_for() -> None:
    assert RESTART_PARAMETERS == OF_THE_ROLE
