"""The probe against a stand-in for Google in the same process, and its judgement of outcomes."""

import contextlib
import io
import json
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mailstack.relay_rule import normalised as program_normalised
from mailstack.relay_rule import probe_replies
from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, StandinConfig
from rehearsal.pki import make_server_pki
from relay_probe import probe
from relay_probe.__main__ import RelayProbe, once
from relay_probe.smtp import ProbeError, Reply
from rolelib import protocol

Outcome = tuple[int, dict[str, Any], str]
RunRole = Callable[..., Outcome]

PASSWORD = "abcd efgh ijkl mnop"
RULE = {
    "domains": ["example.com"],
    "allowed_ips": ["127.0.0.0/8"],
    "allowed_senders": "domain-addresses",
    "registered_users": [],
    "require_tls": True,
    "require_smtp_auth": False,
    "smtp_auth_users": {"relay@example.com": PASSWORD},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pki")
    pki = make_server_pki("127.0.0.1")
    (folder / "ca.pem").write_text(pki.ca_certificate)
    pki.server.write(folder, "server")
    for name, pair in pki.faulty.items():
        pair.write(folder, name)
    return folder


@pytest.fixture(scope="module")
def running(files: Path) -> Iterator[GoogleStandin]:
    def pair(name: str) -> dict[str, str]:
        return {"certificate": str(files / f"{name}.crt"), "key": str(files / f"{name}.key")}

    config = StandinConfig.from_json(
        {
            "hostname": "smtp-relay.gmail.com",
            "listeners": [
                {"host": "127.0.0.1", "port": 0, "tls": "starttls"},
                {"host": "127.0.0.1", "port": 0, "tls": "implicit"},
            ],
            "control": {"host": "127.0.0.1", "port": 0},
            "tls": dict[str, Any](
                pair("server"), faulty={name: pair(name) for name in ("wrong-name", "unknown-ca", "expired")}
            ),
            "rule": RULE,
        }
    )
    with GoogleStandin(config) as server:
        yield server


@pytest.fixture
def google(running: GoogleStandin) -> Iterator[GoogleStandinClient]:
    client = GoogleStandinClient(running.control_url)
    client.put_rule(RULE)
    client.reset()
    yield client
    assert client.messages() == [], "the probe sent a message"
    assert client.counters().transactions == 0 or client.counters().messages_accepted == 0


@pytest.fixture
def settings(running: GoogleStandin, files: Path) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": running.port(0),
        "implicit_tls": False,
        "helo": "relay.example.com",
        "ca_file": str(files / "ca.pem"),
        "sender": "probe@example.com",
        "recipient": "postmaster@example.com",
        "ip_protocol": "any",
        "source_address": None,
        "connect_timeout": 5,
        "deadline_seconds": 0,
        "interval_seconds": 1,
        "on_failure": "fail",
        "replies": probe_replies(),
    }


def run(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, Any],
    secrets: dict[str, str] | None = None,
    factory: Callable[[dict[str, Any], dict[str, Any]], RelayProbe] = RelayProbe,
) -> Outcome:
    """Run the role by its protocol in this process; return exit code, summary and progress lines."""
    monkeypatch.setattr(protocol, "LOCK_PATH", str(tmp_path / "lock"))
    document = json.dumps({"settings": settings, "secrets": secrets or {}})
    monkeypatch.setattr(sys, "stdin", io.StringIO(document))
    code = protocol.main(factory, [])
    captured = capsys.readouterr()
    return code, json.loads(captured.out), captured.err


