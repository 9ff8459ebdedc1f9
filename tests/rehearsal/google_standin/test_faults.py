"""Every documented refusal and failure can be switched on."""

import smtplib
import socket
import ssl
import time

import pytest

from rehearsal.google_standin import REPLIES, GoogleStandin, GoogleStandinClient, Stage
from tests.rehearsal.google_standin.talking import (
    BODY,
    EHLO,
    RECIPIENT,
    RULE,
    SENDER,
    Files,
    Talk,
    client,
    envelope,
    first_refusal,
    talk,
    wait_for,
)


def test_table_holds_every_documented_refusal() -> None:
    have = {(reply.code, reply.enhanced) for reply in REPLIES.values()}
    documented = """
        421 4.7.0, 421 4.3.0, 421 4.4.5, 421 4.7.28, 450 4.2.1, 451 4.3.0, 451 4.4.2, 452 4.2.2, 452 4.5.3,
        454 4.7.0, 530 5.7.0, 530 5.5.1, 535 5.7.8, 535 5.7.1, 550 5.7.0, 550 5.7.1, 550 5.4.5, 550 5.7.28
    """
    for item in documented.split(","):
        code, enhanced = item.split()
        assert (int(code), enhanced) in have
    texts = {reply.text.split("\n")[0] for reply in REPLIES.values()}
    for phrase in (
        "IP not in whitelist for RCPT domain",
        "TLS required for RCPT domain",
        "Daily SMTP relay limit exceeded for customer.",
        "Daily SMTP relay limit exceeded for user.",
    ):
        assert any(text.startswith(phrase) for text in texts)


def drive_to(session: Talk, stage: str) -> str:
    """The answer at one stage of a session that is otherwise fine."""
    if stage == "connect":
        return session.reply()
    assert session.reply().startswith("220 ")
    for name, line in (
        ("ehlo", f"EHLO {EHLO}"),
        ("starttls", "STARTTLS"),
        ("auth", "AUTH PLAIN AGEAYg=="),
        ("mail", f"MAIL FROM:<{SENDER}>"),
        ("rcpt", f"RCPT TO:<{RECIPIENT}>"),
        ("data", "DATA"),
        ("end-of-data", BODY.decode() + "."),
    ):
        if name in {"starttls", "auth"} and name != stage:
            continue
        answer = session.ask(line)
        if name == stage:
            return answer
        assert answer[0] in "23"
    raise AssertionError(stage)


