"""The container's metrics: they move with the mail, and asking for them changes nothing."""

import json
import re
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from rehearsal.ground import Service
from rehearsal.ground.docker import docker, docker_try
from tests.images.test_relay_image import VARIABLES, Site, clean, site
from tests.monitoring.promtool import promtool

__all__ = ["clean", "site"]  # fixtures: an upstream, an application, and a relay for each test

pytestmark = pytest.mark.hosts

# Runs beside the relay. Arguments: its address, path, method. Prints status, content type and body.
ASK = """
import http.client, sys
connection = http.client.HTTPConnection(sys.argv[1], 9154, timeout=20)
connection.request(sys.argv[3], sys.argv[2])
answer = connection.getresponse()
print(answer.status, answer.getheader("Content-Type"))
print(answer.read().decode(), end="")
"""


def ask(site: Site, relay: Service, path: str = "/metrics", method: str = "GET") -> tuple[str, str]:
    done = site.ground.exec(site.app, ["python3", "-c", ASK, relay.address, path, method])
    head, _, body = done.stdout.partition("\n")
    return head, body


def metrics(site: Site, relay: Service) -> dict[str, float]:
    head, body = ask(site, relay)
    assert head == "200 text/plain; version=0.0.4; charset=utf-8"
    return {
        sample.name + json.dumps(sample.labels, sort_keys=True): sample.value
        for family in text_string_to_metric_families(body)
        for sample in family.samples
    }


def value(site: Site, relay: Service, name: str, **labels: str) -> float:
    return metrics(site, relay)[name + json.dumps(labels, sort_keys=True)]


def wait_for(site: Site, relay: Service, wanted: float, name: str, **labels: str) -> None:
    deadline = time.monotonic() + 60
    while value(site, relay, name, **labels) != wanted:
        assert time.monotonic() < deadline, (name, labels, value(site, relay, name, **labels), site.log(relay)[-2000:])
        time.sleep(0.5)


@pytest.fixture
def relay(site: Site) -> Service:
    return site.ready(site.relay(VARIABLES))


