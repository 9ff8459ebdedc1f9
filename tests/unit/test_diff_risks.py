"""What `mailstack diff` says could cost mail: each rule on the change it is there for."""

from collections.abc import Callable
from pathlib import Path

import pytest

from mailstack.diff.comparison import Comparison
from mailstack.diff.risks import Risk
from tests.unit.cluster_examples import cluster_example
from tests.unit.diff_bases import (
    allowing,
    another_service,
    at_home,
    enforced,
    in_testing,
    logging_in,
    not_in_docker,
    not_kept,
    other_exchanger,
    pool,
    pooled,
    pop,
    published,
    server,
    two_hosts,
    unlooked,
    unpublished,
    with_another_service,
    with_application,
    with_clients,
    with_fallback,
    with_firewall,
    with_submission,
    with_tlsa,
)
from tests.unit.diff_examples import Change, Raw, compared
from tests.unit.docker_examples import docker_example
from tests.unit.kubernetes_examples import on_cluster
from tests.unit.postal_cluster_examples import postal_on_cluster
from tests.unit.stack_examples import HOST_KEY, dkim_key, example, postal_example

pytestmark = pytest.mark.slow

Base = Callable[[], Raw]

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
    (
        "fallback-changed",
        "medium",
        with_fallback,
        lambda raw: raw["relay"]["upstreams"]["other"].update(host="smtp2.example.net"),
    ),
    ("upstream-route-changed", "medium", example, another_service),
    (
        "upstream-route-changed",
        "medium",
        with_another_service,
        lambda raw: raw["relay"]["upstreams"]["mailgun"].update(username="other@example.org"),
    ),
    (
        "upstream-tls-weakened",
        "medium",
        with_another_service,
        lambda raw: raw["relay"]["upstreams"]["mailgun"].update(tls="encrypt"),
    ),
    ("environment-weaker", "medium", example, lambda raw: raw.update(environment="staging")),
    ("tlsa-added", "medium", unlooked, lambda raw: raw.update(with_tlsa())),
    (
        "tlsa-changed",
        "high",
        with_tlsa,
        lambda raw: raw["dns"]["tlsa"][0].update(values=[f"3 1 1 {'0b' * 32}"]),
    ),
    (
        "namespace-deleted",
        "high",
        postal_on_cluster,
        lambda raw: raw["postal"]["kubernetes"].update(create_namespace=False),
    ),
    (
        "client-labels-changed",
        "medium",
        on_cluster,
        lambda raw: raw["relay"]["kubernetes"].update(client_namespace_labels={"mail": "yes"}),
    ),
    (
        "application-secret-removed",
        "medium",
        with_application,
        lambda raw: raw["relay"]["kubernetes"]["application_secrets"][0].update(namespace="crm"),
    ),
    ("relay-address-changed", "medium", published, lambda raw: raw["relay"]["docker"]["publish"].update(port=26)),
    ("cluster-fixed", "medium", cluster_example, lambda raw: raw["cluster"].update(pod_network="10.99.0.0/16")),
    (
        "removal-allowed",
        "medium",
        cluster_example,
        lambda raw: raw["cluster"].update(remove_volumes=True, on_destroy="remove"),
    ),
    ("sending-address-changed", "medium", pooled, lambda raw: pool(raw).update(hostname="out.example.com")),
    ("database-upgrade", "medium", postal_example, lambda raw: raw["postal"]["database"].update(tag="11.4")),
    ("database-downgrade", "high", postal_example, lambda raw: raw["postal"]["database"].update(tag="10.6")),
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
    ("queue-volume-deleted", "high", not_kept, lambda raw: raw["relay"]["docker"].update(queue_volume="other")),
    ("queue-volume-deleted", "high", not_kept, not_in_docker),
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
    ("dns-provider-new", "medium", unpublished, lambda raw: raw.update(dns=example()["dns"])),
    (
        "zone-removed",
        "high",
        example,
        lambda raw: (raw["domains"].pop(), pop(raw["dns"]["cloudflare"]["zones"], "example.org")),
    ),
    ("postal-removed", "high", postal_example, lambda raw: (pop(raw, "postal"), pop(raw, "caddy"))),
    (
        "submission-password-changed",
        "high",
        with_submission,
        lambda raw: raw["relay"]["submission"]["users"][0].update(password="another-password-1"),
    ),
    ("credential-key-changed", "high", postal_example, lambda raw: server(raw)["credentials"][0].update(key="Z" * 24)),
    (
        "upstream-password-changed",
        "medium",
        logging_in,
        lambda raw: raw["relay"]["upstream"].update(password="second-password-2"),
    ),
    (
        "postal-moved-on-cluster",
        "medium",
        postal_on_cluster,
        lambda raw: raw["postal"]["kubernetes"].update(namespace="other"),
    ),
    ("sending-path-changed", "medium", postal_example, lambda raw: raw["postal"].update(sending={"path": "direct"})),
    ("postal-smtp-tls-off", "high", at_home, lambda raw: raw["postal"].update(smtp_tls=False)),
    ("workspace-rule-removed", "low", example, lambda raw: pop(raw, "relay_rule")),
    ("dmarc-off", "low", example, lambda raw: raw["domains"][0]["dmarc"].update(policy="none")),
    ("mta-sts-enforced", "medium", in_testing, lambda raw: raw["caddy"]["mta_sts"][0].update(mode="enforce")),
    ("mta-sts-mx-changed", "high", enforced, other_exchanger),
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
    ("workspace-rule-changed", "high", example, lambda raw: raw["domains"].append({"name": "new.example.com"})),
    ("workspace-rule-narrower", "low", example, lambda raw: raw["domains"].pop()),
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