@pytest.fixture
def role(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> RunRole:
    return lambda *arguments, **more: run(monkeypatch, tmp_path, capsys, *arguments, **more)


def step_names(summary: dict[str, Any]) -> list[str]:
    return [step["step"] for step in summary["facts"]["probe"]["steps"]]


def test_a_listed_host_passes_every_step_with_evidence(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    code, summary, _ = role(settings)
    assert (code, summary["status"], summary["error"]) == (0, "unchanged", None)
    assert step_names(summary) == [
        "resolve", "connect", "banner", "ehlo", "starttls", "tls", "ehlo-tls", "mail", "rcpt", "rset", "quit",
    ]  # fmt: skip
    steps = {step["step"]: step for step in summary["facts"]["probe"]["steps"]}
    assert steps["connect"]["source_address"] == "127.0.0.1"
    assert steps["tls"]["version"] in ("TLSv1.2", "TLSv1.3")
    assert steps["tls"]["cipher"]
    assert steps["tls"]["certificate"]["names"] == ["127.0.0.1"]
    assert steps["tls"]["certificate"]["issuer"]
    assert steps["tls"]["certificate"]["not_after"]
    assert any("STARTTLS" in line for line in steps["ehlo"]["reply"])
    assert steps["rcpt"]["reply"][0].startswith("250 2.1.5")


def test_implicit_tls_needs_no_starttls(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient, running: GoogleStandin
) -> None:
    code, summary, _ = role(dict(settings, port=running.port(1), implicit_tls=True))
    assert code == 0
    assert step_names(summary)[:4] == ["resolve", "connect", "tls", "banner"]
    assert "starttls" not in step_names(summary)


def test_an_address_that_is_not_listed_is_explained(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "allowed_ips": ["192.0.2.1/32"], "domains": ["elsewhere.example"]})
    code, summary, _ = role(settings)
    assert code == 1
    failure = summary["facts"]["probe"]["failure"]
    assert (failure["stage"], failure["name"]) == ("rcpt", "relay-denied")
    assert failure["reply"][0].startswith("550-5.7.0 Mail relay denied [127.0.0.1]")
    message = summary["error"]["message"]
    assert "add the address in brackets to the rule" in message
    assert "source address 127.0.0.1, EHLO relay.example.com" in message


def test_a_general_ehlo_name_is_explained(role: RunRole, settings: dict[str, Any], google: GoogleStandinClient) -> None:
    code, summary, _ = role(dict(settings, helo="localhost"))
    failure = summary["facts"]["probe"]["failure"]
    assert (code, failure["stage"], failure["name"]) == (1, "ehlo", "ehlo-refused")
    assert "full name inside one of your registered domains" in failure["fix"]


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        ("wrong-name", "not valid for '127.0.0.1'"),
        ("unknown-ca", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
def test_a_certificate_that_cannot_be_trusted_fails_at_once(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient, certificate: str, words: str
) -> None:
    google.serve_certificate(certificate)
    started = time.monotonic()
    code, summary, _ = role(dict(settings, deadline_seconds=30))
    assert code == 1
    assert time.monotonic() - started < 10
    failure = summary["facts"]["probe"]["failure"]
    assert (failure["kind"], failure["curable"]) == ("tls", False)
    assert words in failure["text"]
    assert summary["facts"]["probe"]["attempts"] == 1


def test_auth_that_is_required_but_not_given_is_explained(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "require_smtp_auth": True})
    code, summary, _ = role(settings)
    assert code == 1
    assert summary["facts"]["probe"]["failure"]["name"] == "auth-required"


def test_good_credentials_pass_and_stay_out_of_all_output(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "require_smtp_auth": True})
    code, summary, progress = role(settings, {"username": "relay@example.com", "password": PASSWORD})
    assert code == 0
    assert "auth" in step_names(summary)
    assert PASSWORD not in json.dumps(summary) + progress


def test_bad_credentials_are_explained_and_not_tried_again(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "require_smtp_auth": True})
    wrong = {"username": "relay@example.com", "password": "wrong password"}
    code, summary, progress = role(dict(settings, deadline_seconds=30), wrong)
    assert code == 1
    probe_facts = summary["facts"]["probe"]
    assert (probe_facts["failure"]["name"], probe_facts["attempts"]) == ("bad-credentials", 1)
    assert "wrong password" not in json.dumps(summary) + progress


def test_on_failure_warn_reports_and_exits_with_zero(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "allowed_ips": ["192.0.2.1/32"]})
    code, summary, _ = role(dict(settings, on_failure="warn"))
    assert (code, summary["status"], summary["error"]) == (0, "unchanged", None)
    assert summary["facts"]["probe"]["ok"] is False
    assert "would not take mail from this host" in summary["warnings"][0]