def test_mail_delivered_moves_what_counts_deliveries_connections_and_tls(site: Site, relay: Service) -> None:
    before = metrics(site, relay)
    assert before['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 1
    assert before["postfix_smtpd_connects_total{}"] == 0, "the probe does not count"
    assert site.send(relay, count=3) == ["m0", "m1", "m2"], site.refusals
    wait_for(site, relay, 3, "mailstack_relay_recipients_total", status="sent")
    after = metrics(site, relay)
    assert after["postfix_smtpd_connects_total{}"] == 3
    assert after['postfix_smtpd_messages_processed_total{"sasl_method": "NONE"}'] == 3
    assert after['postfix_smtp_messages_processed_total{"status": "sent"}'] == 3
    assert after["mailstack_relay_delivery_delay_seconds_count{}"] == 3
    new = after['mailstack_relay_upstream_deliveries_total{"connection": "new"}']
    assert new + after['mailstack_relay_upstream_deliveries_total{"connection": "reused"}'] == 3
    sessions = [name for name in after if name.startswith("postfix_smtp_tls_connections_total")]
    assert sum(after[name] for name in sessions) >= 1
    assert all('"trust": "Verified"' in name for name in sessions)


def test_mail_put_off_is_seen_in_the_queue_with_its_age_and_why(site: Site, relay: Service) -> None:
    site.google.exceed_quota("customer")
    assert site.send(relay) == ["m0"], site.refusals
    wait_for(site, relay, 1, "mailstack_relay_quota_replies_total")
    wait_for(site, relay, 1, "postfix_showq_queue_depth", queue="deferred")
    found = metrics(site, relay)
    assert found['mailstack_relay_recipients_total{"status": "deferred"}'] == 1
    assert found['mailstack_relay_deferrals_total{"subject": "policy"}'] == 1
    first = found['mailstack_relay_queue_oldest_message_age_seconds{"queue": "deferred"}']
    time.sleep(3)
    assert value(site, relay, "mailstack_relay_queue_oldest_message_age_seconds", queue="deferred") > first
    site.google.clear_faults()
    docker(["exec", relay.container_id, "postqueue", "-f"])
    wait_for(site, relay, 0, "postfix_showq_queue_depth", queue="deferred")
    assert value(site, relay, "mailstack_relay_queue_oldest_message_age_seconds", queue="deferred") == 0


def test_a_wrong_certificate_and_a_refusal_are_counted_by_their_cause(site: Site, relay: Service) -> None:
    site.google.serve_certificate("wrong-name")
    assert site.send(relay) == ["m0"], site.refusals
    wait_for(site, relay, 1, "mailstack_relay_upstream_tls_failures_total", reason="not_verified")
    site.google.clear_faults()
    assert site.send(relay, "app@example.org", first=1) == []
    assert value(site, relay, "postfix_smtpd_messages_rejected_total", code="554") == 1
    site.google.refuse("mail-sending-denied", count=1)
    time.sleep(11)  # longer than a cached connection lives
    assert site.send(relay, first=2) == ["m2"], site.refusals
    wait_for(site, relay, 1, "mailstack_relay_recipients_total", status="bounced")


def test_a_refused_login_is_counted(site: Site, tmp_path: Path) -> None:
    relay = site.ready(site.relay({**VARIABLES, "RELAYHOST_USERNAME": "a@example.com", "RELAYHOST_PASSWORD": "wrong"}))
    assert site.send(relay) == ["m0"], site.refusals
    wait_for(site, relay, 1, "mailstack_relay_upstream_authentication_failures_total")


def test_asking_leaves_no_line_in_the_log_and_reaches_nothing_else(site: Site, relay: Service) -> None:
    before = site.log(relay)
    for _ in range(5):
        ask(site, relay)
    assert ask(site, relay, "/healthz") == ("200 text/plain; charset=utf-8", "healthy\n")
    for path in ("/", "/metrics/", "/../etc/passwd", "/metrics%2f.."):
        assert ask(site, relay, path)[0].startswith("404"), path
    for method in ("POST", "PUT", "DELETE"):
        assert ask(site, relay, "/metrics", method)[0].startswith("501"), method
    assert ask(site, relay, method="HEAD")[1] == ""
    assert site.log(relay) == before


def test_clients_that_never_ask_neither_block_others_nor_mail(site: Site, relay: Service) -> None:
    hold = (
        "import socket, sys, time\n"
        "open_ = [socket.create_connection((sys.argv[1], 9154), timeout=5) for _ in range(40)]\n"
        "print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen(
        ["docker", "exec", site.app.container_id, "python3", "-c", hold, relay.address], stdout=subprocess.PIPE
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert site.send(relay) == ["m0"], site.refusals
        site.wait_for({"m0"}, relay)
        deadline = time.monotonic() + 30
        while docker_try(
            ["exec", site.app.container_id, "python3", "-c", ASK, relay.address, "/metrics", "GET"]
        ).returncode:
            assert time.monotonic() < deadline, "their time is up at last"
            time.sleep(1)
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize("environment", [{"METRICS_PORT": "0"}, {"METRICS_PORT": "9999"}])
def test_the_port_is_a_setting(site: Site, environment: Mapping[str, str]) -> None:
    relay = site.ready(site.relay({**VARIABLES, **environment}))
    asked = docker_try(["exec", site.app.container_id, "python3", "-c", ASK, relay.address, "/metrics", "GET"])
    assert "ConnectionRefusedError" in asked.stderr.decode()
    listening = docker(["exec", relay.container_id, "cat", "/proc/net/tcp6"])
    assert bool(re.search(r":270F ", listening)) == (environment["METRICS_PORT"] == "9999")


def test_a_postfix_that_hangs_gives_an_answer_without_a_queue_instead_of_an_empty_one(
    site: Site, relay: Service
) -> None:
    assert "postfix_showq_queue_depth" in ask(site, relay)[1]
    stop = "for p in /proc/[0-9]*; do grep -qsE '^(master|showq)$' $p/comm && kill -STOP ${p#/proc/}; done; true"
    docker(["exec", relay.container_id, "sh", "-c", stop])
    time.sleep(2.5)  # longer than an answer is kept
    head, body = ask(site, relay)
    docker(["exec", relay.container_id, "sh", "-c", stop.replace("STOP", "CONT")])
    assert head.startswith("200")
    assert "postfix_showq_queue_depth" not in body


def test_promtool_finds_nothing_to_say_about_the_real_answer(site: Site, relay: Service) -> None:
    assert site.send(relay) == ["m0"], site.refusals
    wait_for(site, relay, 1, "mailstack_relay_recipients_total", status="sent")
    assert promtool("check", "metrics", text=ask(site, relay)[1]) == ""
