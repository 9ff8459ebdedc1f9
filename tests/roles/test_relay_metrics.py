"""The metrics of the relay on a real host: a service that sees little, follows the log and leaves Postfix alone."""

import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mailstack.postfix.relay import role_settings
from mailstack.reach.bundle import Action
from rehearsal.ground import Ground
from tests.monitoring.promtool import promtool
from tests.roles.support import Run, run_role
from tests.roles.test_postfix_faults import DEFINITION, Site, pki, whole

__all__ = ["pki", "whole"]  # fixtures: a host with the relay, mail going to a stand-in for Google

pytestmark = pytest.mark.hosts

UNIT = "mailstack-relay-metrics"
WANTED = {"listen": ["127.0.0.1", 9154], "networks": []}
DEFERRED = 'postfix_showq_queue_depth{"queue": "deferred"}'
SENT = 'mailstack_relay_recipients_total{"status": "sent"}'
# As the service's user sees the host. nsenter keeps its mounts, setpriv takes what its user lacks.
INSIDE = f"nsenter -t $(systemctl show -P MainPID {UNIT}) -m"


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("relay-metrics") as made:
        yield made


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    """Start each test with metrics, an empty queue and a willing upstream."""
    whole.google.clear_faults()
    whole.google.put_rule(whole.rule)
    settled = role(whole, WANTED)
    assert settled.code == 0, settled.progress
    whole.sh("postsuper -d ALL >/dev/null 2>&1")
    whole.google.reset()
    yield whole
    whole.google.clear_faults()


def role(site: Site, metrics: dict[str, Any] | None, action: Action = "apply", **changes: Any) -> Run:
    settings = {**role_settings(DEFINITION), **changes, **({} if metrics is None else {"metrics": metrics})}
    return run_role(site.ground, site.host, "postfix_relay", settings, action=action)


def text(site: Site, address: str = "127.0.0.1", port: int = 9154) -> str:
    ask = f"import urllib.request as r; print(r.urlopen('http://{address}:{port}/metrics', timeout=20).read().decode())"
    return site.ground.exec(site.host, ["python3", "-c", ask]).stdout


def metrics(site: Site, **place: Any) -> dict[str, float]:
    return {
        sample.name + (json.dumps(sample.labels) if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text(site, **place))
        for sample in family.samples
    }


def started(site: Site, unit: str) -> str:
    return site.sh(f"systemctl show -P ExecMainStartTimestampMonotonic {unit}")


