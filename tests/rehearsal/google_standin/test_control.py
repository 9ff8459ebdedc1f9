"""Control API, configuration, and the stand-in as a program."""

import json
import os
import shutil
import signal
import smtplib
import socket
import ssl
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rehearsal.google_standin import (
    REPLIES,
    ConfigError,
    ControlError,
    GoogleStandin,
    GoogleStandinClient,
    RelayRule,
    StandinConfig,
)
from rehearsal.standins import GOOGLE_STANDIN
from tests.rehearsal.google_standin.talking import BODY, EHLO, RECIPIENT, RULE, SENDER, Files, client, wait_for

# -- counters and the control API ------------------------------------------------------------------------


def test_messages_are_counted_per_connection(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    for messages in (3, 0, 1):
        with client(standin, files) as session:
            for _ in range(messages):
                session.sendmail(SENDER, [RECIPIENT, "b@example.org"], BODY)
    counters = control.counters()
    assert [item.messages for item in counters.per_connection] == [3, 0, 1]
    assert (counters.connections, counters.transactions, counters.messages_accepted) == (3, 4, 4)
    assert counters.recipients_accepted == 8
    assert counters.tls_sessions == 3
    wait_for(lambda: control.counters().open_connections == 0)


def test_reset_forgets_messages_counters_limits_and_faults_but_not_the_rule(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule({**RULE, "limits": {"customer_recipients_per_day": 1}})
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    control.refuse("mailbox-full")
    wait_for(lambda: control.counters().open_connections == 0)
    control.reset()
    empty = control.counters()
    assert (empty.connections, empty.messages_accepted, empty.refused, empty.per_connection) == (0, 0, {}, ())
    assert (control.messages(), control.faults()) == ([], [])
    assert control.rule()["limits"]["customer_recipients_per_day"] == 1
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)


def test_waiting_for_messages_gives_up_with_the_number_that_came(control: GoogleStandinClient) -> None:
    with pytest.raises(TimeoutError, match="0 of 1 messages"):
        control.wait_for_messages(1, timeout_seconds=0.1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/", None, 404),
        ("GET", "/messages/1", None, 404),
        ("GET", "/messages/x", None, 400),
        ("GET", "/messages?since=-1", None, 400),
        ("POST", "/messages", None, 405),
        ("POST", "/counters", None, 405),
        ("PUT", "/faults", {}, 405),
        ("DELETE", "/faults/77", None, 404),
        ("POST", "/faults", {"kind": "explode"}, 400),
        ("PUT", "/rule", {"domains": []}, 400),
    ],
)
def test_wrong_control_request_is_answered_with_a_reason(
    control: GoogleStandinClient, method: str, path: str, body: object, status: int
) -> None:
    with pytest.raises(ControlError) as caught:
        control._call(method, path, body)
    assert caught.value.status == status
    assert len(str(caught.value)) > len("404: ")


def test_reply_table_is_readable_over_the_control_api(control: GoogleStandinClient) -> None:
    table = control._json("GET", "/replies")["replies"]
    assert [item["name"] for item in table] == list(REPLIES)
    assert all(item["meaning"] and item["evidence"] for item in table)


# -- configuration ---------------------------------------------------------------------------------------


def test_all_configuration_problems_are_reported_together(files: Files) -> None:
    document = files.document(hostnam="x", idle_timeout_seconds=0, listeners=[{"tls": "none"}])
    document["tls"].pop("key")
    document["rule"] = {
        "domains": [],
        "allowed_ips": ["127.0.0.1/8", "x"],
        "allowed_senders": "everyone",
        "limits": {"message_size_bytes": -1, "colour": 1},
    }
    with pytest.raises(ConfigError) as caught:
        StandinConfig.from_json(document)
    for place in (
        "config.hostnam: unknown key",
        "config.idle_timeout_seconds:",
        "listeners[0].tls: 'none'",
        "tls.key:",
        "rule.domains:",
        "rule.allowed_ips: 127.0.0.1/8 has host bits set",
        "rule.allowed_ips: 'x'",
        "rule.allowed_senders: 'everyone' is not one of registered-users, domain-addresses, any-address",
        "rule.limits.message_size_bytes:",
        "rule.limits.colour: unknown key",
    ):
        assert any(problem.startswith(place) for problem in caught.value.problems), place


def test_rule_that_lets_anybody_relay_is_refused() -> None:
    with pytest.raises(ConfigError, match="anybody could relay"):
        RelayRule.from_json({"domains": ["example.com"], "allowed_ips": []})


def test_bad_rule_leaves_the_old_one_in_force(standin: GoogleStandin, control: GoogleStandinClient) -> None:
    before = control.rule()
    with pytest.raises(ControlError, match="unknown key"):
        control.put_rule({**RULE, "colour": "red"})
    assert control.rule() == before
    assert standin.rule().domains == ("example.com", "example.de")


def test_taken_port_is_an_error_and_leaves_nothing_open(files: Files) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        document = files.document()
        document["listeners"][1]["port"] = taken.getsockname()[1]
        config = StandinConfig.from_json(document)
        standin = GoogleStandin(config)
        with pytest.raises(OSError, match="in use"):
            standin.start()
        first = standin.port(0)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", first), timeout=2)


def test_key_of_another_certificate_is_an_error(files: Files) -> None:
    config = StandinConfig.from_json(files.document())
    mixed = replace(config.certificate, key=files.faulty["expired"][1])
    with pytest.raises(ssl.SSLError):
        GoogleStandin(replace(config, certificate=mixed))


# -- as a program ----------------------------------------------------------------------------------------


def program(directory: Path, config: Path) -> "subprocess.Popen[str]":
    # -I would ignore PYTHONPATH; -S drops site-packages, as in a container that has only python3.
    return subprocess.Popen(
        [sys.executable, "-S", "-m", "rehearsal.google_standin", "--config", str(config)],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(directory)},
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """What a container gets, elsewhere."""
    (tmp_path / "rehearsal").mkdir()
    for name in GOOGLE_STANDIN:
        source, target = Path(__file__).parents[3] / "rehearsal" / name, tmp_path / "rehearsal" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    return tmp_path


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_copied_package_runs_with_the_standard_library_alone_and_stops_on_sigterm(files: Files, copied: Path) -> None:
    ports = {"smtp": free_port(), "control": free_port()}
    document = files.document(
        listeners=[{"host": "127.0.0.1", "port": ports["smtp"], "tls": "starttls"}],
        control={"host": "127.0.0.1", "port": ports["control"]},
    )
    config = copied / "config.json"
    config.write_text(json.dumps(document))
    process = program(copied, config)
    try:
        control = GoogleStandinClient(f"http://127.0.0.1:{ports['control']}")
        control.wait_until_healthy(10)
        with smtplib.SMTP("127.0.0.1", ports["smtp"], local_hostname=EHLO, timeout=5) as session:
            session.starttls(context=files.context())
            session.sendmail(SENDER, [RECIPIENT], BODY)
        assert control.wait_for_messages(1)[0].mail_from == SENDER
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=10)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert "message 1, 1 recipients" in log


def test_program_names_every_problem_of_its_configuration(copied: Path) -> None:
    config = copied / "config.json"
    config.write_text('{"listeners": [], "colour": 1}')
    process = program(copied, config)
    _, log = process.communicate(timeout=10)
    assert process.returncode == 1
    for problem in ("config.listeners", "config.colour: unknown key", "tls.certificate", "rule"):
        assert problem in log
