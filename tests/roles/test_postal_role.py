"""Role postal on a real host: from nothing to working logins, what changes and what stays, and what goes wrong."""

import json
import time
from collections.abc import Iterator

import pytest

from tests.roles.postal_site import (
    ADMIN_PASSWORD,
    API_KEY,
    DATABASE_PASSWORD,
    SECRET_KEY,
    SMTP_KEY,
    PostalSite,
    postal_ground,
)
from tests.roles.support import Run

pytestmark = pytest.mark.hosts

NEW_KEY = "NewKeyNewKeyNewKeyNewK01"


@pytest.fixture(scope="module")
def installed() -> Iterator[tuple[PostalSite, Run]]:
    with postal_ground("postal-role") as site:
        yield site, site.postal()


@pytest.fixture
def site(installed: tuple[PostalSite, Run]) -> PostalSite:
    """The installation with settings of the test's own."""
    assert installed[1].code == 0, installed[1].progress
    return installed[0].copy()  # what a test changes, the next run of the next test puts back


def messages(site: PostalSite) -> int:
    return int(site.sql("SELECT COUNT(*) FROM `postal-server-1`.messages;")[0][0])


def started(site: PostalSite) -> str:
    return site.sh("docker inspect -f '{{.Name}} {{.State.StartedAt}}' $(docker ps -q) | sort")


def test_a_new_host_ends_with_logins_that_work(installed: tuple[PostalSite, Run]) -> None:
    site, run = installed
    assert (run.code, run.status) == (0, "changed"), run.progress
    assert run.summary["facts"]["api"] == {"acme/mail/app-api": True}
    assert run.summary["facts"]["smtp_auth"] == {"acme/mail/app": True}
    assert run.summary["facts"]["containers"] == {"web": "healthy", "smtp": "healthy", "worker": "healthy"}
    assert site.sql("SELECT name, dkim_identifier_string, verified_at IS NOT NULL FROM postal.domains;") == [
        ["example.com", "202611", "1"]
    ]
    assert site.sql("SELECT email_address, admin FROM postal.users;") == [["admin@example.com", "1"]]
    assert any("DNS records of example.com" in warning for warning in run.summary["warnings"])


def test_a_second_run_changes_nothing_and_starts_no_rails(site: PostalSite) -> None:
    site.sql("UPDATE postal.domains SET dkim_status = 'OK', spf_status = 'OK', return_path_status = 'OK';")
    before, begun = started(site), time.monotonic()
    run = site.postal()
    seconds = time.monotonic() - begun
    assert (run.code, run.status, run.summary["changed"]) == (0, "unchanged", []), run.progress
    assert "dns:" not in run.progress
    assert started(site) == before
    assert seconds < 10, "without starting Rails this takes about two seconds on an idle machine"
    assert site.postal("check").code == 0


def test_configuration_and_keys_are_only_for_root_and_the_containers_user(site: PostalSite) -> None:
    files = "/opt/postal/config /opt/postal/config/postal.yml /opt/postal/config/signing.key /opt/postal/backup.json"
    assert site.sh(f"stat -c '%a %u:%g' {files}").split("\n")[:4] == [
        "750 0:999",
        "400 999:999",
        "400 999:999",
        "600 0:0",
    ]
    assert site.sh("stat -c '%a' /var/lib/mailstack/postal").strip() == "700"


def test_secrets_show_up_nowhere_others_could_look(site: PostalSite) -> None:
    run = site.postal()
    places = "docker inspect $(docker ps -aq); docker inspect $(docker network ls -q); journalctl --no-pager; ps axeww"
    logs = "for each in $(docker ps -aq); do docker logs $each 2>&1; done"
    readable = "find /opt /etc /run /tmp /var/lib/mailstack -xdev -type f -perm /o+r -exec cat {} + 2>/dev/null"
    seen = site.sh(f"{places}; {logs}; {readable}; true") + run.progress + json.dumps(run.summary)
    for secret in (ADMIN_PASSWORD, API_KEY, SMTP_KEY, DATABASE_PASSWORD, SECRET_KEY):
        assert secret not in seen


