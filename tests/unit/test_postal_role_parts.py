"""What role postal decides from what it sees: the database, the relay, DNS, ports, old backups."""

import copy
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest

from mailstack.postal.definition import role_settings
from postal import candidate, checks, processes, provision
from postal.backup import archive, dump
from postal.desired import desired, provision_digest
from postal_operations import look
from rolelib.commands import Result
from rolelib.containers import Container
from rolelib.host import RoleError
from rolelib.mariadb_client import Connection, input_for
from tests.roles.postal_site import provision as provision_document
from tests.unit.test_postal_compose import definition

SETTINGS = role_settings(definition())
FOUND: dict[str, Any] = {
    "version": "10.11.6-MariaDB-1",
    "variables": {"max_allowed_packet": str(64 << 20), "innodb_log_file_size": str(150 << 20)},
    "migrations": 0,
    "rights": None,
}


def judged(**changed: Any) -> Any:
    return candidate._judge_database({"database": {**FOUND, **changed}}, SETTINGS)


def test_a_fitting_database_is_accepted() -> None:
    assert judged()["migrations"] == 0


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"version": "8.0.36"}, "MySQL will not do"),
        ({"version": "10.5.21-MariaDB"}, "10.6 or newer"),
        ({"rights": "Access denied for user 'postal'"}, "`postal-server-%`"),
        ({"variables": {"max_allowed_packet": str(16 << 20)}}, "max_allowed_packet"),
        ({"variables": {"innodb_log_file_size": str(48 << 20)}}, "innodb_log_file_size"),
    ],
)
def test_a_database_postal_cannot_work_with_is_refused_with_the_reason(changed: dict[str, Any], words: str) -> None:
    with pytest.raises(RoleError, match=words):
        judged(**changed)


def test_a_database_that_does_not_answer_is_named_with_its_words() -> None:
    with pytest.raises(RoleError, match="mariadb:3306 within 90 s: Unknown host"):
        candidate._judge_database({"database_error": "Unknown host"}, SETTINGS)


def test_a_relay_without_an_address_in_dns_is_refused() -> None:
    settings = {**SETTINGS, "relay": {"name": "relay.example.com", "port": 2525}}
    candidate._judge_relay({"relay": ["172.29.25.1"]}, settings)
    with pytest.raises(RoleError, match="give the name an A record"):
        candidate._judge_relay({"relay": []}, settings)


def test_a_return_path_that_leads_elsewhere_is_reported() -> None:
    assert candidate._bounce_warnings({"return_path_mx": ["mx.example.com"]}, SETTINGS) == []
    [warning] = candidate._bounce_warnings({"return_path_mx": ["relay.example.com"]}, SETTINGS)
    assert "do not reach Postal: its MX is relay.example.com" in warning


@pytest.mark.parametrize(
    ("line", "address", "taken"),
    [
        ('LISTEN 0 100 0.0.0.0:25 0.0.0.0:* users:(("master",pid=812,fd=13))', "", "master (process 812)"),
        ('LISTEN 0 100 [::]:25 [::]:* users:(("exim4",pid=9,fd=3))', "203.0.113.5", "exim4 (process 9)"),
        ("LISTEN 0 100 127.0.0.1:25 0.0.0.0:*", "127.0.0.1", "another program"),
        ('LISTEN 0 100 127.0.0.1:25 0.0.0.0:* users:(("master",pid=8,fd=1))', "203.0.113.5", ""),
        ("", "", ""),
    ],
)
def test_the_holder_of_a_port_is_named(monkeypatch: pytest.MonkeyPatch, line: str, address: str, taken: str) -> None:
    monkeypatch.setattr(candidate, "run", lambda argv, check: Result(argv, 0, line and line + "\n", ""))
    if not taken:
        candidate.check_port(address, 25)
        return
    with pytest.raises(RoleError) as raised:
        candidate.check_port(address, 25)
    assert f"port 25 is taken by {taken}" in str(raised.value)


def domain(**states: str) -> dict[str, Any]:
    fine = {"dkim": "OK", "spf": "OK", "return_path": "OK", "mx": "Missing"}
    return {"organizations/acme/domains/example.com": {**fine, **states, "errors": {"spf": "no include"}}}


def test_only_missing_dns_records_that_matter_are_reported() -> None:
    assert provision.judge_dns(domain()) == []
    [problem] = provision.judge_dns(domain(dkim="Missing"))
    assert "example.com" in problem
    assert "fails DMARC" in problem
    [problem] = provision.judge_dns(domain(spf="Invalid"))
    assert "spf Invalid: no include" in problem
    assert "DMARC" not in problem


def test_the_cause_in_a_ruby_programs_output_is_not_lost_in_its_back_trace() -> None:
    output = "Creating postal_runner_run ... done\nAccess denied for user\n" + "\n".join(
        f"/gems/rails-7/lib/x.rb:{number}:in `run'" for number in range(40)
    )
    assert processes.telling_lines(output) == ["Access denied for user"]