@pytest.mark.slow
def test_a_rule_that_spreads_late_is_waited_for(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "allowed_ips": ["192.0.2.1/32"]})
    timer = threading.Timer(1.5, google.put_rule, [RULE])
    timer.start()
    try:
        code, summary, progress = role(dict(settings, deadline_seconds=20))
    finally:
        timer.join()
    assert code == 0
    assert summary["facts"]["probe"]["ok"] is True
    assert summary["facts"]["probe"]["attempts"] >= 2
    assert "poll: attempt 1:" in progress


@pytest.mark.slow
def test_waiting_ends_at_the_deadline(role: RunRole, settings: dict[str, Any], google: GoogleStandinClient) -> None:
    google.put_rule({**RULE, "allowed_ips": ["192.0.2.1/32"]})
    started = time.monotonic()
    code, summary, _ = role(dict(settings, deadline_seconds=2))
    assert code == 1
    assert 1.5 < time.monotonic() - started < 8
    assert summary["facts"]["probe"]["attempts"] == 3


def test_check_looks_once_whatever_the_deadline(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.put_rule({**RULE, "allowed_ips": ["192.0.2.1/32"]})
    code, summary, _ = role(dict(settings, deadline_seconds=60), factory=once)
    assert (code, summary["facts"]["probe"]["attempts"]) == (1, 1)


@pytest.mark.slow
def test_a_temporary_fault_is_tried_again(role: RunRole, settings: dict[str, Any], google: GoogleStandinClient) -> None:
    google.refuse("temporary-system-problem", stage="mail", count=1)
    code, summary, _ = role(dict(settings, deadline_seconds=20))
    assert (code, summary["facts"]["probe"]["attempts"]) == (0, 2)


@pytest.mark.slow
def test_a_connection_dropped_in_between_is_tried_again(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    google.drop("mail", count=1)
    code, summary, _ = role(dict(settings, deadline_seconds=20))
    assert (code, summary["facts"]["probe"]["attempts"]) == (0, 2)


def test_the_null_sender_can_be_probed(role: RunRole, settings: dict[str, Any], google: GoogleStandinClient) -> None:
    code, summary, _ = role(dict(settings, sender=""))
    assert code == 0
    assert "mail" in step_names(summary)


def test_a_name_without_address_fails_at_the_first_step(role: RunRole, settings: dict[str, Any]) -> None:
    code, summary, _ = role(dict(settings, host="no-such-host.invalid"))
    assert code == 1
    assert step_names(summary) == ["resolve"]
    assert summary["facts"]["probe"]["failure"]["kind"] == "dns"


def test_a_closed_port_names_the_address_and_the_reason(role: RunRole, settings: dict[str, Any]) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    code, summary, _ = role(dict(settings, port=port))
    assert code == 1
    failure = summary["facts"]["probe"]["failure"]
    assert (failure["kind"], failure["stage"], failure["curable"]) == ("network", "connect", True)
    assert "127.0.0.1: Connection refused" in failure["text"]


def test_a_missing_ca_file_is_named(role: RunRole, settings: dict[str, Any], google: GoogleStandinClient) -> None:
    code, summary, _ = role(dict(settings, ca_file="/nonexistent/ca.pem"))
    assert code == 1
    assert "/nonexistent/ca.pem" in summary["error"]["message"]


class Scripted:
    """A server that says fixed lines, one batch per line it hears; what it heard is kept."""

    def __init__(self, *batches: bytes) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.heard: list[str] = []
        self.batches = list(batches)
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        connection, _ = self.listener.accept()
        # The probe hangs up when it has heard enough.
        with contextlib.suppress(ConnectionError), connection, connection.makefile("rb") as lines:
            connection.sendall(self.batches.pop(0))
            for line in lines:
                self.heard.append(line.decode().strip())
                if not self.batches:
                    return
                connection.sendall(self.batches.pop(0))

    def close(self) -> None:
        self.listener.close()
        self.thread.join(5)


def test_a_server_without_starttls_is_not_spoken_to_in_clear(role: RunRole, settings: dict[str, Any]) -> None:
    server = Scripted(b"220 hello\r\n", b"250-here\r\n250 SIZE 100\r\n")
    code, summary, _ = role(dict(settings, port=server.port), {"username": "u@example.com", "password": PASSWORD})
    server.close()
    assert code == 1
    assert summary["facts"]["probe"]["failure"]["stage"] == "starttls"
    assert server.heard == ["EHLO relay.example.com"]


def test_data_injected_before_tls_is_refused(role: RunRole, settings: dict[str, Any]) -> None:
    server = Scripted(b"220 hello\r\n", b"250-here\r\n250 STARTTLS\r\n", b"220 go\r\n250 injected\r\n")
    code, summary, _ = role(dict(settings, port=server.port))
    server.close()
    assert code == 1
    assert "between STARTTLS and TLS" in summary["facts"]["probe"]["failure"]["text"]


@pytest.mark.parametrize(
    ("batch", "kind"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "protocol"),
        (b"554 no service\r\n", "reply"),
        (b"2" * 9000, "protocol"),
        (b"220-x\r\n" * 200, "protocol"),
    ],
    ids=["http", "no service", "endless line", "endless reply"],
)
def test_a_server_that_does_not_speak_smtp_is_told_apart(
    role: RunRole, settings: dict[str, Any], batch: bytes, kind: str
) -> None:
    server = Scripted(batch)
    code, summary, _ = role(dict(settings, port=server.port))
    server.close()
    assert code == 1
    failure = summary["facts"]["probe"]["failure"]
    assert (failure["kind"], failure["stage"]) == (kind, "banner")


def test_an_unknown_reply_is_shown_as_it_came(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    code, summary, _ = role(dict(settings, replies=[], helo="localhost"))
    assert code == 1
    assert "not in the table of known ones" in summary["error"]["message"]
    assert summary["facts"]["probe"]["failure"]["reply"][0] in summary["error"]["message"]


@pytest.mark.parametrize(
    "lines",
    [
        ["550-5.7.0 Mail relay denied [1.2.3.4].", "550-5.7.0 one of", "550 5.7.0 them"],
        ["421 4.7.0 Try again later, closing connection. (EHLO)"],
        ["250-one", "250 two"],
        ["250"],
    ],
)
def test_host_and_program_read_a_reply_alike(lines: list[str]) -> None:
    assert probe.normalised(lines) == program_normalised("\r\n".join(lines))


@pytest.mark.parametrize(
    ("reply", "known", "worth"),
    [
        ("450 4.2.1 x", None, True),
        ("550 5.0.0 x", None, False),
        ("550 5.7.0 Mail relay denied [1.2.3.4]", {"curable": True}, True),
        ("421 4.7.0 TLS required for RCPT domain", {"curable": False}, False),
    ],
)
def test_waiting_follows_the_table_and_else_the_code(reply: str, known: dict[str, Any] | None, worth: bool) -> None:
    failure = ProbeError("reply", "rcpt", reply, reply.startswith("4"), Reply([reply]))
    assert probe.worth_waiting(failure, known) is worth


def test_an_entry_for_one_stage_does_not_explain_another() -> None:
    table = [{"name": "a", "pattern": "^535", "stage": "auth", "cause": "c", "fix": "f", "curable": False}]
    reply = Reply(["535 5.7.8 x"])
    assert probe.explain(ProbeError("reply", "auth", "", False, reply), table) == table[0]
    assert probe.explain(ProbeError("reply", "rcpt", "", False, reply), table) is None


def test_polling_takes_no_lock_that_other_roles_need(
    monkeypatch: pytest.MonkeyPatch, role: RunRole, settings: dict[str, Any], google: GoogleStandinClient
) -> None:
    monkeypatch.setattr(protocol, "_open_lock", lambda: pytest.fail("the probe took the host's lock"))
    assert role(settings)[0] == 0


@pytest.mark.parametrize("field", ["helo", "sender", "recipient"])
def test_a_line_break_in_a_setting_becomes_no_command(
    role: RunRole, settings: dict[str, Any], google: GoogleStandinClient, field: str
) -> None:
    code, summary, _ = role(dict(settings, **{field: "x@example.com>\r\nDATA"}))
    assert code == 1
    assert "cannot be sent as one command" in summary["error"]["message"]
