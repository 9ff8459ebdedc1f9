"""The relay role on a real host, with mail going through while things break."""

import dataclasses
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.postfix.relay import RelayDefinition, role_settings
from mailstack.reach.bundle import Action, command_line, payload
from mailstack.upstreams import PRESETS
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, Host
from rehearsal.pki import ServerPki, make_server_pki
from rehearsal.standins import start_google
from tests.roles.support import Run, run_role

pytestmark = pytest.mark.hosts

NAME = "smtp-relay.gmail.com"
USER, PASSWORD, NEW_PASSWORD = "relay@example.com", "old pass: #1 $x", "new pass: =2 ü"
DEFINITION = RelayDefinition(
    hostname="relay.example.com",
    sender_domains=("example.com",),
    upstream_host=NAME,
    temporary_reply_patterns=PRESETS["google-workspace"].temporary_replies,
)
WITH_LOGIN = dataclasses.replace(DEFINITION, sasl_username=USER)
# Runs where applications do. Arguments: address, sender, recipient, subjects.
SUBMIT = """
import smtplib, sys
address, sender, recipient, *subjects = sys.argv[1:]
for subject in subjects:
    with smtplib.SMTP(address, 25, local_hostname="app.example.com", timeout=20) as smtp:
        try:
            text = "From: <app@example.com>\\r\\nSubject: %s\\r\\n\\r\\nbody\\r\\n" % subject
            smtp.sendmail(sender, [recipient], text)
            print("accepted")
        except smtplib.SMTPException as error:
            print("refused", error)
"""


class Site:
    """One relay host, one stand-in for Google, and the few things tests do with them."""

    def __init__(self, ground: Ground, host: Host, google: GoogleStandinClient, rule: dict[str, Any]) -> None:
        self.ground, self.host, self.google, self.rule = ground, host, google, rule

    def role(
        self,
        definition: RelayDefinition = DEFINITION,
        password: str | None = None,
        action: Action = "apply",
        **changes: Any,
    ) -> Run:
        settings = role_settings(dataclasses.replace(definition, **changes))
        secrets = {} if password is None else {"sasl_password": password}
        return run_role(self.ground, self.host, "postfix_relay", settings, secrets, action=action)

    def sh(self, command: str, *, check: bool = True) -> str:
        return self.ground.exec(self.host, ["sh", "-c", command], check=check).stdout

    def send(
        self, *subjects: str, sender: str = "app@example.com", recipient: str = "someone@recipient.test"
    ) -> list[str]:
        arguments = ["python3", "-", "127.0.0.1", sender, recipient, *subjects]
        return self.ground.exec(self.host, arguments, input=SUBMIT, check=False).stdout.splitlines()

    def arrived(self) -> list[str | None]:
        return [message.header("Subject") for message in self.google.messages()]

    def wait(self, condition: Any, what: str, seconds: float = 30) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not within {seconds} s\n{self.log()[-2000:]}"
            time.sleep(0.2)

    def log(self) -> str:
        return self.sh("cat /var/log/mailstack/postfix.log", check=False)

    def queued(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.sh("postqueue -j").splitlines()]

    def flush(self) -> None:
        self.sh("postqueue -f")


@pytest.fixture(scope="module")
def pki() -> ServerPki:
    return make_server_pki(NAME)


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("postfix-faults") as made:
        yield made


@pytest.fixture(scope="module")
def whole(ground: Ground, pki: ServerPki) -> Site:
    host = ground.create_host("relay", hostname="relay.example.com", ca_certificates=[pki.ca_certificate])
    rule = {
        "domains": ["example.com"],
        "allowed_ips": [f"{host.address}/32"],
        "allowed_senders": "domain-addresses",
        "registered_users": [],
        "require_tls": True,
        "require_smtp_auth": False,
        "smtp_auth_users": {USER: PASSWORD},
    }
    google = start_google(ground, pki, rule, host_name=NAME, service="google")
    site = Site(ground, host, google, rule)
    first = site.role()
    assert (first.code, first.status) == (0, "changed"), first.progress
    return site


@pytest.fixture
def site(whole: Site) -> Iterator[Site]:
    """Start each test with the plain relay, an empty queue and a willing upstream."""
    whole.google.clear_faults()
    whole.google.put_rule(whole.rule)
    settled = whole.role()
    assert settled.code == 0, settled.progress
    # A restart drops connections to the upstream that an earlier test left open.
    whole.sh("postsuper -d ALL >/dev/null 2>&1; : >/var/log/mailstack/postfix.log")
    # Tests restart faster than systemd thinks a healthy service would.
    whole.sh("systemctl reset-failed 'postfix*'; systemctl restart postfix")
    whole.google.reset()
    yield whole
    whole.google.clear_faults()