@pytest.mark.parametrize("name", list(REPLIES))
def test_every_reply_of_the_table_can_be_switched_on_at_its_stage(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, name: str
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    reply = REPLIES[name]
    fault = control.refuse(name)
    stage = str(fault.stage)
    assert stage == ("mail" if reply.stage is Stage.ANY else reply.stage.value)
    with Talk(standin.port()) as session:
        if stage == "auth":
            assert session.reply().startswith("220 ")
            session.ask(f"EHLO {EHLO}")
            session.starttls(files.context())
            session.ask(f"EHLO {EHLO}")
            answer = session.ask("AUTH PLAIN AGEAYg==")
        else:
            answer = drive_to(session, stage)
        lines = answer.split("\n")
        assert all(line[:3] == str(reply.code) and line[4:].startswith(f"{reply.enhanced} ") for line in lines)
        assert reply.text.split("\n")[0].split("{")[0] in lines[0]
        assert lines[-1].endswith(" - gsmtp")
        if reply.closes:
            assert session.is_closed()
        elif stage not in {"connect", "ehlo", "starttls"}:
            assert session.ask("NOOP").startswith("250 ")
    assert control.counters().refused == {name: 1}
    assert control.messages() == []
    assert control.faults()[0].used == 1


@pytest.mark.parametrize("stage", [item.value for item in Stage if item not in {Stage.ANY, Stage.AUTH}])
def test_a_reply_can_be_moved_to_another_stage(
    standin: GoogleStandin, control: GoogleStandinClient, stage: str
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    control.refuse("mail-temporarily-rejected", stage=stage)
    with Talk(standin.port()) as session:
        assert drive_to(session, stage).startswith("451 4.3.0 Mail server temporarily rejected message.")


def test_counted_fault_ends_after_so_many_transactions(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.refuse("mailbox-full", count=2)
    with talk(standin, files) as session:
        session.ask(f"MAIL FROM:<{SENDER}>")
        # Both recipients of one transaction: still one use.
        assert session.ask(f"RCPT TO:<{RECIPIENT}>").startswith("452 4.2.2")
        assert session.ask("RCPT TO:<second@example.org>").startswith("452 4.2.2")
        session.ask("RSET")
        assert control.faults()[0].remaining == 1
        assert first_refusal(session).startswith("452 4.2.2")
        session.ask("RSET")
        assert envelope(session)[2].startswith("354 ")
    assert (control.faults()[0].remaining, control.faults()[0].used) == (0, 2)


@pytest.mark.parametrize(("scope", "code"), [("customer", "550-5.7.1 Daily"), ("user", "550-5.4.5 Daily")])
def test_quota_fault_gives_the_daily_limit_reply_and_the_message_passes_later(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, scope: str, code: str
) -> None:
    control.exceed_quota(scope, count=1)
    with talk(standin, files) as session:
        assert first_refusal(session).startswith(code)
        session.ask("RSET")
        envelope(session)
        session.send(BODY + b".\r\n")
        assert session.reply().startswith("250 ")
    assert control.counters().messages_accepted == 1


def test_message_refused_after_its_data_is_not_kept(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.refuse("unusual-rate", count=1)
    with client(standin, files) as session:
        with pytest.raises(smtplib.SMTPDataError) as caught:
            session.sendmail(SENDER, [RECIPIENT], BODY)
        assert caught.value.smtp_code == 550
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_dropped_connection_gives_no_answer(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    control.drop("end-of-data", count=1)
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        assert session.is_closed()
    assert control.messages() == []
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_while_down_ports_are_closed_and_open_sessions_end_and_later_the_same_ports_serve_again(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    ports = [standin.port(0), standin.port(1)]
    with talk(standin, files) as session:
        control.take_down()
        assert session.is_closed()
    assert not control.is_healthy()
    for port in ports:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=2)
    control.clear_faults()
    assert control.is_healthy()
    assert [standin.port(0), standin.port(1)] == ports
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


def test_slow_delays_each_reply(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    with talk(standin, files) as session:
        fault = control.slow_down(0.15)
        for _ in range(2):
            started = time.monotonic()
            session.ask("NOOP")
            assert time.monotonic() - started >= 0.15
        control.remove_fault(fault.id)
        started = time.monotonic()
        session.ask("NOOP")
        assert time.monotonic() - started < 0.15


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("wrong-name", "certificate is not valid for"),
        ("unknown-ca", "unable to get local issuer certificate"),
        ("expired", "certificate has expired"),
    ],
)
def test_wrong_certificate_is_served_and_a_verifying_client_sends_nothing(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, kind: str, reason: str
) -> None:
    control.serve_certificate(kind)
    session = smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5)
    with pytest.raises(ssl.SSLCertVerificationError, match=reason):
        session.starttls(context=files.context())
    session.close()
    wait_for(lambda: control.counters().handshake_failures == 1)
    assert control.counters().tls_sessions == 0
    assert control.messages() == []
    control.clear_faults()
    with client(standin, files) as smtp:
        smtp.sendmail(SENDER, [RECIPIENT], BODY)
    assert len(control.messages()) == 1


@pytest.mark.parametrize(
    ("description", "problem"),
    [
        ({"kind": "explode"}, "kind"),
        ([], "kind"),
        ({"kind": "down", "count": 1}, "unknown key count"),
        ({"kind": "slow"}, "seconds"),
        ({"kind": "slow", "seconds": -1}, "seconds"),
        ({"kind": "reply", "reply": "no-such"}, "no-such"),
        ({"kind": "reply", "reply": "mailbox-full", "stage": "any"}, "stage"),
        ({"kind": "reply", "reply": "mailbox-full", "count": 0}, "count"),
        ({"kind": "quota", "scope": "planet"}, "planet"),
        ({"kind": "drop"}, "stage"),
        ({"kind": "certificate", "certificate": "golden"}, "golden"),
    ],
)
def test_wrong_fault_description_is_refused(standin: GoogleStandin, description: object, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        standin.add_fault(description)
    assert standin.faults.active() == ()