def test_a_file_edited_by_hand_is_drift_and_is_put_right(site: PostalSite) -> None:
    site.sh("echo '# edited' >> /opt/postal/config/postal.yml")
    check = site.postal("check")
    assert (check.code, check.summary["changed"]) == (2, ["/opt/postal/config/postal.yml has other content"])
    assert site.postal().status == "changed"
    assert "edited" not in site.sh("cat /opt/postal/config/postal.yml")


def test_only_processes_that_read_a_change_are_replaced(site: PostalSite) -> None:
    before = {name: site.container(name) for name in ("web", "smtp", "worker")}
    site.settings["config"]["smtp_server"]["log_connections"] = True
    run = site.postal()
    assert run.code == 0, run.progress
    after = {name: site.container(name) for name in ("web", "smtp", "worker")}
    assert {name for name in before if before[name] != after[name]} == {"smtp"}


def test_a_changed_name_updates_and_never_duplicates(site: PostalSite) -> None:
    ids = "SELECT 'o', id FROM postal.organizations UNION SELECT 's', id FROM postal.servers UNION "
    ids += "SELECT 'c', id FROM postal.credentials;"
    before = sorted(site.sql(ids))
    organization = site.settings["provision"]["organizations"]["acme"]
    organization.update(name="Acme Worldwide", permalink="acme-worldwide")
    site.server().update(name="Transactional", permalink="transactional", send_limit=500)
    site.server()["credentials"]["app"]["name"] = "app renamed"
    assert site.postal("check").code == 2
    run = site.postal()
    assert run.code == 0, run.progress
    assert "updated organizations/acme (name, permalink)" in run.summary["changed"]
    assert sorted(site.sql(ids)) == before
    assert site.sql("SELECT name, permalink, send_limit FROM postal.servers;") == [
        ["Transactional", "transactional", "500"]
    ]
    assert run.summary["facts"]["smtp_auth"] == {"acme/mail/app": True}


def test_what_is_changed_in_the_web_interface_is_drift_and_is_put_right(site: PostalSite) -> None:
    assert site.postal().code == 0
    site.sql("UPDATE postal.credentials SET hold = 1; UPDATE postal.organizations SET name = 'By hand';")
    check = site.postal("check")
    assert check.code == 2, check.progress
    assert "updated organizations/acme (name)" in check.summary["changed"]
    assert site.postal().status == "changed"
    assert site.sql("SELECT SUM(hold) FROM postal.credentials;") == [["0"]]


def test_a_key_of_an_application_is_rotated_by_declaring_another(site: PostalSite) -> None:
    site.secrets["credentials"]["acme/mail/app-api"] = NEW_KEY
    run = site.postal()
    assert (run.code, run.summary["facts"]["api"]) == (0, {"acme/mail/app-api": True}), run.progress
    assert site.api("messages/message", {"id": 0}, NEW_KEY)["data"]["code"] == "MessageNotFound"
    assert site.api("messages/message", {"id": 0}, API_KEY)["data"]["code"] == "InvalidServerAPIKey"


def test_a_password_its_owner_changed_stays_until_another_one_is_declared(site: PostalSite) -> None:
    digest = "SELECT password_digest FROM postal.users;"
    site.sql("UPDATE postal.users SET password_digest = 'changed-by-owner';")
    site.settings["provision"]["users"]["admin"]["last_name"] = "Lovelace"
    assert site.postal().code == 0
    assert site.sql(digest) == [["changed-by-owner"]]
    site.secrets["user_passwords"]["admin"] = "another-declared-password"
    run = site.postal()
    assert (run.code, run.summary["changed"]) == (0, ["updated users/admin (password_digest)"]), run.progress
    assert site.sql(digest)[0][0].startswith("$2")