def test_a_second_run_changes_nothing(site: Site) -> None:
    again = site.role()
    assert (again.code, again.status, again.summary["changed"]) == (0, "unchanged", []), again.progress
    check = site.role(action="check")
    assert (check.code, check.status) == (0, "unchanged")


@pytest.mark.parametrize(
    ("edit", "seen"),
    [
        ("postconf -e smtp_tls_security_level=may", "smtp_tls_security_level: may -> secure"),
        ("chmod 0666 /etc/postfix/main.cf", "mode 0666"),
        ("rm /etc/postfix/mailstack/senders", "senders"),
        ("systemctl stop postfix", "not running"),
        ("systemctl disable postfix 2>/dev/null", "boot"),
    ],
)
def test_check_sees_a_hand_edit_and_the_next_run_mends_it(site: Site, edit: str, seen: str) -> None:
    site.sh(edit)
    check = site.role(action="check")
    assert (check.code, check.status) == (2, "drift")
    assert seen in "; ".join(check.summary["changed"])
    mended = site.role()
    assert (mended.code, mended.status) == (0, "changed"), mended.progress
    assert site.role(action="check").code == 0


@pytest.mark.parametrize(
    "extra",
    [
        {"smtpd_timeout": "not-a-time"},
        {"no_such_parameter_anywhere": "1"},
        {"smtpd_banner": "somebody else"},  # Postfix takes it; only the answer afterwards is wrong
    ],
)
def test_a_broken_configuration_never_replaces_a_good_one(site: Site, extra: dict[str, str]) -> None:
    before = site.sh("cat /etc/postfix/main.cf")
    broken = site.role(extra_parameters=extra)
    assert (broken.code, broken.status) == (1, "failed"), broken.progress
    assert next(iter(extra)) in broken.error or "expected 220 relay.example.com" in broken.error, broken.error
    assert site.sh("cat /etc/postfix/main.cf") == before
    assert site.send("after a failed change") == ["accepted"]
    site.wait(lambda: "after a failed change" in site.arrived(), "mail after the failed change")
    assert site.role(action="check").code == 0


def test_a_port_taken_by_another_program_leaves_the_relay_running(site: Site) -> None:
    site.ground.exec(
        site.host,
        ["systemd-run", "--unit=squatter", "python3", "-c",
         "import socket,time; s=socket.socket(); s.bind(('127.0.0.1', 2525)); s.listen(); time.sleep(600)"],
    )  # fmt: skip
    try:
        site.wait(lambda: "2525" in site.sh("ss -ltn"), "the other program")
        taken = site.role(listen_port=2525)
        assert taken.code == 1
        assert "2525 is taken by" in taken.error
        assert site.send("still there") == ["accepted"]
    finally:
        site.sh("systemctl stop squatter")


@pytest.mark.parametrize("moment", ["check: ", "activate: "])
def test_a_run_killed_half_way_is_completed_by_the_next(site: Site, moment: str) -> None:
    changed = dataclasses.replace(DEFINITION, message_size_limit_bytes=1_000_000)
    document = payload("postfix_relay", role_settings(changed), {})
    killer = (
        "import subprocess, sys\n"
        "pipe = subprocess.PIPE\n"
        "role = subprocess.Popen(['bash', '-c', sys.argv[1]], stdin=pipe, stderr=pipe, text=True)\n"
        "role.stdin.write(sys.stdin.read()); role.stdin.close()\n"
        "for line in role.stderr:\n"
        "    if sys.argv[2] in line:\n"
        "        subprocess.call(['pkill', '-9', '-f', 'python3 -m postfix_relay'])\n"
        "        break\n"
        "role.wait()\n"
    )
    site.ground.exec(site.host, ["python3", "-c", killer, command_line("apply"), moment], input=document, check=False)
    again = site.role(changed)
    assert again.code == 0, again.progress
    assert site.sh("postconf -h message_size_limit").strip() == "1000000"
    assert site.send("after the kill") == ["accepted"]
    site.wait(lambda: "after the kill" in site.arrived(), "mail after the kill")
    assert site.role(changed, action="check").code == 0


