"""The stand-in accepts and refuses senders as Google's relay does."""

import contextlib
import hashlib
import json
import logging
import smtplib
import socket

import pytest

from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, StandinConfig
from tests.rehearsal.google_standin.talking import (
    BODY,
    EHLO,
    PASSWORD,
    RECIPIENT,
    RULE,
    SENDER,
    UNLISTED_IP,
    Files,
    Talk,
    client,
    envelope,
    first_refusal,
    talk,
)

# -- EHLO policy -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "localhost",
        "LOCALHOST",
        "localhost.localdomain",
        "smtp-relay.gmail.com",
        "mailserver",
        "9e409ec3e672",
        "9e409ec3e672.example.com",
        hashlib.sha256(b"container").hexdigest(),
        "[192.0.2.1]",
        "[IPv6:2001:db8::1]",
        "192.0.2.1",
        "2001:db8::1",
        "under score.example.com",
        "-bad.example.com",
        "bad..example.com",
    ],
)
@pytest.mark.parametrize("verb", ["EHLO", "HELO"])
def test_generic_ehlo_name_is_answered_421_and_the_connection_closes(
    standin: GoogleStandin, control: GoogleStandinClient, verb: str, name: str
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        answer = session.ask(f"{verb} {name}")
        assert answer.startswith("421 4.7.0 Try again later, closing connection. (EHLO) ")
        assert answer.endswith(" - gsmtp")
        assert session.is_closed()
    assert control.counters().refused == {"ehlo-refused": 1}


@pytest.mark.parametrize("name", ["mail.example.com", "example.com", "Mail.Example.COM", "mail.example.com."])
def test_fqdn_under_a_registered_domain_is_welcome(standin: GoogleStandin, files: Files, name: str) -> None:
    with talk(standin, files, ehlo=name) as session:
        assert envelope(session, "")[2].startswith("354 ")


# -- who may relay ---------------------------------------------------------------------------------------


def test_unlisted_address_with_unknown_domains_is_denied_with_the_names_google_tried(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files, ehlo="host.dept.example.net", source=UNLISTED_IP) as session:
        mail, rcpt, data = envelope(session, "someone@example.info")
        assert mail.startswith("250 2.1.0")
        assert rcpt.startswith(f"550-5.7.0 Mail relay denied [{UNLISTED_IP}]. Invalid credentials for relay for\n")
        assert "in: example.net, dept.example.net, host.dept.example.net, example.info (as\n" in rcpt
        assert rcpt.split("\n")[-1].startswith("550 5.7.0 ")
        assert data.startswith("503 ")
    assert control.counters().refused["mail-relay-denied"] == 1


def test_unlisted_address_with_a_known_domain_is_refused(standin: GoogleStandin, files: Files) -> None:
    with talk(standin, files, source=UNLISTED_IP) as session:
        assert first_refusal(session).startswith(
            f"550-5.7.1 Invalid credentials for relay [{UNLISTED_IP}]. The IP address you've\n"
        )


def test_listed_address_with_unknown_domains_is_refused(standin: GoogleStandin, files: Files) -> None:
    with talk(standin, files, ehlo="mail.example.net") as session:
        assert first_refusal(session, "someone@example.net").startswith("550-5.7.1 Invalid credentials")


def test_the_sender_domain_alone_identifies_the_customer(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files, ehlo="mail.example.net") as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].relaying_domain == "example.com"


@pytest.mark.parametrize(("stage", "position"), [("mail", 0), ("rcpt", 1), ("data", 2)])
def test_the_rule_says_at_which_command_relay_is_denied(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, stage: str, position: int
) -> None:
    control.put_rule({**RULE, "refuse_relay_at": stage})
    with talk(standin, files, source=UNLISTED_IP) as session:
        answers = [answer[:9] for answer in envelope(session)]
    assert answers[position] == "550-5.7.1"
    assert all(answer[0] in "23" for answer in answers[:position])
    assert control.counters().messages_accepted == 0


def test_null_sender_passes_only_when_ehlo_identifies_the_customer(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files) as session:
        session.sendmail("", [RECIPIENT], BODY)
    with talk(standin, files, ehlo="mail.example.net") as session:
        assert first_refusal(session, "").startswith("550-5.7.1 Invalid credentials for relay")
    (message,) = control.messages()
    assert (message.mail_from, message.relaying_domain) == ("", "example.com")


@pytest.mark.parametrize(
    ("allowed", "sender", "accepted"),
    [
        ("domain-addresses", "anyone@example.com", True),
        ("domain-addresses", "Anyone@EXAMPLE.com", True),
        ("domain-addresses", "someone@example.net", False),
        ("domain-addresses", "someone@sub.example.com", False),
        ("registered-users", "alice@example.com", True),
        ("registered-users", "ALICE@example.com", True),
        ("registered-users", "bob@example.com", False),
        ("registered-users", "", True),
        ("any-address", "someone@example.net", True),
    ],
)
def test_allowed_senders_decides_on_the_envelope_sender(
    standin: GoogleStandin,
    control: GoogleStandinClient,
    files: Files,
    allowed: str,
    sender: str,
    accepted: bool,
) -> None:
    control.put_rule({**RULE, "allowed_senders": allowed, "registered_users": ["alice@example.com"]})
    with talk(standin, files) as session:
        answers = envelope(session, sender)
    if accepted:
        assert answers[2].startswith("354 ")
    else:
        assert answers[1].startswith("550 5.7.0 Mail sending denied")
        assert control.counters().refused["mail-sending-denied"] == 1