def test_every_secret_and_every_declared_value_changes_the_digest_and_it_tells_nothing() -> None:
    settings = {**SETTINGS, "provision": provision_document()}
    secrets: dict[str, Any] = {"credentials": {"a": "key"}, "dkim": {"d": "pem"}, "user_passwords": {"admin": "pass"}}
    digests = {provision_digest(settings, secrets, "salt", "script")}
    for group, key in (("credentials", "a"), ("dkim", "d"), ("user_passwords", "admin")):
        other = copy.deepcopy(secrets)
        other[group][key] += "x"
        digests.add(provision_digest(settings, other, "salt", "script"))
    changed = copy.deepcopy(settings)
    changed["provision"]["organizations"]["acme"]["name"] = "Other"
    digests |= {
        provision_digest(changed, secrets, "salt", "script"),
        provision_digest(settings, secrets, "pepper", "script"),
        provision_digest(settings, secrets, "salt", "other script"),
    }
    assert len(digests) == 7


def test_a_key_postal_does_not_know_never_reaches_the_host() -> None:
    secrets = {"config": {"main_db": {"pasword": "x"}}, "signing_key": "key"}
    with pytest.raises(RoleError, match="did you mean password"):
        desired(SETTINGS, secrets)


def test_one_credential_of_each_kind_and_server_is_tried() -> None:
    assert checks.credentials_to_try(provision_document(), "API") == ["acme/mail/app-api"]
    assert checks.credentials_to_try(provision_document(), "SMTP") == ["acme/mail/app"]
    assert checks.credentials_to_try({}, "API") == []


@pytest.mark.parametrize("password", ['quo"te', "back\\slash", "#hash", "= spaced ", "pässwörd"])
def test_a_password_is_one_quoted_option_for_mariadbs_programs(password: str) -> None:
    line = next(each for each in input_for(Connection("u", password)).splitlines() if each.startswith("password="))
    value = line.partition("=")[2]
    assert value[0] == value[-1] == '"'
    assert value[1:-1].replace('\\"', '"').replace("\\\\", "\\") == password


def plan(directory: Path, **changed: Any) -> archive.Plan:
    document = {
        "database": {"password": "database password"},
        "network": "mailstack",
        "directory": str(directory),
        "keep_count": 3,
        "keep_days": 30,
        **changed,
    }
    return archive.Plan(document)


def test_the_newest_backups_stay_and_the_last_one_always(tmp_path: Path) -> None:
    for day in range(1, 6):
        made = tmp_path / f"postal-2026010{day}T000000Z.tar"
        made.write_text("x")
    (tmp_path / "postal-notes.txt").write_text("not ours")
    dump.prune(plan(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "postal-20260103T000000Z.tar",
        "postal-20260104T000000Z.tar",
        "postal-20260105T000000Z.tar",
        "postal-notes.txt",
    ]
    for path in tmp_path.iterdir():
        os.utime(path, (0, 0))
    dump.prune(plan(tmp_path))
    assert [Path(path).name for path in archive.archives(str(tmp_path))] == ["postal-20260105T000000Z.tar"]


def test_an_archive_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    target = tmp_path / "postal-1.tar"
    with pytest.raises(RuntimeError), archive.writing(str(target), None):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_an_encrypted_archive_opens_with_its_passphrase_only(tmp_path: Path) -> None:
    (tmp_path / "right").write_text("correct horse\n")
    (tmp_path / "wrong").write_text("battery staple\n")
    (tmp_path / "member").write_text("content")
    target = str(tmp_path / "postal-1.tar.enc")
    with archive.writing(target, str(tmp_path / "right")) as tar:
        tar.add(str(tmp_path / "member"), "member")
    assert b"content" not in Path(target).read_bytes()
    assert Path(target).stat().st_mode & 0o777 == 0o600
    with archive.opened(target, str(tmp_path / "right")) as tar:
        assert [entry.name for entry in tar] == ["member"]
    for passphrase in (str(tmp_path / "wrong"), None):
        with pytest.raises(archive.BackupError), archive.opened(target, passphrase):
            pass


def test_a_file_that_is_no_archive_is_an_error_in_words(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_text("no archive")
    with pytest.raises(archive.BackupError, match="cannot be read"), archive.opened(str(tmp_path / "x.tar"), None):
        pass
    with tarfile.open(tmp_path / "y.tar", "w") as tar:
        tar.add(str(tmp_path / "x.tar"), "x")
    with archive.opened(str(tmp_path / "y.tar"), None) as stream:
        assert stream.next() is not None


def test_a_container_of_compose_run_does_not_count_as_a_service() -> None:
    labels = {"com.docker.compose.service": "runner", "com.docker.compose.oneoff": "True"}
    document = {"Id": "1", "Name": "/r", "Image": "i", "Config": {"Labels": labels}, "State": {"Running": True}}
    assert Container(document).one_off


def test_the_same_room_is_told_once_and_a_folder_that_is_not_there_not_at_all(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    one, two, gone, other = str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "gone"), "/proc"
    assert look._disks([gone, one, two, other]) == [one, other]
