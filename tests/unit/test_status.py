"""`mailstack status`: right while things are down, unknown with a reason where nobody answers, and never hanging."""

import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme

from cli import status as command
from cli.main import main
from mailstack.operate import postal_health, served
from mailstack.operate import status as status_module
from mailstack.operate.ages import age
from mailstack.operate.served import Served, look_at
from mailstack.operate.status import Part, gather, looks, worst
from mailstack.operate.tries import time_of
from mailstack.reach.operations import Operations
from mailstack.reach.place import PlaceError, Report, StoppedError
from mailstack.reach.ssh import SshError
from mailstack.verify.history import Past
from mailstack.verify.model import State
from postal import paths as role_paths
from tests.unit.tls_server import greeting_server

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
AT = Operations.model_validate(
    {
        "hosts": {"mail1": {"address": "mail.example.com"}, "mail2": {"address": "mail2.example.com"}},
        "relay": {
            "placement": "vm", "hosts": ["mail1", "mail2"], "listen": {"mail1": [["127.0.0.1", 2525]]},
            "sender": "a@example.com", "upstream": "smtp-relay.gmail.com:587",
        },
        "postal": {
            "placement": "vm", "host": "mail1", "image": "postal:3.3.7", "web_url": "https://postal.example.com",
            "backups": "/var/backups/postal", "calendar": "daily",
        },
    }
)  # fmt: skip
FACTS: dict[str, Any] = {
    "certificates": {}, "clock_synchronised": True, "disks": {"/": 0.5}, "memory": 0.4, "backups": True,
    "last_backup": 60.0, "reboot_required": False, "updates": 3, "security_updates": 0, "password_login": False,
    "system": "Debian GNU/Linux 12 (bookworm)",
}  # fmt: skip
EMPTY: dict[str, Any] = {
    "messages": 0, "bytes": 0, "oldest_seconds": 0, "by_queue": {}, "by_age": {}, "by_domain": {}, "by_reason": {},
}  # fmt: skip
UPSTREAM_DOWN = "connect to smtp-relay.gmail.com:587: Connection timed out"
HELD_UP = EMPTY | {
    "messages": 3, "oldest_seconds": 5400, "by_queue": {"deferred": 3}, "by_reason": {UPSTREAM_DOWN: 3}
}  # fmt: skip
POSTAL: dict[str, Any] = {
    "processes": [
        {"service": name, "container": f"postal-{name}-1", "running": True, "health": "healthy"}
        for name in ("web", "smtp", "worker")
    ],
    "disk": [],
    "servers": [{"waiting": 0, "held": 0, "oldest_seconds": 0}],
    "database": {"error": None},
    "backup": {"age_seconds": 3600, "error": None},
}
LOG = [
    "Nov 29 10:00:00 mail1 postfix/smtp[1]: A1: to=<a@b>, relay=x[1]:587, delay=1, dsn=2.0.0, status=sent (250 ok)",
    "Nov 29 10:01:00 mail1 postfix/smtp[1]: A2: to=<a@b>, relay=none, delay=1, dsn=4.4.1, status=deferred (timed out)",
]


