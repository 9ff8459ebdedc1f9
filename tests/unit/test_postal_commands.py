"""`mailstack postal`, as people and scripts call it. What a host itself answers: tests/roles/test_postal_data.py."""

import copy
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app, main
from mailstack.operate.postal import shown_release
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.reach import drift, operations, outputs
from mailstack.reach.place import HostPlace, Report
from mailstack.settings import initialise
from tests.unit.stack_examples import example, postal_example

pytestmark = pytest.mark.slow

ARCHIVE = "/var/backups/mailstack-postal/postal-20261121T023000Z.tar"
KEY = "recognisable-secret-key"
PROCESS = {
    "running": True,
    "health": "healthy",
    "image": "postal:3.3.7",
    "restarts": 0,
    "started": "2026-11-29T10:00:00Z",
}
SERVER = {
    "server": "example/apps", "mode": "Live", "suspended": False, "waiting": 3, "sending": 0, "held": 1,
    "oldest_seconds": 600, "attempts": 2, "reasons": {"Connection refused": 3}, "messages": [],
}  # fmt: skip
COUNTS = {"messages": 5, "users": 1, "servers": 1, "domains": 1, "credentials": 2}
MANIFEST = {"created": "2026-11-21T02:30:00Z", "postal_image": "postal:3.3.7", "mariadb": "10.11",
            "databases": ["postal", "postal-server-1"], "counts": COUNTS}  # fmt: skip
FACTS: dict[str, dict[str, Any]] = {
    "status": {
        "image": "ghcr.io/postalserver/postal:3.3.7",
        "processes": [{**PROCESS, "service": one, "container": f"postal-{one}-1"} for one in ("web", "smtp", "worker")],
        "disk": [{"path": "/", "bytes": 100, "free": 50}],
        "backup": {"last": "2026-11-29T02:30:00Z", "file": ARCHIVE, "age_seconds": 3600, "error": None, "kept": 3},
        "database": {"version": "10.11-MariaDB", "bytes": 1000, "error": None},
        "servers": [SERVER],
    },
    "queue": {"servers": [{**SERVER, "messages": [
        {"id": 7, "held": False, "from": "app@example.com", "to": "a@x.test", "age_seconds": 600, "status": "SoftFail",
         "reason": "Connection refused"},
    ]}]},
    "users": {"users": [
        {"email": "admin@example.com", "name": "Ada", "admin": True, "created": "2026-11-01 10:00:00"},
        {"email": "eve@example.com", "name": "Eve", "admin": False, "created": "2026-11-02 10:00:00"},
    ]},
    "credentials": {"credentials": [
        {"server": "example/apps", "name": "shop", "type": "SMTP", "hold": False, "last_used": None},
        {"server": "example/apps", "name": "by hand", "type": "API", "hold": True, "last_used": "2026-11-02 10:00:00"},
    ]},
    "log": {"lines": {"postal-worker-1": ["one", "two"]}},
    "backups": {"backups": [{"file": ARCHIVE, "bytes": 1_000_000, "written": 1_790_000_000}]},
    "backup": {"backup": {"file": ARCHIVE, "bytes": 1_000_000, "written": 1_790_000_000, "manifest": MANIFEST}},
    "restore": {
        "archive": {"file": ARCHIVE, "bytes": 1, "written": 1, "manifest": MANIFEST},
        "now": {"databases": ["postal", "postal-server-1", "postal-server-9"], "messages": 12, "error": None},
        "restored": {"restored": MANIFEST["created"], "counts": COUNTS},
    },
}  # fmt: skip


