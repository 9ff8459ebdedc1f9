"""The relay role beside what was on the host before it, and at its finer points: passwords, local senders, kills."""

import base64
import bz2
import dataclasses
import json
from collections.abc import Iterator

import pytest

from mailstack.postfix.relay import role_settings
from mailstack.reach.bundle import bundle
from rehearsal.ground import Ground, Host
from tests.roles.support import Run, run_role
from tests.roles.test_postfix_faults import DEFINITION, USER, WITH_LOGIN, Site, pki, site, whole

__all__ = ["pki", "site", "whole"]  # fixtures: a host with the relay, mail going to a stand-in for Google

pytestmark = pytest.mark.hosts

# Ends the role with SIGKILL just before its n-th rename or removal of a file, counted from the start.
KILLER = """
import os, runpy, signal, sys
left = int(sys.argv[1])
def hook(event, arguments):
    global left
    if event in ("os.rename", "os.remove"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
sys.argv = ["postfix_relay", "--apply"]
runpy.run_module("postfix_relay", run_name="__main__")
"""


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with Ground("postfix-relay") as made:
        yield made


@pytest.mark.parametrize(
    "password",
    ["abcd efgh ijkl mnop", " leading blank", "a:b:c", "#hash # inside", "$HOME$$x${y}", "=equals", "pässwörd 日本",
     "'single' \"double\"", "back\\slash\\n", "{braces}", "100%s"],
)  # fmt: skip
def test_a_password_reaches_the_upstream_exactly(site: Site, password: str) -> None:
    site.google.put_rule({**site.rule, "require_smtp_auth": True, "smtp_auth_users": {USER: password}})
    applied = site.role(WITH_LOGIN, password)
    assert applied.code == 0, applied.progress
    assert site.send("with login") == ["accepted"]
    site.wait(lambda: site.arrived() == ["with login"], "mail after the login")
    assert site.google.messages()[0].auth_user == USER


@pytest.mark.parametrize("sender", ["stranger@elsewhere.test", "root@relay.example.com", "root", "app@example.com"])
def test_a_local_program_sends_from_an_allowed_domain_whatever_it_says(site: Site, sender: str) -> None:
    site.sh(f"printf 'Subject: cron\\n\\nbody\\n' | sendmail -f {sender} someone@recipient.test")
    site.wait(lambda: site.arrived() == ["cron"], "mail from sendmail(1)")
    assert site.google.messages()[0].mail_from == sender.partition("@")[0] + "@example.com"


def test_a_reload_with_an_edited_file_is_seen_after_the_edit_is_taken_back(site: Site) -> None:
    site.sh(
        "cp -p /etc/postfix/main.cf /root/kept; postconf -e smtpd_timeout=9s; postfix reload;"
        "cp -p /root/kept /etc/postfix/main.cf; rm /root/kept"
    )
    check = site.role(action="check")
    assert (check.code, check.summary["changed"]) == (
        2,
        ["Postfix was not reloaded after the last change of its files"],
    )
    assert site.role().status == "changed"
    assert site.role(action="check").code == 0


@pytest.mark.parametrize("operation", [2, 7, 12, 17, 20, 22, 24, 26, 28, 30, 33])
def test_a_kill_before_any_file_operation_is_healed_by_the_next_run(site: Site, operation: int) -> None:
    changed = dataclasses.replace(DEFINITION, message_size_limit_bytes=1_000_000 + operation)
    document = json.dumps({"settings": role_settings(changed), "secrets": {}})
    site.sh("rm -rf /root/role; mkdir /root/role")
    unpack = ["sh", "-c", "base64 -d | tar -x -C /root/role"]
    site.ground.exec(site.host, unpack, input=base64.b64encode(bz2.decompress(bundle("postfix_relay"))).decode())
    killed = site.ground.exec(
        site.host, ["sh", "-c", 'cd /root/role && exec python3 -c "$0" "$1"', KILLER, str(operation)],
        input=document, check=False,
    )  # fmt: skip
    assert killed.returncode in {137, -9}, killed.stderr
    assert site.send("between the runs") == ["accepted"]
    again = site.role(changed)
    assert again.code == 0, again.progress
    assert site.sh("postconf -h message_size_limit").strip() == str(1_000_000 + operation)
    site.wait(lambda: "between the runs" in site.arrived(), "mail sent between the runs")
    assert site.role(changed, action="check").code == 0
    leftovers = "cd /var/lib/mailstack/postfix_relay; ls -d pending.json rollback /etc/postfix/.mailstack-candidate"
    assert site.sh(f"{leftovers} 2>/dev/null", check=False) == ""


def install(ground: Ground, host: Host, package: str, answers: str) -> None:
    ground.exec(host, ["debconf-set-selections"], input=answers)
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "-q", "--no-install-recommends", "install"]
    ground.exec(host, [*quiet, package])


def apply(ground: Ground, host: Host) -> Run:
    return run_role(ground, host, "postfix_relay", role_settings(DEFINITION))


def test_a_postfix_that_was_there_before_is_back_after_removal(ground: Ground) -> None:
    host = ground.create_host("before", hostname="before.example.com")
    install(ground, host, "postfix", "postfix postfix/main_mailer_type select Local only\n")
    state = (
        "sha256sum /etc/postfix/main.cf /etc/postfix/master.cf; systemctl is-active postfix; postconf -h mydestination"
    )
    before = ground.exec(host, ["sh", "-c", state]).stdout
    applied = apply(ground, host)
    assert (applied.code, applied.status) == (0, "changed"), applied.progress
    assert ground.exec(host, ["sh", "-c", state]).stdout != before
    removed = run_role(ground, host, "postfix_relay", role_settings(DEFINITION), action="remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert ground.exec(host, ["sh", "-c", state]).stdout == before
    assert ground.exec(host, ["sh", "-c", "ls -a /etc/postfix | grep -c mailstack"], check=False).stdout.strip() == "0"


def test_another_mail_server_makes_room_and_that_is_said(ground: Ground) -> None:
    host = ground.create_host("exim", hostname="exim.example.com")
    install(ground, host, "exim4-daemon-light", "")
    applied = apply(ground, host)
    assert (applied.code, applied.status) == (0, "changed"), applied.progress
    assert "Postfix takes the place of exim4-daemon-light" in applied.progress
    assert run_role(ground, host, "postfix_relay", role_settings(DEFINITION), action="check").code == 0