def test_removal_is_refused_unless_it_is_asked_for(site: PostalSite) -> None:
    credentials = site.server()["credentials"]
    credentials["extra"] = {"type": "API", "name": "extra"}
    site.secrets["credentials"]["acme/mail/extra"] = NEW_KEY
    assert site.postal().code == 0
    del credentials["extra"]
    refused = site.postal()
    assert refused.code == 1
    assert "organizations/acme/servers/mail/credentials/extra" in refused.error
    assert site.sql("SELECT COUNT(*) FROM postal.credentials;") == [["3"]]
    site.settings["removal"] = "allow"
    run = site.postal()
    assert run.summary["changed"] == ["removed organizations/acme/servers/mail/credentials/extra"], run.progress
    assert site.sql("SELECT COUNT(*) FROM postal.credentials;") == [["2"]]


def test_a_new_mail_server_never_takes_the_number_of_mail_that_is_still_there(site: PostalSite) -> None:
    # As after restoring an older main database beside newer message databases.
    site.sql("CREATE DATABASE `postal-server-7`; CREATE TABLE `postal-server-7`.kept (id INT);")
    servers = site.settings["provision"]["organizations"]["acme"]["servers"]
    servers["late"] = {"name": "Late", "permalink": "late", "mode": "Development"}
    run = site.postal()
    assert run.code == 0, run.progress
    assert run.summary["facts"]["servers"]["organizations/acme/servers/late"]["id"] == 8
    assert site.sql("SHOW TABLES FROM `postal-server-7`;") == [["kept"]]
    # Removed and declared again before Postal's clean-up: it is the same server.
    declared = servers.pop("late")
    site.settings["removal"] = "allow"
    assert site.postal().summary["changed"] == ["removed organizations/acme/servers/late"]
    servers["late"] = declared
    assert site.postal().summary["facts"]["servers"]["organizations/acme/servers/late"]["id"] == 8
    # Only our key of it changes: nothing is made and nothing goes.
    servers["later"] = servers.pop("late")
    assert site.postal().status == "unchanged"
    assert site.sql("SELECT id FROM postal.servers WHERE deleted_at IS NULL;") == [["1"], ["8"]]
    del servers["later"]
    assert site.postal().code == 0
    site.sql("DROP DATABASE `postal-server-7`;")


@pytest.mark.parametrize("fault", ["configuration", "signing key", "relay"])
def test_what_postal_could_not_work_with_never_replaces_what_works(site: PostalSite, fault: str) -> None:
    if fault == "configuration":
        site.settings["config"]["postal"]["trusted_proxies"] = ["not an address"]
    elif fault == "signing key":
        site.secrets["signing_key"] = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"
    else:
        site.settings["config"]["logging"] = {"highlighting_enabled": True}
        site.settings["relay"]["name"] = "nowhere.rehearsal.test"
    before = site.sh("sha256sum /opt/postal/config/* /opt/postal/compose.yaml"), started(site)
    run = site.postal()
    assert (run.code, run.status) == (1, "failed")
    assert {"configuration": "does not accept", "signing key": "does not accept", "relay": "plain DNS"}[
        fault
    ] in run.error
    assert (site.sh("sha256sum /opt/postal/config/* /opt/postal/compose.yaml"), started(site)) == before
    assert site.sh("ls -d /opt/postal/.candidate 2>/dev/null", check=False) == ""


def test_a_database_that_is_down_is_waited_for_and_then_named(site: PostalSite) -> None:
    site.settings["config"]["logging"] = {"highlighting_enabled": True}
    site.settings["database"]["wait_seconds"] = 3
    database = site.container("mariadb", "mailstack-mariadb")
    before = site.sh("sha256sum /opt/postal/config/*")
    site.sh(f"docker stop {database}")
    try:
        run = site.postal()
        assert run.code == 1
        assert "no login at MariaDB on mariadb:3306 within 3 s" in run.error
        assert site.sh("sha256sum /opt/postal/config/*") == before
        site.sh(f"(sleep 6; docker start {database}) >/dev/null 2>&1 &")
        site.settings["database"]["wait_seconds"] = 60
        again = site.postal()
        assert again.code == 0, again.progress
    finally:
        site.sh(f"docker start {database}")


