"""What must never be lost: backup, restore on an empty host, upgrades that work and upgrades that do not."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from mailstack.reach.bundle import Action
from rehearsal.images import POSTAL_VERSION_BROKEN, POSTAL_VERSION_NEXT
from tests.roles.postal_site import ADMIN_PASSWORD, API_KEY, DATABASE_PASSWORD, PostalSite, postal_ground
from tests.roles.support import run_role

pytestmark = pytest.mark.hosts

BACKUP = "/opt/postal/bin/mailstack-postal-backup"
RESTORE = "/opt/postal/bin/mailstack-postal-restore"
DIRECTORY = "/var/backups/mailstack-postal"
EVERYTHING = (
    "SELECT uuid, email_address, password_digest FROM postal.users; SELECT uuid, name, `key` FROM postal.credentials;"
    "SELECT uuid, token FROM postal.servers; SELECT uuid, dkim_private_key FROM postal.domains;"
    "SELECT id, token, rcpt_to, subject FROM `postal-server-1`.messages ORDER BY id;"
)


@pytest.fixture(scope="module")
def installed() -> Iterator[PostalSite]:
    with postal_ground("postal-data", ("3.3.7", POSTAL_VERSION_NEXT, POSTAL_VERSION_BROKEN)) as site:
        run = site.postal()
        assert run.code == 0, run.progress
        for number in range(3):
            site.send(f"kept {number}")
        queued = "SELECT COUNT(*) FROM postal.queued_messages;"
        site.wait(lambda: site.sql(queued) == [["0"]], "the first messages are delivered")
        yield site


@pytest.fixture
def site(installed: PostalSite) -> PostalSite:
    return installed.copy()


def newest(site: PostalSite) -> str:
    return site.sh(f"ls -1 {DIRECTORY}/postal-*.tar* | sort | tail -n 1").strip()


def operate(site: PostalSite, operation: str, action: Action = "check", **settings: Any) -> dict[str, Any]:
    """Return what role ``postal_operations`` tells, as `mailstack postal` asks it."""
    run = run_role(site.ground, site.host, "postal_operations", {"operation": operation, **settings}, action=action)
    assert run.code in {0, 2}, run.progress
    for secret in (DATABASE_PASSWORD, API_KEY, ADMIN_PASSWORD):
        assert secret not in json.dumps(run.summary) + run.progress
    return dict(run.summary["facts"])


def test_a_backup_is_made_by_the_timer_and_reported(site: PostalSite) -> None:
    assert "mailstack-postal-backup.timer" in site.sh("systemctl list-timers --all --no-pager")
    site.sh("systemctl start mailstack-postal-backup.service")
    archive = newest(site)
    assert site.sh(f"stat -c '%a %u' {archive}").strip() == "600 0"
    assert site.sh(f"stat -c %a {DIRECTORY}").strip() == "700"
    manifest = json.loads(site.sh(f"tar -xOf {archive} manifest.json"))
    assert manifest["databases"] == ["postal", "postal-server-1"]
    assert manifest["counts"]["messages"] == 3
    assert manifest["counts"]["users"] == 1
    facts = site.postal().summary["facts"]["backup"]
    assert (facts["file"], facts["error"]) == (archive, None)
    shown = site.sh("journalctl --no-pager -u mailstack-postal-backup; ls -a /var/backups/mailstack-postal")
    assert DATABASE_PASSWORD not in shown
    assert ".work" not in shown


def test_an_operator_sees_why_mail_waits_while_the_relay_is_away(site: PostalSite) -> None:
    way_out = "FORWARD -p tcp --dport 2525 -j REJECT --reject-with tcp-reset"
    site.sh(f"iptables -I {way_out}")
    try:
        number = site.send("waits for the relay")
        site.wait(lambda: "refused" in str(operate(site, "queue")["servers"][0]["reasons"]).lower(), "a try to fail")
        [server] = operate(site, "queue")["servers"]
        assert (server["server"], server["waiting"], server["held"]) == ("acme/mail", 1, 0)
        [message] = server["messages"]
        assert (message["id"], message["to"], message["status"]) == (number, "someone@recipient.test", "SoftFail")
    finally:
        site.sh(f"iptables -D {way_out}")
    site.sql("UPDATE postal.queued_messages SET retry_after = NULL, attempts = 0;")
    site.wait(lambda: operate(site, "queue")["servers"][0]["waiting"] == 0, "the message to leave")


def test_an_operator_sees_processes_room_keys_and_logins(site: PostalSite) -> None:
    site.sh(f"docker stop {site.container('worker')}")
    stopped = operate(site, "status")
    site.sh("docker start $(docker ps -aq --filter label=com.docker.compose.service=worker)")
    assert {one["service"]: one["running"] for one in stopped["processes"]} == {
        "web": True, "smtp": True, "worker": False,
    }  # fmt: skip
    assert "MariaDB" in stopped["database"]["version"]
    assert stopped["image"].endswith("postal:3.3.7")
    assert all(0 < disk["free"] <= disk["bytes"] for disk in stopped["disk"])
    assert [user["email"] for user in operate(site, "users")["users"]] == ["admin@example.com"]
    told = operate(site, "credentials")["credentials"]
    assert {(one["name"], one["type"], one["hold"]) for one in told} == {
        ("app", "SMTP", False), ("app over HTTP", "API", False),
    }  # fmt: skip
    lines = operate(site, "log", process="web")["lines"]
    assert any(lines.values())
    assert all("web" in name for name in lines)


def test_an_operator_makes_a_backup_and_is_told_what_a_restore_replaces(site: PostalSite) -> None:
    made = operate(site, "backup", "apply")["backup"]
    assert made["file"] == newest(site) == operate(site, "backups")["backups"][0]["file"]
    held = made["manifest"]["counts"]["messages"]
    late = site.send("after that backup")
    before = operate(site, "restore")
    assert before["archive"]["file"] == made["file"]
    assert before["now"]["messages"] == held + 1
    assert [str(late)] in site.sql("SELECT id FROM `postal-server-1`.messages;"), "a look changes nothing"
    restored = operate(site, "restore", "apply", file=made["file"])["restored"]
    assert restored["counts"]["messages"] == held
    assert [str(late)] not in site.sql("SELECT id FROM `postal-server-1`.messages;")
    assert site.postal().code == 0
    site.sh(f"rm {made['file']} {DIRECTORY}/*-before-restore.tar")  # others count what is there


def test_old_backups_go_and_the_newest_stay(site: PostalSite) -> None:
    for day in range(1, 6):
        site.sh(f"touch {DIRECTORY}/postal-2026010{day}T000000Z.tar")
    site.sh(BACKUP)
    left = site.sh(f"ls -1 {DIRECTORY}").split()
    assert len(left) == 3
    assert "postal-20260105T000000Z.tar" in left


def test_the_hook_gets_the_archive_and_its_failure_is_reported_and_loses_nothing(site: PostalSite) -> None:
    site.sh("printf '#!/bin/sh\\necho \"$@\" > /root/hook\\nexit 3\\n' > /root/copy; chmod 755 /root/copy")
    site.settings["backup"]["hook"] = ["/root/copy", "to-elsewhere"]
    assert site.postal().code == 0
    done = site.ground.exec(site.host, [BACKUP], check=False)
    assert done.returncode == 1
    assert "/root/copy failed with 3" in done.stderr
    assert site.sh("cat /root/hook").split() == ["to-elsewhere", newest(site)]
    run = site.postal()
    assert any("the last backup failed" in warning for warning in run.summary["warnings"])
    site.settings["backup"]["hook"] = []
    assert site.postal().code == 0


def test_an_encrypted_backup_needs_its_passphrase(site: PostalSite) -> None:
    site.settings["backup"]["encrypt"] = True
    site.secrets["backup_passphrase"] = "recognisable passphrase"
    assert site.postal().code == 0
    site.sh(BACKUP)
    archive = newest(site)
    assert archive.endswith(".tar.enc")
    assert site.sh(f"head -c 8 {archive}") == "Salted__"
    site.sh("echo wrong > /root/wrong")
    wrong = site.ground.exec(
        site.host, [RESTORE, archive, "--passphrase-file", "/root/wrong", "--replace"], check=False
    )
    assert wrong.returncode == 1
    assert "cannot be read with the passphrase" in wrong.stderr
    before = site.sql(EVERYTHING)
    site.sh(f"{RESTORE} --replace {archive}")
    assert site.sql(EVERYTHING) == before
    site.settings["backup"]["encrypt"] = False
    assert site.postal().code == 0
    site.sh(f"rm {archive}; {BACKUP}")


def test_a_damaged_archive_is_refused_before_anything_is_touched(site: PostalSite) -> None:
    before = site.sql(EVERYTHING)
    site.sh(f"cp {newest(site)} /root/damaged.tar; printf x | dd of=/root/damaged.tar bs=1 seek=9000 conv=notrunc")
    site.sh("head -c 2000 /root/damaged.tar > /root/short.tar")
    for name in ("damaged", "short"):
        done = site.ground.exec(site.host, [RESTORE, "--replace", f"/root/{name}.tar"], check=False)
        assert done.returncode == 1, done.stdout
    assert site.sql(EVERYTHING) == before


def test_mail_is_not_replaced_by_a_backup_unless_asked_and_is_dumped_then(site: PostalSite) -> None:
    archive = newest(site)
    late = site.send("sent after the backup")
    refused = site.ground.exec(site.host, [RESTORE, archive], check=False)
    assert refused.returncode == 1
    assert "which a restore would delete" in refused.stderr
    site.sql("CREATE DATABASE `postal-server-99`;")
    site.sh(f"{RESTORE} --replace {archive}")
    assert [str(late)] not in site.sql("SELECT id FROM `postal-server-1`.messages;")
    assert site.sql("SHOW DATABASES LIKE 'postal-server-99';") == []
    assert "-before-restore.tar" in site.sh(f"ls {DIRECTORY}")
    assert site.postal().code == 0


def test_a_backup_brings_everything_back_on_an_empty_host(site: PostalSite) -> None:
    before = site.sql(EVERYTHING)
    site.sh(f"cp $({BACKUP}) /root/kept.tar")
    assert site.postal("remove").code == 0
    site.database["remove_data"] = True
    assert site.mariadb("remove").code == 0
    site.sh(f"rm -rf {DIRECTORY}")
    # A new host with the same stack: the roles run first, then the backup comes back over the empty installation.
    assert site.mariadb().code == 0
    assert site.postal().code == 0
    assert site.sql(EVERYTHING) != before
    restored = json.loads(site.sh(f"{RESTORE} /root/kept.tar"))
    assert restored["counts"]["messages"] == len(site.sql("SELECT id FROM `postal-server-1`.messages;"))
    assert site.sql(EVERYTHING) == before
    again = site.postal()
    assert again.code == 0, again.progress
    assert site.sql(EVERYTHING) == before
    assert ADMIN_PASSWORD not in again.progress


def test_a_backup_comes_back_where_only_docker_and_the_database_are(site: PostalSite) -> None:
    before = site.sql(EVERYTHING)
    site.sh(f"mkdir -p /root/bare; cp $({BACKUP}) /root/bare/kept.tar")
    assert site.postal("remove").code == 0
    site.sql("DROP DATABASE postal; DROP DATABASE `postal-server-1`;")
    site.sh("cd /root/bare && tar -xf kept.tar program")
    program = "from postal.backup.cli import restore_main; raise SystemExit(restore_main())"
    site.sh(f'PYTHONPATH=/root/bare/program/lib python3 -B -c "{program}" /root/bare/kept.tar')
    assert site.sql(EVERYTHING) == before
    assert site.sh("docker ps -q --filter label=com.docker.compose.project=postal").count("\n") == 3
    again = site.postal()
    assert again.code == 0, again.progress
    assert site.sql(EVERYTHING) == before


def test_a_disk_too_small_for_the_dump_refuses_the_upgrade_before_anything_stops(site: PostalSite) -> None:
    site.sh("mkdir -p /mnt/small && mount -t tmpfs -o size=8m tmpfs /mnt/small")
    try:
        site.settings["backup"]["directory"] = "/mnt/small"
        site.settings["image"]["tag"] = POSTAL_VERSION_NEXT
        worker = site.container("worker")
        run = site.postal()
        assert run.code == 1
        assert "a dump may need" in run.error
        assert site.container("worker") == worker
    finally:
        site.sh("umount /mnt/small")
    assert site.copy().sql("SELECT COUNT(*) FROM postal.users;") == [["1"]]


def test_an_image_that_cannot_be_fetched_changes_nothing(site: PostalSite) -> None:
    site.settings["image"]["tag"] = "3.3.77"
    before = site.sh("sha256sum /opt/postal/config/* /opt/postal/compose.yaml; docker ps -q")
    run = site.postal()
    assert run.code == 1
    assert "cannot be fetched" in run.error
    assert site.sh("sha256sum /opt/postal/config/* /opt/postal/compose.yaml; docker ps -q") == before


def test_an_upgrade_that_fails_brings_the_old_version_and_its_data_back(site: PostalSite) -> None:
    before = site.sql(EVERYTHING)
    site.settings["image"]["tag"] = POSTAL_VERSION_BROKEN
    run = site.postal()
    assert (run.code, run.status) == (1, "failed")
    assert "the previous version and its data are back and running" in run.error
    assert site.sql(EVERYTHING) == before
    old = site.copy()
    old.settings["image"]["tag"] = "3.3.7"
    again = old.postal()
    assert again.code == 0, again.progress
    assert again.summary["facts"]["containers"] == {"web": "healthy", "smtp": "healthy", "worker": "healthy"}
    old.send("after the failed upgrade")


def test_an_upgrade_keeps_everything(site: PostalSite) -> None:
    before = site.sql(EVERYTHING)
    site.settings["image"]["tag"] = POSTAL_VERSION_NEXT
    check = site.postal("check")
    assert check.code == 2
    assert any("databases were last used by another image" in what for what in check.summary["changed"])
    run = site.postal()
    assert run.code == 0, run.progress
    assert run.summary["facts"]["version"] == POSTAL_VERSION_NEXT
    assert site.sql(EVERYTHING) == before
    assert site.sh(f"ls {DIRECTORY}").count("-before-upgrade.tar") >= 1
    assert site.sh(f"docker exec {site.container('web')} postal version").strip() == POSTAL_VERSION_NEXT
    assert site.postal().code == 0