def test_ipv6_client_is_matched_against_ipv6_ranges(files: Files) -> None:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    document = files.document(listeners=[{"host": "::", "port": 0, "tls": "starttls"}])
    document["rule"] = {**RULE, "allowed_ips": ["::1/128"]}
    with GoogleStandin(StandinConfig.from_json(document)) as standin:
        control = GoogleStandinClient(standin.control_url)
        with smtplib.SMTP("::1", standin.port(), local_hostname=EHLO, timeout=5) as session:
            session.starttls(context=files.context())
            session.sendmail(SENDER, [RECIPIENT], BODY)
        with talk(standin, files) as raw:
            assert first_refusal(raw).startswith("550-5.7.1 Invalid credentials for relay [127.0.0.1]")
        assert [message.peer_ip for message in control.messages()] == ["::1"]


def test_changed_rule_counts_from_the_next_command_on(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        control.put_rule({**RULE, "domains": ["example.net"]})
        assert first_refusal(session).startswith("550-5.7.1")
        session.ask("RSET")
        control.put_rule(RULE)
        assert envelope(session)[2].startswith("354 ")


# -- SMTP AUTH -------------------------------------------------------------------------------------------


AUTH_RULE = {
    **RULE,
    "allowed_ips": [],
    "require_smtp_auth": True,
    "smtp_auth_users": {"Relay@example.com": PASSWORD},
}


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
@pytest.mark.parametrize("initial", [True, False], ids=["initial-response", "challenge"])
def test_right_password_lets_an_unknown_address_relay(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, mechanism: str, initial: bool
) -> None:
    control.put_rule({**AUTH_RULE, "allowed_senders": "any-address"})
    with client(standin, files, ehlo="mail.example.net", source=UNLISTED_IP) as session:
        session.user, session.password = "relay@example.com", PASSWORD
        action = session.auth_plain if mechanism == "PLAIN" else session.auth_login
        session.auth(mechanism, action, initial_response_ok=initial)
        session.sendmail("someone@example.info", [RECIPIENT], BODY)
    (message,) = control.messages()
    assert (message.auth_user, message.relaying_domain) == ("relay@example.com", "example.com")


def test_session_without_auth_is_refused_when_the_rule_requires_it(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule(AUTH_RULE)
    with talk(standin, files) as session:
        answers = envelope(session)
    assert answers[0].startswith("530-5.5.1 Authentication Required.")
    assert answers[2].startswith("503 ")
    assert control.counters().refused["auth-required"] == 1


@pytest.mark.parametrize(
    ("user", "password"),
    [("relay@example.com", "wrong"), ("relay@example.com", ""), ("nobody@example.com", PASSWORD)],
)
def test_wrong_credentials_are_refused_and_do_not_authenticate(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, user: str, password: str
) -> None:
    control.put_rule(AUTH_RULE)
    with client(standin, files) as session:
        with pytest.raises(smtplib.SMTPAuthenticationError) as caught:
            session.login(user, password)
        assert caught.value.smtp_code == 535
        assert "5.7.8 Username and Password not accepted." in str(caught.value)
        with pytest.raises(smtplib.SMTPSenderRefused):
            session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.counters().messages_accepted == 0


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("AUTH XOAUTH2 eA==", "504 5.7.4 Unrecognized Authentication Type"),
        ("AUTH CRAM-MD5", "504 5.7.4"),
        ("AUTH PLAIN !!!", "501 5.5.2"),
        ("AUTH PLAIN eA==", "501 5.5.2"),
        ("AUTH PLAIN /w==", "501 5.5.2"),
    ],
)
def test_unusable_auth_command_is_refused(standin: GoogleStandin, files: Files, command: str, answer: str) -> None:
    with talk(standin, files) as session:
        assert session.ask(command).startswith(answer)


def test_cancelled_and_repeated_auth_are_refused(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    control.put_rule(AUTH_RULE)
    with talk(standin, files) as session:
        assert session.ask("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert session.ask("*").startswith("501 5.5.2")
    with client(standin, files) as smtp:
        smtp.login("relay@example.com", PASSWORD)
        assert smtp.docmd("AUTH", "PLAIN")[0] == 503


def test_password_appears_neither_in_answers_nor_in_logs_nor_in_reprs(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    control.put_rule(AUTH_RULE)
    with client(standin, files) as session:
        session.login("relay@example.com", PASSWORD)
        session.sendmail(SENDER, [RECIPIENT], BODY)
    with client(standin, files) as session, contextlib.suppress(smtplib.SMTPAuthenticationError):
        session.login("relay@example.com", PASSWORD + "x")
    answers = json.dumps([control.rule(), [item.to_json() for item in control.messages()]])
    assert control.rule()["smtp_auth_users"] == ["relay@example.com"]
    assert ", 1 recipients, " in caplog.text, "the message is logged"
    for text in (answers, caplog.text, repr(standin.rule()), repr(standin.config)):
        assert PASSWORD not in text
