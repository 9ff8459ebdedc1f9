"""The database image of a rehearsal: what the official one promises. It passes with the official one, too."""

import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from rehearsal.ground.archive import Entry, pack
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.labels import NAME, ground_labels
from rehearsal.images import ensure_images

pytestmark = pytest.mark.hosts

ROOT_PASSWORD = "it's a \\'back\\slash\" and a $dollar"
CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "SETGID", "SETUID")
"""What the official image needs to hand its directory to mysql and become that user."""
ENVIRONMENT = {
    "MARIADB_ROOT_PASSWORD_FILE": "/secrets/root",
    "MARIADB_DATABASE": "postal_main",
    "MARIADB_USER": "postal",
    "MARIADB_PASSWORD_FILE": "/secrets/postal",
    "MARIADB_AUTO_UPGRADE": "1",
}
FILES = {
    "/secrets/root": ROOT_PASSWORD,
    "/secrets/postal": "postal's",
    "/etc/mysql/conf.d/mail.cnf": "[mariadbd]\nmax_allowed_packet = 140M\n",
    "/docker-entrypoint-initdb.d/grants.sql": "GRANT ALL ON `postal-server-%`.* TO 'postal'@'%';\n",
}


@pytest.fixture(scope="module")
def image() -> str:
    return ensure_images(lambda _line: None).mariadb


def create(image: str, *options: str) -> str:
    """Make a container that does not start yet, with the rights a careful compose file gives it."""
    # The labels let clean_leftovers() find it when this run dies.
    labels = ground_labels("test-mariadb", keep=False, state=Path("absent")) | {NAME: "database"}
    arguments = [part for name, value in labels.items() for part in ("--label", f"{name}={value}")]
    arguments += ["--cap-drop", "ALL", *(part for name in CAPABILITIES for part in ("--cap-add", name))]
    return docker(["create", "--network", "none", "--security-opt", "no-new-privileges", *arguments, *options, image])


def wait_until_healthy(container: str) -> None:
    deadline = time.monotonic() + 60
    check = ["exec", container, "healthcheck.sh", "--connect", "--innodb_initialized"]
    while docker_try(check).returncode != 0:
        assert time.monotonic() < deadline, log(container)[-2000:]
        time.sleep(0.3)


def log(container: str) -> str:
    done = docker_try(["logs", container])
    return (done.stdout + done.stderr).decode()


@pytest.fixture(scope="module")
def database(image: str) -> Iterator[str]:
    """A running database, set up from files."""
    environment = [part for name, value in ENVIRONMENT.items() for part in ("--env", f"{name}={value}")]
    container = create(image, *environment)
    put(container, FILES)
    docker(["start", container])
    try:
        wait_until_healthy(container)
        yield container
    finally:
        docker(["rm", "--force", "--volumes", container])


def put(container: str, files: Mapping[str, str]) -> None:
    docker(["cp", "-", f"{container}:/"], stdin=pack([Entry(target="/secrets", content=None, mode=0o755)]))
    entries = [Entry(target=path, content=text.encode()) for path, text in files.items()]
    docker(["cp", "-", f"{container}:/"], stdin=pack(entries))


def query(database: str, user: str, password: str, statement: str) -> list[str]:
    """Run SQL over TCP as ``user``. Raises ``CalledProcessError``."""
    script = 'umask 077; cat > /tmp/login.cnf; exec mariadb --defaults-extra-file=/tmp/login.cnf -N -B -e "$0"'
    escaped = password.replace("\\", "\\\\").replace('"', '\\"')
    login = f'[client]\nhost=127.0.0.1\nuser={user}\npassword="{escaped}"\n'
    done = docker_try(["exec", "--interactive", database, "sh", "-c", script, statement], stdin=login.encode())
    if done.returncode != 0:
        raise subprocess.CalledProcessError(done.returncode, statement, done.stdout, done.stderr)
    return done.stdout.decode().splitlines()


def test_the_first_start_makes_the_accounts_and_the_database_asked_for(database: str) -> None:
    assert query(database, "root", ROOT_PASSWORD, "SELECT 1") == ["1"]
    query(database, "postal", "postal's", "CREATE TABLE IF NOT EXISTS postal_main.kept (id INT)")
    # Granted by the file in /docker-entrypoint-initdb.d.
    query(database, "postal", "postal's", "CREATE DATABASE `postal-server-1`")
    with pytest.raises(subprocess.CalledProcessError) as refused:
        query(database, "postal", "postal's", "CREATE DATABASE postalXmain")
    assert b"Access denied" in refused.value.stderr, "the underscore of a database name is no wildcard"
    accounts = query(database, "root", ROOT_PASSWORD, "SELECT user, host FROM mysql.user WHERE user = 'root'")
    assert sorted(accounts) == ["root\t%", "root\tlocalhost"]


def test_settings_from_a_file_are_in_force_and_names_are_not_resolved(database: str) -> None:
    settings = "SELECT @@max_allowed_packet, @@skip_name_resolve, @@character_set_server"
    assert query(database, "postal", "postal's", settings) == ["146800640\t1\tutf8mb4"]


def test_the_server_is_process_one_runs_as_mysql_and_keeps_passwords_out_of_its_log(database: str) -> None:
    status = docker(["exec", database, "cat", "/proc/1/comm", "/proc/1/status"])
    assert status.startswith("mariadbd\n")
    assert "Uid:\t999\t999\t999\t999" in status
    assert "ready for connections" in log(database)
    assert "postal's" not in log(database)
    assert "$dollar" not in log(database)


def test_it_stops_in_order_and_the_next_start_changes_nothing(database: str) -> None:
    query(database, "postal", "postal's", "CREATE TABLE IF NOT EXISTS postal_main.kept (id INT)")
    docker(["stop", "--time", "30", database])
    assert docker(["inspect", "--format", "{{.State.ExitCode}}", database]) == "0"
    assert "Shutdown complete" in log(database)
    put(database, {"/secrets/root": "another"})
    docker(["start", database])
    wait_until_healthy(database)
    assert query(database, "root", ROOT_PASSWORD, "SHOW TABLES FROM postal_main") == ["kept"]


def test_it_is_not_healthy_before_the_first_start_is_done(image: str) -> None:
    container = create(image, "--env", "MARIADB_ROOT_PASSWORD=x")
    put(container, {"/docker-entrypoint-initdb.d/slow.sh": "sleep 4\n"})
    try:
        docker(["start", container])
        deadline = time.monotonic() + 60
        while "slow.sh" not in log(container):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert docker_try(["exec", container, "healthcheck.sh", "--connect"]).returncode == 1
        wait_until_healthy(container)
    finally:
        docker(["rm", "--force", "--volumes", container])


@pytest.mark.parametrize(
    "variables",
    [(), ("--env", "MARIADB_ROOT_PASSWORD=a", "--env", "MARIADB_ROOT_PASSWORD_FILE=/secrets/root")],
    ids=["none", "both"],
)
def test_a_database_without_one_clear_root_password_refuses_to_start(image: str, variables: tuple[str, ...]) -> None:
    container = create(image, *variables)
    try:
        docker(["start", container])
        assert docker(["wait", container]) == "1"
        assert "MARIADB_ROOT_PASSWORD" in log(container)
    finally:
        docker(["rm", "--force", "--volumes", container])


@pytest.mark.parametrize("program", ["mariadb", "mariadb-dump", "mariadb-admin"])
def test_other_programs_of_the_image_run_as_asked(image: str, program: str) -> None:
    assert "10.11." in docker(["run", "--rm", "--network", "none", image, program, "--version"])