def test_a_port_that_is_taken_is_named_with_its_holder(site: PostalSite) -> None:
    assert site.postal().code == 0
    site.sh(f"docker rm -f {site.container('smtp')}")
    listen = "import socket, time; s = socket.create_server(('0.0.0.0', 25)); time.sleep(300)"
    site.sh(f'nohup python3 -c "{listen}" >/dev/null 2>&1 & echo $! >/run/holder; sleep 1')
    try:
        run = site.postal()
        assert run.code == 1
        assert "port 25 is taken by python3 (process" in run.error
    finally:
        site.sh("kill $(cat /run/holder)")
    assert site.postal().code == 0


def test_mail_in_the_queue_survives_a_killed_worker(site: PostalSite) -> None:
    relay = site.ground.services["relay"]
    site.ground.stop(relay)
    numbers = [site.send(f"queued {number}") for number in range(5)]
    queued = "SELECT COUNT(*) FROM postal.queued_messages;"
    assert site.sql(queued) == [["5"]]
    site.sh(f"docker kill --signal KILL {site.container('worker')}")
    site.ground.start(relay)
    run = site.postal()
    assert run.code == 0, run.progress
    site.sql("UPDATE postal.queued_messages SET retry_after = NULL;")
    site.wait(lambda: site.sql(queued) == [["0"]], "all mail is delivered after the worker is back")
    states = site.sql("SELECT id, status FROM `postal-server-1`.messages;")
    assert all([str(number), "Sent"] in states for number in numbers)


def test_an_orderly_stop_lets_the_worker_end_by_itself(site: PostalSite) -> None:
    worker = site.container("worker")
    site.sh(f"docker stop {worker}")
    assert site.sh(f"docker inspect -f '{{{{.State.ExitCode}}}}' {worker}").strip() != "137"
    assert site.postal().code == 0


@pytest.mark.parametrize("operation", [14, 24, 34])
def test_a_run_killed_anywhere_is_healed_by_the_next(site: PostalSite, operation: int) -> None:
    site.settings["config"]["postal"]["default_maximum_delivery_attempts"] = 18 + operation
    site.server()["name"] = f"Mail {operation}"
    assert site.killed("postal", operation) in {137, -9}
    again = site.postal()
    assert again.code == 0, again.progress
    assert site.postal("check").code == 0
    assert site.sql("SELECT name FROM postal.servers WHERE deleted_at IS NULL;") == [[f"Mail {operation}"]]
    assert site.sh("ls /var/lib/mailstack/postal/pending.json 2>/dev/null", check=False) == ""


def test_removal_stops_postal_and_keeps_the_mail(site: PostalSite) -> None:
    assert site.postal().code == 0
    kept = messages(site)
    site.sh(
        "cd /opt/postal/config && mkdir .smtp-pair-1 && ln -s .smtp-pair-1 smtp-pair && ln -s smtp-pair/c smtp.cert"
    )
    removed = site.postal("remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    # What role caddy delivers is not this role's to remove.
    assert site.sh("cd /opt/postal && find . -mindepth 2 | sort").split() == [
        "./config/.smtp-pair-1", "./config/smtp-pair", "./config/smtp.cert"
    ]  # fmt: skip
    site.sh("rm -r /opt/postal/config/.smtp-pair-1 /opt/postal/config/smtp*")
    assert messages(site) == kept
    again = site.postal()
    assert (again.code, messages(site)) == (0, kept), again.progress
    assert site.sql("SELECT COUNT(*) FROM postal.users;") == [["1"]]