class Host:
    """Answers as roles do; what a test puts into ``answers`` instead of facts is raised."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.answers: dict[str, Any] = {
            "host_facts": FACTS,
            "greeting": {"greeting": "220 relay.example.com ESMTP", "reason": None},
            "configuration": {"version": "3.7.11"},
            "list": {"queue": EMPTY, "messages": []},
            "log": {"lines": LOG},
            "status": POSTAL,
        }

    def run(self, role: str, settings: Mapping[str, Any], action: str = "apply", seconds: int = 0) -> Report:
        assert action == "check", "status changes nothing"
        answer = self.answers[settings.get("operation", role)]
        if isinstance(answer, Exception):
            raise answer
        return Report(place=self.name, changed=(), facts=answer)


class Entry:
    """The ways into two hosts."""

    def __init__(self) -> None:
        self.operations, self.stack, self.folder, self.identity = AT, "prod", Path(), None
        self.hosts = {name: Host(name) for name in AT.hosts}
        self.opened: list[int] = []

    @property
    def plan(self) -> None:
        self.opened.append(1)

    def host(self, name: str) -> Host:
        return self.hosts[name]

    def relay(self, *, host: str | None = None) -> list[Host]:
        return [self.hosts[name] for name in AT.hosts if host in {None, name}]


@pytest.fixture
def entry(monkeypatch: pytest.MonkeyPatch) -> Entry:
    entry = Entry()

    def lines(place: Host, _choice: object, *, since: float | None, limit: int) -> list[str]:
        found = place.answers["log"]
        if isinstance(found, Exception):
            raise found
        return list(found["lines"])

    class Postal:
        def __init__(self, *, entry: Entry) -> None:
            self.entry = entry

        def status(self) -> Mapping[str, Any]:
            return self.entry.host("mail1").run("postal_operations", {"operation": "status"}, "check").facts

    monkeypatch.setattr(status_module, "logs", lines)
    monkeypatch.setattr(status_module, "Postal", Postal)
    return entry


def seen(entry: Entry, outputs: Mapping[str, Any] | None = None, last: Past | None = None) -> dict[str, Part]:
    asked = looks(entry, outputs or {}, last, NOW)  # type: ignore[arg-type]
    return {part.name: part for part in gather(asked, 5)}


def past(**counts: int) -> Past:
    found = {State[name.upper()]: count for name, count in counts.items()}
    return Past(started=NOW - timedelta(hours=2), seconds=1, counts=found, states={})


def test_a_stack_that_is_well_is_ok_and_says_what_runs(entry: Entry) -> None:
    found = seen(entry, {"dns_zones": {"example.com": ""}}, last=past(ok=20))
    components = "relay on mail1, mail2 to smtp-relay.gmail.com:587; Postal 3.3.7 on mail1; zones example.com"
    assert found["components"].told == components
    assert {name: part.state for name, part in found.items()} == dict.fromkeys(
        ["components", "host mail1", "host mail2", "relay mail1", "relay mail2", "Postal", "DNS"], "ok"
    )
    assert found["relay mail1"].told == "Postfix 3.7.11 answers, queue empty, last delivery Nov 29 10:00:00"
    assert found["host mail1"].told == "Debian GNU/Linux 12 (bookworm)"
    assert found["Postal"].told == "3 processes, 0 waiting, 0 held, last backup 1 h ago"
    assert "2 h ago: 20 ok" in found["DNS"].told


def test_the_queue_is_right_while_the_upstream_is_down(entry: Entry) -> None:
    entry.hosts["mail1"].answers["list"] = {"queue": HELD_UP, "messages": []}
    part = seen(entry)["relay mail1"]
    assert part.state == "warn"
    assert f"answers, queue: 3 deferred, oldest 1 h ({UPSTREAM_DOWN})" in part.told
    assert part.details["places"][0]["queue"]["by_queue"] == {"deferred": 3}


def test_an_upstream_that_went_down_a_minute_ago_is_no_good_news(entry: Entry) -> None:
    young = HELD_UP | {"oldest_seconds": 60}
    entry.hosts["mail1"].answers |= {"list": {"queue": young, "messages": []}, "log": {"lines": LOG}}
    part = seen(entry)["relay mail1"]
    assert (part.state, UPSTREAM_DOWN in part.told) == ("warn", True), "the last try was put off"
    entry.hosts["mail1"].answers["log"] = {"lines": [*LOG, LOG[0]]}
    part = seen(entry)["relay mail1"]
    assert (part.state, UPSTREAM_DOWN in part.told) == ("ok", False), "mail gets out again"


def bounce(number: int, dsn: str = "5.7.0", words: str = "550-5.7.0 Mail relay denied [192.0.2.1]. 550 5.7.0 x") -> str:
    return (
        f"Nov 29 11:0{number}:00 mail1 postfix/smtp[1]: B{number}: to=<a@b>, relay=x[1]:587, delay=1, "
        f"dsn={dsn}, status=bounced (host smtp-relay.gmail.com[1] said: {words} (in reply to RCPT TO command))"
    )


@pytest.mark.parametrize(
    ("more", "state", "said"),
    [
        ([bounce(n) for n in range(4)], "fail", "the last 4 tries bounced, since Nov 29 11:00:00 (550-5.7.0 Mail"),
        ([bounce(1)], "warn", "the last try bounced, since Nov 29 11:01:00"),
        ([*(bounce(n) for n in range(4)), LOG[0]], "ok", "queue empty, last delivery"),
        ([bounce(n, "5.1.1", "550 5.1.1 no such account") for n in range(4)], "ok", "queue empty, last delivery"),
        # The relay's own bounces go out to Postal: they are no sign that other mail does.
        (
            [
                *(bounce(n) for n in range(4)),
                "Nov 29 11:09:00 mail1 postfix/qmgr[1]: C1: from=<>, size=1, nrcpt=1 (queue active)",
                LOG[0].replace("A1:", "C1:"),
            ],
            "fail", "the last 4 tries bounced",
        ),
    ],
)  # fmt: skip
def test_an_empty_queue_is_no_good_news_when_all_mail_bounces(
    more: list[str], state: str, said: str, entry: Entry
) -> None:
    entry.hosts["mail1"].answers["log"] = {"lines": [LOG[0], *more]}
    part = seen(entry)["relay mail1"]
    assert (part.state, said in part.told) == (state, True), part.told
    assert part.told.endswith("last delivery Nov 29 10:00:00"), "a bounce on its way back is no delivery"


def test_of_several_reasons_the_most_frequent_is_told(entry: Entry) -> None:
    rare = HELD_UP | {"by_reason": {"a rare one": 1, UPSTREAM_DOWN: 2}}
    entry.hosts["mail1"].answers["list"] = {"queue": rare, "messages": []}
    assert UPSTREAM_DOWN in seen(entry)["relay mail1"].told


def test_a_host_that_does_not_answer_is_unknown_with_its_reason_and_hides_no_other(entry: Entry) -> None:
    for operation in ("host_facts", "greeting"):
        entry.hosts["mail2"].answers[operation] = SshError("mail2.example.com was not reached over SSH: timed out")
    found = seen(entry)
    assert found["host mail2"].state == found["relay mail2"].state == "unknown"
    assert "was not reached" in found["relay mail2"].told
    assert (found["host mail1"].state, found["relay mail1"].state) == ("ok", "ok")
    assert worst(list(found.values())) == "unknown"


def test_a_relay_that_listens_no_more_is_a_failure_with_its_queue(entry: Entry) -> None:
    silent = {"greeting": None, "reason": "127.0.0.1 port 2525: Connection refused"}
    entry.hosts["mail1"].answers |= {"greeting": silent, "list": {"queue": HELD_UP, "messages": []}}
    part = seen(entry)["relay mail1"]
    assert part.state == "fail"
    assert "does not answer (127.0.0.1 port 2525: Connection refused), queue: 3 deferred" in part.told


def test_a_pod_that_is_away_hides_no_other_pod(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = AT.relay.model_copy(update={"placement": "kubernetes", "hosts": ()}) if AT.relay is not None else None
    entry.operations = AT.model_copy(update={"relay": pods})
    entry.hosts["mail2"].answers["list"] = PlaceError("mail2: the queue cannot be read")
    part = seen(entry)["relay"]
    assert part.state == "unknown"
    assert "mail1: Postfix 3.7.11 answers" in part.told
    assert "mail2: the queue cannot be read" in part.told


def test_what_was_seen_not_to_run_is_a_failure(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    pods = AT.relay.model_copy(update={"placement": "kubernetes", "hosts": ()}) if AT.relay is not None else None
    entry.operations = AT.model_copy(update={"relay": pods})
    entry.hosts["mail2"].answers["greeting"] = StoppedError("relay-1 does not run: the pod is Pending")
    part = seen(entry)["relay"]
    assert (part.state, "relay-1 does not run: the pod is Pending" in part.told) == ("fail", True)
    assert "mail1: Postfix 3.7.11 answers" in part.told, "what runs is told all the same"

    def none(**_: object) -> list[Host]:
        raise StoppedError("no pod of statefulset/relay runs in namespace mail")

    monkeypatch.setattr(entry, "relay", none)
    part = seen(entry)["relay"]
    assert (part.state, part.told) == ("fail", "no pod of statefulset/relay runs in namespace mail")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"disks": {"/": 0.5, "/var": 0.04}}, "/var has 4% free"),
        ({"memory": 0.02}, "2% of the memory"),
        ({"clock_synchronised": False}, "clock"),
        ({"reboot_required": True}, "waits for a reboot"),
        ({"security_updates": 4}, "4 security updates"),
    ],
)
def test_what_a_host_lacks_is_told(change: dict[str, Any], said: str, entry: Entry) -> None:
    entry.hosts["mail1"].answers["host_facts"] = FACTS | change
    part = seen(entry)["host mail1"]
    assert (part.state, said in part.told) == ("warn", True)


@pytest.mark.parametrize(
    ("change", "state", "said"),
    [
        (
            {"processes": [*POSTAL["processes"][:2], POSTAL["processes"][2] | {"running": False, "health": None}]},
            "fail", "process worker (postal-worker-1) is not running",
        ),
        ({"processes": POSTAL["processes"][:2]}, "fail", "process worker is not there"),
        (
            {"processes": [*POSTAL["processes"][:2], POSTAL["processes"][2] | {"health": "starting"}]},
            "warn", "worker (postal-worker-1) is starting",
        ),
        ({"processes": []}, "fail", "process web is not there, process smtp is not there"),
        ({"database": {"error": "gone away"}, "servers": None}, "fail", "the database does not answer: gone away"),
        ({"disk": [{"path": "/", "bytes": 100, "free": 5}]}, "warn", "are free at /"),
        ({"servers": [POSTAL["servers"][0] | {"server": "a/b", "suspended": True}]}, "fail", "a/b is suspended"),
        ({"servers": [{"waiting": 5, "held": 1, "oldest_seconds": 7200}]}, "warn", "5 waiting, 1 held, oldest 2 h"),
        ({"backup": {"age_seconds": 3 * 86400, "error": None}}, "warn", "the last backup is 3 days old"),
        ({"backup": {"age_seconds": None, "error": "disk full"}}, "warn", "the last backup failed: disk full"),
        ({"backup": {"age_seconds": None, "error": None}}, "warn", "no backup yet"),
    ],
)  # fmt: skip
def test_what_postal_lacks_is_told(change: dict[str, Any], state: str, said: str, entry: Entry) -> None:
    entry.hosts["mail1"].answers["status"] = POSTAL | change
    part = seen(entry)["Postal"]
    assert (part.state, said in part.told) == (state, True), part.told


def test_postal_that_cannot_be_asked_is_unknown_with_what_was_known(entry: Entry) -> None:
    entry.hosts["mail1"].answers["status"] = PlaceError("mail1: the command there ended with 1")
    part = seen(entry, {"postal_health": {"web": "healthy"}})["Postal"]
    assert part.state == "unknown"
    assert part.told.endswith("(at the last update: web healthy)")


def test_the_relay_rule_is_as_the_last_probe_saw_it(entry: Entry) -> None:
    good, bad = {"ok": True, "failure": None}, {"ok": False, "failure": {"text": "550 5.7.1 relay denied"}}
    assert seen(entry, {"relay_rule_probes": {"mail1": good}})["relay rule"].state == "ok"
    part = seen(entry, {"relay_rule_probes": {"mail1": good, "mail2": bad}})["relay rule"]
    assert (part.state, part.told) == ("fail", "at the last update refused from mail2: 550 5.7.1 relay denied")


@pytest.mark.parametrize(("counts", "state"), [({"ok": 3, "warn": 1}, "warn"), ({"ok": 3, "fail": 1}, "fail")])
def test_dns_is_as_the_last_verify_saw_it(counts: dict[str, int], state: str, entry: Entry) -> None:
    assert seen(entry, last=past(**counts))["DNS"].state == state


def test_dns_nobody_looked_at_names_the_command(entry: Entry) -> None:
    part = seen(entry)["DNS"]
    assert (part.state, part.told) == ("warn", "not looked at from here yet: mailstack verify --stack prod")


@pytest.mark.parametrize(
    ("left", "life", "state", "said"),
    [
        (60, 90, "ok", "60 days left"),
        (15, 90, "ok", "15 days left"),
        (5, 90, "warn", "5 days left"),
        (0.25, 90, "warn", "6 h left"),
        (0, 90, "fail", "has expired"),
        (-3, 90, "fail", "has expired"),
        (4, 6, "ok", "4 days left"),  # one that lives for days is renewed in its last third, and not late before
        (1, 6, "warn", "24 h left"),
        (0.4, 0.5, "ok", "9 h left"),  # Caddy's own authority: twelve hours
        (0.05, 0.5, "warn", "1 h left"),
    ],
)
def test_a_certificate_is_the_one_that_is_served(
    left: float, life: float, state: str, said: str, entry: Entry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        status_module, "look_at", lambda _name, _now: Served(left=timedelta(days=left), life=timedelta(days=life))
    )
    old = {"mx.example.com": {"not_after": "2026-01-01T00:00:00Z", "days_left": 1}}
    part = seen(entry, {"certificates": old})["certificate mx.example.com"]
    assert (part.state, part.told) == (state, said)


def test_a_certificate_nobody_serves_is_unknown(entry: Entry, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_name: str, _now: datetime) -> Served:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr(status_module, "look_at", refused)
    found = seen(entry, {"certificates": {"mx.example.com": {"not_after": "2027-01-01T00:00:00Z"}}})
    assert found["certificate mx.example.com"].state == "unknown"
    assert "2027-01-01" in found["certificate mx.example.com"].told


def test_days_are_those_of_the_certificate_on_the_wire() -> None:
    issuer = trustme.CA()
    end = datetime.now(UTC) + timedelta(days=30, hours=1)
    with greeting_server(issuer.issue_cert("mx.example.com", not_after=end)) as port:
        found = look_at("mx.example.com", datetime.now(UTC), port=port, address="127.0.0.1")
        assert (found.left.days, found.life > found.left) == (30, True)
    with pytest.raises(OSError, match="refused"):
        look_at("mx.example.com", datetime.now(UTC), port=port, address="127.0.0.1")
    assert served.HTTPS_PORT == 443


@pytest.mark.slow
def test_a_look_that_hangs_keeps_nobody_waiting() -> None:
    released = threading.Event()

    def hangs() -> Part:
        released.wait(30)
        return Part(name="slow", state="ok", told="")

    began = time.monotonic()
    found = gather({"slow": hangs, "quick": lambda: Part(name="quick", state="ok", told="there")}, 0.2)
    released.set()
    assert time.monotonic() - began < 5
    assert [(part.name, part.state) for part in found] == [("slow", "unknown"), ("quick", "ok")]
    assert "no answer within" in found[0].told


def test_a_reason_of_several_lines_is_told_with_the_first_that_says_something() -> None:
    def refused() -> Part:
        raise ValueError("1 mistake in the settings:\n  - mailstack:relay: is required\n  - more")

    (part,) = gather({"host": refused}, 5)
    assert part.told == "1 mistake in the settings: - mailstack:relay: is required"
    assert part.details["reason"].endswith("- more")


def test_keys_are_opened_one_look_after_the_other(entry: Entry) -> None:
    seen(entry)
    assert len(entry.opened) == 5
    entry.identity, entry.opened = "key", []  # type: ignore[assignment]
    seen(entry)
    assert entry.opened == [], "with an identity nobody opens the stack's own"


def test_the_time_of_a_line_is_read_in_both_forms() -> None:
    assert time_of("2026-11-29T10:00:00.1+00:00 mail1 postfix: x") == "2026-11-29T10:00:00.1+00:00"
    assert time_of("Nov 29 10:00:00 mail1 postfix: x") == "Nov 29 10:00:00"


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("warn", 0), ("fail", 1), ("unknown", 1)])
def test_the_command_ends_with_1_where_something_is_wrong_or_unseen(
    state: Any, code: int, entry: Entry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "entry_of", lambda _stack, _identity, told: entry)
    # Of another version: nothing of it is needed here.
    outputs = {"verify": {"version": 99, "domains": "example.com"}}
    monkeypatch.setattr("mailstack.reach.outputs.stack_outputs", lambda _stack, _folder: outputs)
    part = Part(name="relay", state=state, told="[red]", details={"x": 1})
    monkeypatch.setattr(status_module, "looks", lambda *_arguments: {"relay": lambda: part})
    assert main(["status", "--stack", "prod", "--json"]) == code
    document = json.loads(capsys.readouterr().out)
    assert document == {"stack": "prod", "state": state, "parts": [part.document()]}
    assert main(["status", "--stack", "prod"]) == code
    assert "[red]" in capsys.readouterr().out


def test_a_stack_whose_backups_no_timer_makes_is_not_wrong_for_having_none(entry: Entry) -> None:
    at = AT.postal.model_copy(update={"calendar": None}) if AT.postal is not None else None
    entry.operations = AT.model_copy(update={"postal": at})
    entry.hosts["mail1"].answers["status"] = POSTAL | {"backup": {"age_seconds": None, "error": None}}
    assert seen(entry)["Postal"].state == "ok"


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(-3, "0 s"), (42, "42 s"), (300, "5 min"), (3 * 3600, "3 h"), (47 * 3600, "47 h"), (48 * 3600, "2 days")],
)
def test_an_age_is_said_in_one_way_everywhere(seconds: float, told: str) -> None:
    assert age(seconds) == told


def test_the_compose_file_that_is_named_is_the_one_the_role_writes() -> None:
    assert postal_health.COMPOSE == role_paths.COMPOSE