@dataclass
class Host:
    """The host's answers, and what it was asked to do."""

    facts: dict[str, dict[str, Any]] = field(default_factory=lambda: copy.deepcopy(FACTS))
    asked: list[tuple[str, str, Mapping[str, Any]]] = field(default_factory=list)
    changed: list[list[str]] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=postal_example)

    @property
    def done(self) -> list[str]:
        """What was asked for that changes something."""
        return [operation for operation, action, _ in self.asked if action == "apply"]


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Host:
    made = Host()
    raw = made.raw

    def run(
        _self: HostPlace, role: str, settings: Mapping[str, Any], action: str = "apply", *_: Any, **__: Any
    ) -> Report:
        assert role == "postal_operations"
        made.asked.append((str(settings["operation"]), action, settings))
        return Report(place="relay1", changed=(), facts=made.facts[str(settings["operation"])])

    def pulumi(arguments: list[str], value: str, _folder: Path) -> None:
        made.changed.append([*arguments, value])

    text = operations_text(load_plan(raw))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)
    monkeypatch.setattr(drift, "decrypted_config", lambda *_: raw)
    monkeypatch.setattr("mailstack.reach.entry.decrypted_config", lambda *_: raw)
    monkeypatch.setattr(HostPlace, "run", run)
    monkeypatch.setattr(initialise, "run_pulumi", pulumi)
    return made


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(host: Host) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["postal", *arguments, "--stack", "prod"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def test_a_healthy_postal_is_one_screen_and_ends_with_0(call: Call) -> None:
    code, text, _ = call("status")
    assert code == 0
    for words in ("ghcr.io/postalserver/postal:3.3.7", "worker", "10.11-MariaDB", "example/apps", "nothing is wrong"):
        assert words in text
    assert json.loads(call("status", "--json")[1])["problems"] == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda found: found["processes"].pop(), "process worker is not there"),
        (lambda found: found["processes"].pop(), "docker compose (Debian 12: docker-compose) --project-name postal "),
        (lambda found: found["processes"][2].update(running=False), "process worker (postal-worker-1) is not running"),
        (lambda found: found["processes"][1].update(health="unhealthy"), "`mailstack postal logs smtp --stack prod`"),
        (lambda found: found["database"].update(error="no route"), "the database does not answer: no route"),
        (lambda found: found["disk"][0].update(free=5), "are free at /"),
        (lambda found: found["backup"].update(error="hook failed"), "the last backup failed: hook failed"),
        (lambda found: found["backup"].update(age_seconds=None), "there is no backup yet"),
        (lambda found: found["backup"].update(age_seconds=3 * 86400), "the last backup is 3 days old"),
        (lambda found: found["servers"][0].update(suspended=True), "example/apps is suspended"),
    ],
)
def test_what_is_wrong_is_named_and_ends_with_1(
    call: Call, host: Host, change: Callable[[dict[str, Any]], Any], words: str
) -> None:
    change(host.facts["status"])
    code, text, _ = call("status", "--json")
    problems = json.loads(text)["problems"]
    assert (code, len(problems)) == (1, 1)
    assert words in problems[0]
    assert call("status")[0] == 1


def test_the_queue_of_each_server_is_told_with_its_reasons(call: Call) -> None:
    code, text, _ = call("queue")
    assert code == 0
    assert "Connection refused" in text
    assert "a@x.test" in text
    assert json.loads(call("queue", "--server", "example/apps", "--json")[1])[0]["waiting"] == 3
    assert call("queue", "--server", "example/none")[0] == 2


def test_a_backup_is_made_or_only_listed(call: Call, host: Host) -> None:
    assert ARCHIVE in call("backup", "--list")[1]
    assert host.done == []
    assert "5 messages" in " ".join(call("backup")[1].split())
    assert host.done == ["backup"]


def test_a_restore_says_what_is_lost_and_does_nothing_without_a_yes(call: Call, host: Host) -> None:
    code, text, told = call("restore")
    assert (code, text) == (2, "")
    for words in ("12 messages in 3 databases", "postal-server-9, which the backup does not know", "Postal stops"):
        assert words in told
    assert host.done == []
    code, text, _ = call("restore", "--yes", "--json")
    assert (code, json.loads(text)["restored"]["counts"]["messages"]) == (0, 5)
    assert host.done == ["restore"]
    assert host.asked[-1][2]["file"] == ARCHIVE, "the very file that was agreed to"
    host.facts["restore"]["now"]["messages"] = 0
    _, _, told = call("restore")
    assert "goes: 3 databases without a message, of which no dump is made" in told
    assert "in that dump" not in told, "nobody is to look for one"