def by_rule(comparison: Comparison) -> dict[str, Risk]:
    return {risk.rule: risk for risk in comparison.risks}


def test_what_becomes_of_the_queue_is_said_as_it_is_when_the_relay_moves(tmp_path: Path) -> None:
    def moved(base: Base) -> str:
        return by_rule(compared(tmp_path, base, not_in_docker))["placement-changed"].reason

    assert "stays in volume mailstack-queue" in moved(docker_example)
    assert "is deleted with the mail in it" in moved(not_kept)
    to_docker: Change = lambda raw: raw["relay"].update(placement="docker", docker={"ssh_key": "agent"})  # noqa: E731
    risk = by_rule(compared(tmp_path, example, to_docker))["placement-changed"]
    assert "refused while mail is queued" in risk.reason
    assert "update again" in risk.advice


def test_a_volume_that_is_kept_is_no_queue_that_is_deleted(tmp_path: Path) -> None:
    comparison = compared(tmp_path, docker_example, not_in_docker)
    assert "queue-volume-deleted" not in by_rule(comparison)
    assert comparison.operations["relay-queue"].stays
    assert not compared(tmp_path, not_kept, not_in_docker).operations["relay-queue"].stays


def test_a_role_that_leaves_its_host_as_it_is_is_not_said_to_be_taken_back(tmp_path: Path) -> None:
    found = compared(tmp_path, at_home, lambda raw: (pop(raw, "caddy"), raw["postal"].update(smtp_tls=False)))
    assert found.operations["caddy-caddy"].stays, "caddy.on_destroy is keep"
    kept = compared(
        tmp_path, two_hosts, lambda raw: (raw["relay"].update(hosts=["relay1"]), pop(raw["hosts"], "relay2"))
    )
    assert kept.operations["relay2-preflight"].stays, "it only looked"
    [relay] = [
        one for one in kept.operations.values() if one.resource.what == "role postfix_relay" and one.word == "delete"
    ]
    assert not relay.stays


def test_a_key_that_was_only_encrypted_again_is_told_as_perhaps_another_one(tmp_path: Path) -> None:
    risks = by_rule(compared(tmp_path, postal_example, lambda _raw: None, times=1))
    assert not risks["credential-key-changed"].certain
    assert risks["credential-key-changed"].level == "high"


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
    (enforced, lambda raw: raw["caddy"]["mta_sts"][0].update(max_age=864000)),
    (with_tlsa, lambda raw: raw["dns"]["tlsa"][0]["values"].append(f"3 1 1 {'0b' * 32}")),
    (example, lambda raw: raw["relay"].update(from_email="shop@example.com")),
    (on_cluster, lambda raw: raw["relay"]["kubernetes"].update(replicas=5)),
    (docker_example, lambda raw: raw["relay"]["docker"].update(stop_seconds=60)),
    (on_cluster, lambda raw: raw["relay"]["kubernetes"].update(create_namespace=False)),
]


@pytest.mark.parametrize("number", range(len(HARMLESS)))
def test_a_change_that_only_adds_or_loosens_risks_nothing(number: int, tmp_path: Path) -> None:
    base, change = HARMLESS[number]
    comparison = compared(tmp_path, base, change)
    assert comparison.changes
    assert comparison.risks == ()
