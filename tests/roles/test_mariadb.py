"""Role mariadb on a real host: two runs, passwords that change, data that is not removed by accident."""

from collections.abc import Iterator

import pytest

from tests.roles.postal_site import DATABASE_PASSWORD, ROOT_PASSWORD, PostalSite, postal_ground

pytestmark = pytest.mark.hosts


@pytest.fixture(scope="module")
def installed() -> Iterator[PostalSite]:
    with postal_ground("mariadb", ()) as site:
        yield site


@pytest.fixture
def site(installed: PostalSite) -> PostalSite:
    return installed.copy()


def server(site: PostalSite) -> str:
    return site.container("mariadb", "mailstack-mariadb")


def test_a_second_run_changes_nothing(site: PostalSite) -> None:
    before = server(site)
    run = site.mariadb()
    assert (run.code, run.status) == (0, "unchanged"), run.progress
    assert server(site) == before
    assert site.mariadb("check").code == 0
    assert "MariaDB" in run.summary["facts"]["version"]


def test_the_user_may_make_message_databases_and_touch_no_other(site: PostalSite) -> None:
    site.sql("CREATE DATABASE `postal-server-3`; DROP DATABASE `postal-server-3`;")
    refused = site.sh(
        f"docker exec -i {server(site)} sh -c 'exec mariadb -h127.0.0.1 -upostal "
        '-p"$(cat /run/secrets/mailstack/password)" -e "CREATE DATABASE other"\' 2>&1',
        check=False,
    )
    assert "Access denied" in refused


def test_the_recommended_settings_are_in_force(site: PostalSite) -> None:
    rows = dict(
        site.sql("SHOW VARIABLES WHERE Variable_name IN ('innodb_log_file_size','max_allowed_packet','log_bin');")
    )
    assert int(rows["innodb_log_file_size"]) >= 140 * 1024 * 1024
    assert int(rows["max_allowed_packet"]) >= 64 * 1024 * 1024
    assert rows["log_bin"] == "OFF"


def test_both_passwords_can_be_changed_by_a_later_run_and_back(site: PostalSite) -> None:
    site.sql("CREATE TABLE postal.kept (id INT); INSERT INTO postal.kept VALUES (7);")
    run = site.mariadb(password="another-password", root_password="another root's password")
    assert (run.code, run.status) == (0, "changed"), run.progress
    assert site.sql("SELECT id FROM postal.kept;") == [["7"]]
    again = site.mariadb(password="another-password", root_password="another root's password")
    assert again.status == "unchanged", again.progress
    back = site.mariadb()
    assert (back.code, back.status) == (0, "changed"), back.progress
    site.sql("DROP TABLE postal.kept;")


def test_passwords_are_in_no_inspection_log_or_process_list(site: PostalSite) -> None:
    shown = site.sh(f"docker inspect {server(site)}; docker logs {server(site)} 2>&1; ps axeww; journalctl --no-pager")
    assert DATABASE_PASSWORD not in shown
    assert ROOT_PASSWORD not in shown
    secrets = site.sh("stat -c '%a %u' /opt/mailstack-mariadb/secrets/* /opt/mailstack-mariadb/secrets").split("\n")
    assert secrets[:3] == ["400 999", "400 999", "750 0"]


def test_no_port_is_open_on_the_host(site: PostalSite) -> None:
    assert ":3306" not in site.sh("ss -Hltn")


def test_a_changed_setting_keeps_the_data(site: PostalSite) -> None:
    site.sql("CREATE TABLE postal.kept (id INT); INSERT INTO postal.kept VALUES (7);")
    site.database["max_message_mb"] = 25
    run = site.mariadb()
    assert (run.code, run.status) == (0, "changed"), run.progress
    assert site.sql("SELECT id FROM postal.kept;") == [["7"]]
    site.database["max_message_mb"] = 14
    assert site.mariadb().code == 0


def test_data_is_not_removed_unless_it_is_asked_for(site: PostalSite) -> None:
    refused = site.mariadb("remove")
    assert refused.code == 1
    assert "holds Postal's database" in refused.error
    assert site.sql("SELECT 1;") == [["1"]]
    site.database["remove_data"] = True
    removed = site.mariadb("remove")
    assert (removed.code, removed.status) == (0, "removed"), removed.progress
    assert site.sh("docker volume ls -q --filter name=mailstack-mariadb-data").strip() == ""
    assert site.sh("ls /opt/mailstack-mariadb 2>/dev/null", check=False) == ""
    again = site.mariadb()
    assert (again.code, again.status) == (0, "changed"), again.progress