def test_an_upgrade_is_checked_prepared_by_the_declaration_and_never_performed(call: Call, host: Host) -> None:
    code, text, _ = call("upgrade")
    assert (code, host.changed) == (0, [])
    assert "nothing to do" in text
    assert call("upgrade", "--to", "3.3.8")[0] == 2, "nobody was asked"
    assert (host.changed, host.done) == ([], [])
    code, text, _ = call("upgrade", "--to", "3.3.8", "--yes")
    assert code == 0
    assert host.done == ["backup"]
    assert host.changed == [["config", "set", "--path", "mailstack:postal.image.tag", "--stack", "prod", "3.3.8"]]
    assert "pulumi up --stack prod" in text


def test_an_upgrade_whose_setting_cannot_be_written_names_the_backup_that_it_made(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise initialise.InitError("pulumi config set failed: read-only file system")

    monkeypatch.setattr(initialise, "run_pulumi", refuse)
    result = CliRunner().invoke(app, ["postal", "upgrade", "--to", "3.3.8", "--stack", "prod", "--yes"])
    assert isinstance(result.exception, initialise.InitError)
    assert (result.stdout, host.done) == ("", ["backup"])
    assert f"{ARCHIVE} is made" in result.stderr


def test_an_upgrade_that_failed_is_given_up_by_the_same_command(call: Call, host: Host) -> None:
    """Else each later `pulumi up` would try it again, whatever that was for."""
    host.facts["status"]["image"] = "ghcr.io/postalserver/postal:3.3.6"  # the one before the declared
    code, text, _ = call("upgrade")
    assert code == 0
    assert "mailstack postal upgrade --stack prod --to 3.3.6" in text
    code, text, _ = call("upgrade", "--to", "3.3.6", "--yes")
    assert (code, host.done) == (0, []), "what runs already needs no backup"
    assert host.changed == [["config", "set", "--path", "mailstack:postal.image.tag", "--stack", "prod", "3.3.6"]]
    assert "given up" in text


def test_a_release_that_its_digest_pins_is_told_as_such_and_changed_together_with_it(call: Call, host: Host) -> None:
    """As `mailstack init` writes it in production."""
    digest, before = f"sha256:{'a' * 64}", f"sha256:{'0' * 64}"
    host.raw["postal"]["image"] = {"tag": "3.3.8", "digest": digest}
    host.facts["status"]["image"] = f"ghcr.io/postalserver/postal@{digest}"
    assert "nothing to do" in call("upgrade")[1]
    assert json.loads(call("upgrade", "--json")[1])["release"] == "3.3.8"
    result = CliRunner().invoke(app, ["postal", "upgrade", "--to", "3.3.9", "--stack", "prod", "--yes"])
    assert result.exit_code == 1
    for words in (
        "'mailstack:postal.image.tag' 3.3.9",
        "'mailstack:postal.image.digest'",
        "inspect ghcr.io/postalserver/postal:3.3.9",
    ):
        assert words in str(result.exception)
    assert (host.changed, host.done) == ([], [])
    host.facts["status"]["image"] = f"ghcr.io/postalserver/postal@{before}"
    text = call("upgrade")[1]
    assert "not gone to yet" in text
    assert f"--to {'0' * 64}" not in text, "nobody knows its release"


def test_on_the_one_screen_of_a_stack_an_image_that_a_digest_pins_is_told_by_its_beginning() -> None:
    assert shown_release("ghcr.io/postalserver/postal:3.3.7") == "3.3.7"
    assert shown_release(f"ghcr.io/postalserver/postal@sha256:{'a' * 64}") == f"sha256:{'a' * 12}"


@pytest.mark.parametrize("release", ["3.3.6", "latest", "3.3.7"])
def test_a_release_that_cannot_follow_is_refused_before_anything(host: Host, release: str) -> None:
    result = CliRunner().invoke(app, ["postal", "upgrade", "--to", release, "--stack", "prod", "--yes"])
    assert result.exit_code == 1
    assert release in str(result.exception)
    assert (host.changed, host.done) == ([], [])


def test_logins_and_keys_are_listed_with_what_is_declared(call: Call) -> None:
    told = json.loads(call("user", "list", "--json")[1])
    assert {one["email"]: one["declared"] for one in told} == {"admin@example.com": True, "eve@example.com": False}
    told = json.loads(call("credential", "list", "--json")[1])
    assert {one["name"]: one["declared"] for one in told} == {"shop": True, "by hand": False}
    assert "never" in call("credential", "list")[1]
    code, text, told = call("credential", "list", "--server", "example/none")
    assert (code, text) == (2, "")
    assert "--server example/none has no keys; mail servers that have are example/apps" in told


def test_a_change_that_belongs_in_the_settings_is_told_as_such(call: Call, host: Host) -> None:
    declared = json.loads(call("user", "reset-password", "admin@example.com", "--json")[1])
    assert (declared["link"], "postal.admin.password" in declared["how"]) == (None, True)
    other = json.loads(call("user", "reset-password", "eve@example.com", "--json")[1])
    assert other["link"] == "https://postal.example.com/login/reset"
    assert "https://postal.example.com/users/new" in call("user", "create", "new@example.com")[1]
    assert "hold: true" in call("credential", "revoke", "--server", "example/apps", "--credential", "shop")[1]
    told = json.loads(call("credential", "revoke", "--server", "example/apps", "--credential", "shop", "--json")[1])
    assert told["replace"].startswith("mailstack rotate postal-credential shop --server example/apps --stack prod")
    assert call("credential", "revoke", "--server", "example/apps", "--credential", "gone")[0] == 2
    assert host.asked == []


def test_a_key_is_shown_only_when_asked_for(monkeypatch: pytest.MonkeyPatch, call: Call) -> None:
    told = {"smtp_host": "mx.example.com", "smtp_port": 25, "smtp_user": "example/apps", "smtp_keys": {"shop": KEY},
            "smtp_starttls": True, "sender_domains": ["example.com"],
            "api_keys": {}, "api_url": "https://postal.example.com/api/v1"}  # fmt: skip
    monkeypatch.setattr(outputs, "secret_output", lambda *_: {"example/apps": told})
    where = ("credential", "show", "--server", "example/apps", "--credential", "shop")
    assert KEY not in "".join(map(str, call(*where)))
    assert json.loads(call(*where, "--json")[1])[0]["key"] is None
    assert KEY in call(*where, "--show-secret")[1]
    assert call("credential", "show", "--server", "example/apps", "--credential", "gone")[0] == 2


def test_the_log_of_a_process_is_told_or_followed_until_it_ends(call: Call, host: Host) -> None:
    assert call("logs", "worker")[1].split() == ["one", "two"]
    document = {"unseen": {}, "places": {"postal-worker-1": ["one", "two"]}}
    assert json.loads(call("logs", "worker", "--json")[1]) == document, "as that of the relay"
    assert call("logs", "worker", "--follow")[0] == 0
    told, followed = host.asked[0][2], host.asked[-1][2]
    assert (told["process"], "follow_seconds" in told) == ("worker", False)
    assert (followed["process"], followed["follow_seconds"] > 0) == ("worker", True)


@pytest.mark.parametrize(
    "command",
    [
        ["status"], ["queue"], ["logs"], ["backup"], ["restore"], ["upgrade"], ["user", "list"],
        ["user", "create", "a@example.com"], ["user", "reset-password", "a@example.com"], ["credential", "list"],
        ["credential", "revoke", "--server", "example/apps", "--credential", "shop"],
    ],
)  # fmt: skip
def test_a_stack_without_postal_is_told_in_one_way(
    command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = operations_text(load_plan(example()))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)
    assert main(["postal", *command, "--stack", "prod", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "stack prod has no Postal"}


def test_a_log_is_asked_for_from_1970_on_at_the_earliest(call: Call, host: Host) -> None:
    assert call("logs", "--since", "99999d")[0] == 0
    assert host.asked[-1][2]["since"] == 0
    assert call("logs", "--since", f"{'9' * 400}d")[0] == 2