def test_metrics_move_with_the_mail_and_the_queue(site: Site) -> None:
    before = metrics(site)
    assert before['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 1
    assert site.send("one", "two") == ["accepted"] * 2
    site.wait(lambda: metrics(site)[SENT] == before[SENT] + 2, "two recipients to be counted")
    site.google.exceed_quota("customer")
    assert site.send("over the limit") == ["accepted"]
    site.wait(lambda: metrics(site)[DEFERRED] == 1, "the queue to show")
    after = metrics(site)
    assert after["mailstack_relay_quota_replies_total"] == before["mailstack_relay_quota_replies_total"] + 1
    assert after['mailstack_relay_queue_oldest_message_age_seconds{"queue": "deferred"}'] > 0
    refused = 'postfix_smtpd_messages_rejected_total{"code": "554"}'
    site.send("foreign", sender="a@elsewhere.test")
    site.wait(lambda: metrics(site)[refused] == before[refused] + 1, "the refusal to be counted")


def test_a_rotation_loses_no_line_and_counts_none_twice(site: Site) -> None:
    before = metrics(site)[SENT]
    assert site.send("before") == ["accepted"]
    site.wait(lambda: "before" in site.arrived(), "the first")
    site.sh("postfix logrotate")
    assert site.send("after") == ["accepted"]
    site.wait(lambda: "after" in site.arrived(), "the second")
    site.sh("postfix logrotate")
    assert site.send("last") == ["accepted"]
    site.wait(lambda: metrics(site)[SENT] == before + 3, "all three to be counted")
    stats = json.loads(site.sh("mailstack-relay-stats"))
    assert stats["recipients"]["sent"] >= 3, "the same lines, by the same parser"


def test_a_stopped_postfix_shows_and_its_queue_is_not_an_empty_one(site: Site) -> None:
    site.sh("systemctl stop postfix")
    try:
        site.wait(lambda: metrics(site)['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 0, "down")
        assert DEFERRED not in metrics(site)
    finally:
        site.sh("systemctl start postfix")
    site.wait(lambda: metrics(site)['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 1, "up again")


def test_a_second_run_changes_nothing_and_a_hand_edit_is_seen_and_mended(site: Site) -> None:
    again = role(site, WANTED)
    assert (again.code, again.status, again.summary["changed"]) == (0, "unchanged", []), again.progress
    for edit, seen in (
        (f"systemctl stop {UNIT}", "is not running"),
        (f"systemctl disable {UNIT} 2>/dev/null", "does not start at boot"),
        (f"echo '# x' >> /etc/systemd/system/{UNIT}.service", "other content"),
        ("rm /usr/local/lib/mailstack-relay/relay_metrics.py", "is missing"),
    ):
        site.sh(edit)
        check = role(site, WANTED, "check")
        assert (check.code, check.status) == (2, "drift"), edit
        assert seen in "; ".join(check.summary["changed"])
        assert role(site, WANTED).status == "changed"
        assert role(site, WANTED, "check").code == 0


def test_only_what_changed_is_restarted(site: Site) -> None:
    postfix, ours = started(site, "postfix@-"), started(site, UNIT)
    reloads = site.log().count("reload --")
    moved = role(site, {"listen": ["127.0.0.1", 9155], "networks": []})
    assert (moved.code, moved.status) == (0, "changed"), moved.progress
    assert metrics(site, port=9155)[SENT] == 0, "it counts anew"
    assert started(site, "postfix@-") == postfix
    assert site.log().count("reload --") == reloads, "Postfix was not touched"
    assert started(site, UNIT) != ours
    ours = started(site, UNIT)
    smaller = role_settings(dataclasses.replace(DEFINITION, message_size_limit_bytes=1_000_000))
    changed = {**smaller, "metrics": {"listen": ["127.0.0.1", 9155], "networks": []}}
    other = run_role(site.ground, site.host, "postfix_relay", changed)
    assert (other.code, other.status) == (0, "changed"), other.progress
    assert started(site, UNIT) == ours, "and the metrics go on when Postfix changes"


def test_a_port_that_is_taken_leaves_postfix_and_the_service_as_they_were(site: Site) -> None:
    squat = "import socket,time; s=socket.socket(); s.bind(('127.0.0.1', 9156)); s.listen(); time.sleep(600)"
    site.ground.exec(site.host, ["systemd-run", "--unit=squatter", "python3", "-c", squat])
    try:
        site.wait(lambda: "9156" in site.sh("ss -ltn"), "the other program")
        failed = role(site, {"listen": ["127.0.0.1", 9156], "networks": []})
        assert (failed.code, failed.status) == (1, "failed")
        assert "Address already in use" in failed.error, failed.error
        site.wait(lambda: "127.0.0.1:9154 " in site.sh("ss -ltn"), "the service of before")
        assert metrics(site)['postfix_up{"path": "unix:///var/spool/postfix/public/showq"}'] == 1
        assert site.send("still there") == ["accepted"]
        assert role(site, WANTED, "check").code == 0
    finally:
        site.sh("systemctl stop squatter")


def test_the_service_is_nobody_sees_no_secret_and_writes_nothing(site: Site) -> None:
    site.sh("echo secret > /root/secret; echo secret > /etc/secret; echo secret > /home/secret")
    process = site.sh(f"systemctl show -P MainPID {UNIT}").strip()
    status = dict(line.split(":\t", 1) for line in site.sh(f"cat /proc/{process}/status").splitlines() if ":\t" in line)
    assert int(status["Uid"].split()[0]) > 60000, "a user of its own"
    assert status["NoNewPrivs"].strip() == "1"
    assert int(status["CapBnd"], 16) == int(status["CapEff"], 16) == 1 << 2, "CAP_DAC_READ_SEARCH alone"
    for path in ("/etc/shadow", "/etc/secret", "/etc/postfix", "/root/secret", "/home/secret", "/var/lib/mailstack"):
        assert site.sh(f"{INSIDE} ls {path} 2>&1; true").endswith("No such file or directory\n"), path
    assert site.sh(f"{INSIDE} ls /var/spool/postfix").split() == ["public"]
    assert site.sh(f"{INSIDE} ls /var/log").split() == ["mailstack"]
    for path in ("/usr/x", "/etc/x", "/var/x", "/var/log/mailstack/x", "/x"):
        assert "Read-only file system" in site.sh(f"{INSIDE} touch {path} 2>&1; true"), path


def test_others_may_ask_only_from_the_networks_named(site: Site) -> None:
    other = site.ground.services["google"]
    ask = (
        "import http.client,sys; c=http.client.HTTPConnection(sys.argv[1], 9154, timeout=10); "
        "c.request('GET', '/metrics'); print(c.getresponse().status)"
    )
    for networks, wanted in ((["192.168.77.0/24"], ""), ([str(site.ground.subnet)], "200")):
        told = role(site, {"listen": ["0.0.0.0", 9154], "networks": networks})
        assert told.code == 0, told.progress
        answer = site.ground.exec(other, ["python3", "-c", ask, site.host.address], check=False)
        assert answer.stdout.strip() == wanted, answer.stderr


def test_promtool_finds_nothing_to_say_about_the_real_answer(site: Site) -> None:
    assert promtool("check", "metrics", text=text(site).rstrip() + "\n") == ""


def test_without_the_setting_service_and_files_are_gone_and_the_statistics_stay(site: Site) -> None:
    check = role(site, None, "check")
    assert check.summary["changed"] == ["mailstack-relay-metrics.service is no longer needed"]
    gone = role(site, None)
    assert (gone.code, gone.status) == (0, "changed"), gone.progress
    assert site.sh(f"systemctl is-active {UNIT}; true").strip() == "inactive"
    assert "metrics" not in site.sh("find /usr/local/lib/mailstack-relay /etc/systemd/system")
    assert role(site, None, "check").code == 0
    assert "recipients" in json.loads(site.sh("mailstack-relay-stats"))


def test_a_removed_relay_leaves_nothing_of_it(site: Site) -> None:
    removed = role(site, WANTED, "remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert "mailstack-relay-metrics.service removed" in removed.summary["changed"]
    left = site.sh("ls -d /usr/local/lib/mailstack-relay /usr/local/sbin/mailstack-relay-stats 2>/dev/null; true")
    assert left == ""
    assert site.sh(f"systemctl is-active {UNIT}; true").strip() == "inactive"