def test_two_runs_at_once_wait_for_each_other(site: Site) -> None:
    runs: list[Run] = []
    threads = [
        threading.Thread(target=lambda size=size: runs.append(site.role(message_size_limit_bytes=size)))
        for size in (2_000_000, 3_000_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [run.code for run in runs] == [0, 0], [run.progress for run in runs]
    assert site.sh("postconf -h message_size_limit").strip() in {"2000000", "3000000"}


def test_without_a_login_sasl_is_really_off(site: Site) -> None:
    assert site.sh("postconf -h smtp_sasl_auth_enable").strip() == "no"
    assert "sasl_passwd" not in site.sh("ls /etc/postfix/mailstack")


def test_a_password_rotation_loses_no_queued_mail(site: Site) -> None:
    site.google.put_rule({**site.rule, "require_smtp_auth": True})
    assert site.role(WITH_LOGIN, PASSWORD).code == 0
    assert site.send("with the old password") == ["accepted"]
    site.wait(lambda: "with the old password" in site.arrived(), "mail with the old password")
    site.google.put_rule({**site.rule, "require_smtp_auth": True, "smtp_auth_users": {USER: NEW_PASSWORD}})
    site.wait(lambda: not site.queued(), "the queue to empty")
    time.sleep(11)  # longer than a cached connection lives, so that the next one logs in
    assert site.send("one", "two", "three") == ["accepted"] * 3
    site.wait(lambda: len(site.queued()) == 3 and "status=deferred" in site.log(), "mail to wait for the password")
    rotated = site.role(WITH_LOGIN, NEW_PASSWORD)
    assert (rotated.code, rotated.status) == (0, "changed"), rotated.progress
    site.wait(lambda: {"one", "two", "three"} <= set(site.arrived()), "the waiting mail", 60)
    assert sorted(str(subject) for subject in site.arrived()) == ["one", "three", "two", "with the old password"]
    assert {message.auth_user for message in site.google.messages()} == {USER}
    for place in ("/etc/postfix/mailstack/sasl_passwd", "/etc/postfix/mailstack/sasl_passwd.*"):
        assert set(site.sh(f"stat -c '%a %U' {place}").split("\n")) <= {"600 root", ""}
    for secret in (PASSWORD, NEW_PASSWORD):
        assert secret not in rotated.progress + json.dumps(dict(rotated.summary))
        found = site.ground.exec(
            site.host, ["grep", "-rlF", secret, "/etc", "/var/lib/mailstack", "/var/log", "/run"], check=False
        ).stdout.split()
        assert found in ([], ["/etc/postfix/mailstack/sasl_passwd"]) or all("sasl_passwd" in path for path in found)
    assert not site.sh(f"grep -rlF '{PASSWORD}' /etc/postfix /var/lib/mailstack", check=False)
    site.role()
    assert "sasl_passwd" not in site.sh("ls /etc/postfix/mailstack")


def test_mail_waits_while_the_upstream_is_down_and_arrives_once(site: Site) -> None:
    site.google.take_down()
    subjects = [f"waiting {number}" for number in range(10)]
    assert site.send(*subjects) == ["accepted"] * 10
    site.wait(lambda: "status=deferred" in site.log(), "a failed delivery")
    assert len(site.queued()) == 10
    site.google.clear_faults()
    site.flush()
    site.wait(lambda: not site.queued(), "the queue to empty", 60)
    assert sorted(str(subject) for subject in site.arrived()) == sorted(subjects)


def test_half_a_message_that_a_crash_has_left_keeps_no_relay_down(site: Site) -> None:
    """postsuper(1) tells of it as user postfix, before postlogd(8) runs; a rotated log is root's."""
    site.sh("systemctl stop postfix postfix@-; chown root:root /var/log/mailstack/postfix.log")
    site.sh("install -o postfix -g postfix -m 600 /dev/null /var/spool/postfix/incoming/292290.2442")
    site.sh("systemctl start postfix")
    assert site.send("after the crash") == ["accepted"]
    assert "bogus file name: incoming/292290.2442" in site.log()
    site.sh("rm /var/spool/postfix/incoming/292290.2442")


@pytest.mark.parametrize("certificate", ["wrong-name", "unknown-ca", "expired"])
def test_with_a_wrong_certificate_mail_waits_and_nothing_is_sent(site: Site, certificate: str) -> None:
    site.google.serve_certificate(certificate)
    assert site.send("secret content") == ["accepted"]
    site.wait(lambda: "status=deferred" in site.log(), "a refused certificate")
    assert len(site.queued()) == 1
    assert site.google.counters().messages_accepted == 0
    assert site.google.counters().transactions == 0
    site.google.clear_faults()
    site.flush()
    site.wait(lambda: site.arrived() == ["secret content"], "the mail after the repair", 60)


@pytest.mark.parametrize(
    "sender",
    [
        "someone@elsewhere.test",
        "someone@sub.example.com",
        "someone@notexample.com",
        "someone@example.com.elsewhere.test",
        "someone%example.com@elsewhere.test",
        '"someone@example.com"@elsewhere.test',
    ],
)
def test_a_foreign_sender_is_refused(site: Site, sender: str) -> None:
    assert all(line.startswith("refused") for line in site.send("foreign", sender=sender))
    assert site.queued() == []
    assert site.arrived() == []


def test_another_machine_is_refused_even_where_the_relay_listens(site: Site) -> None:
    other = site.ground.services["google"]
    listening = site.role(listen_addresses=("127.0.0.1", site.host.address), client_networks=("192.168.77.0/24",))
    assert listening.code == 0, listening.progress
    arguments = ["python3", "-", site.host.address, "app@example.com", "someone@recipient.test", "stranger"]
    answer = site.ground.exec(other, arguments, input=SUBMIT, check=False).stdout
    assert "refused" in answer
    assert "554" in answer
    welcome = site.role(listen_addresses=("127.0.0.1", site.host.address), client_networks=(str(site.ground.subnet),))
    assert welcome.code == 0, welcome.progress
    assert site.ground.exec(other, arguments, input=SUBMIT, check=False).stdout.strip() == "accepted"


def test_the_null_sender_passes(site: Site) -> None:
    assert site.send("a bounce", sender="") == ["accepted"]
    site.wait(lambda: site.arrived() == ["a bounce"], "the bounce")
    assert site.google.messages()[0].mail_from == ""


@pytest.mark.parametrize("scope", ["customer", "user"])
def test_a_daily_quota_reply_delays_mail_and_is_counted(site: Site, scope: str) -> None:
    site.google.exceed_quota(scope)
    assert site.send("over the limit") == ["accepted"]
    site.wait(lambda: "status=" in site.log(), "an answer")
    assert "status=deferred" in site.log()
    assert "status=bounced" not in site.log()
    assert json.loads(site.sh("mailstack-relay-stats"))["quota_deferred"] == 1
    site.google.clear_faults()
    site.flush()
    site.wait(lambda: site.arrived() == ["over the limit"], "the mail when the limit clears", 60)


def test_every_other_permanent_refusal_bounces(site: Site) -> None:
    site.google.refuse("mail-sending-denied", count=1)
    assert site.send("refused for good") == ["accepted"]
    site.wait(lambda: "status=bounced" in site.log(), "the bounce")
    assert json.loads(site.sh("mailstack-relay-stats"))["quota_deferred"] == 0


def test_connections_are_reused_as_the_upstream_counts_them(site: Site) -> None:
    assert site.send(*[f"number {number}" for number in range(200)]) == ["accepted"] * 200
    site.wait(lambda: site.google.counters().messages_accepted == 200, "200 messages", 60)
    counters = site.google.counters()
    used = [connection for connection in counters.per_connection if connection.messages]
    assert len(used) <= 60, f"{len(used)} connections carried 200 messages"
    stats = json.loads(site.sh("mailstack-relay-stats"))
    assert stats["recipients"]["sent"] == 200
    assert stats["deliveries"]["reused_connection"] >= 140


def test_port_465_speaks_tls_from_the_first_byte(site: Site) -> None:
    assert site.role(upstream_port=465, implicit_tls=True).code == 0
    assert site.send("implicit") == ["accepted"]
    site.wait(lambda: site.arrived() == ["implicit"], "mail over 465")
    assert site.google.messages()[0].port == 465
    assert "Verified TLS connection established" in site.log()


def test_only_the_last_five_configurations_are_kept_and_no_password(site: Site) -> None:
    for number in range(7):
        assert site.role(WITH_LOGIN, PASSWORD, message_size_limit_bytes=5_000_000 + number).code == 0
    assert len(site.sh("ls /var/lib/mailstack/postfix_relay/configs").split()) == 5
    assert PASSWORD not in site.sh("grep -r . /var/lib/mailstack", check=False)


def test_removal_refuses_with_mail_and_then_leaves_nothing(site: Site) -> None:
    site.google.take_down()
    assert site.send("keep me") == ["accepted"]
    refused = site.role(action="remove")
    assert refused.code == 1
    assert "1 messages are queued" in refused.error
    assert len(site.queued()) == 1
    site.google.clear_faults()
    site.flush()
    site.wait(lambda: not site.queued(), "the queue to empty", 60)
    removed = site.role(action="remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert "ok installed" not in site.sh("dpkg-query -W -f '${Status}' postfix 2>&1", check=False)
    leftovers = "ls -d /etc/postfix/main.cf /etc/postfix/mailstack /var/lib/mailstack /var/log/mailstack 2>/dev/null"
    assert site.sh(leftovers, check=False).strip() == ""
    assert site.role(action="remove").code == 0
