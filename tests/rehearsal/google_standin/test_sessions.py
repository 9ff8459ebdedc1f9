"""Messages go in as they go in at Google's relay, and commands out of order do not."""

import smtplib
import threading

import pytest

from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, StandinConfig
from tests.rehearsal.google_standin.talking import (
    BODY,
    EHLO,
    RECIPIENT,
    RELAY,
    SENDER,
    Files,
    Talk,
    client,
    envelope,
    talk,
)

# -- the way in that works -------------------------------------------------------------------------------


def test_message_over_verified_starttls_is_accepted_and_listed_with_its_facts(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with client(standin, files) as session:
        session.sendmail(SENDER, [RECIPIENT, "second@example.net"], BODY)
        session.sendmail("other@example.de", [RECIPIENT], BODY)
    first, second = control.messages()
    assert (first.mail_from, first.rcpt_to) == (SENDER, (RECIPIENT, "second@example.net"))
    assert (first.ehlo, first.peer_ip, first.port) == (EHLO, "127.0.0.1", standin.port())
    assert first.tls is not None
    assert first.tls.version in {"TLSv1.2", "TLSv1.3"}
    assert first.tls.bits >= 128
    assert (first.tls.resumed, first.tls.client_certificate, first.auth_user) == (False, None, None)
    assert first.size == len(BODY)
    assert first.header("subject") == "hello"
    assert first.header("x-relaying-domain") == "example.com"
    assert second.header("X-Relaying-Domain") == "example.de"
    assert control.raw(second.id) == b"X-Relaying-Domain: example.de\r\n" + BODY
    assert control.messages(since=first.id) == [second]


def test_message_over_implicit_tls_is_accepted(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with smtplib.SMTP_SSL(
        "127.0.0.1", standin.port(1), local_hostname=EHLO, context=files.context(), timeout=5
    ) as session:
        assert session.has_extn("auth") is False
        session.ehlo()
        assert session.has_extn("auth")
        assert not session.has_extn("starttls")
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].port == standin.port(1)


def test_extensions_are_those_of_google_before_and_inside_tls(standin: GoogleStandin, files: Files) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        clear = session.ask(f"EHLO {EHLO}")
        session.starttls(files.context())
        inside = session.ask(f"EHLO {EHLO}")
    assert clear.split("\n")[0] == f"250-{RELAY} at your service, [127.0.0.1]"
    assert "250-SIZE 26214400" in clear
    assert "STARTTLS" in clear
    assert "AUTH" not in clear
    assert "250-AUTH LOGIN PLAIN" in inside
    assert "STARTTLS" not in inside
    for extension in ("8BITMIME", "ENHANCEDSTATUSCODES", "PIPELINING", "SMTPUTF8"):
        assert extension in clear
        assert extension in inside


def test_pipelined_commands_are_answered_in_order(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        session.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{RECIPIENT}>\r\nRCPT TO:<nobody>\r\nDATA\r\n".encode())
        assert [session.reply()[:9] for _ in range(4)] == ["250 2.1.0", "250 2.1.5", "553 5.1.3", "354 Go ah"]
        session.send(BODY + b".\r\nNOOP\r\nQUIT\r\n")
        assert [session.reply()[:9] for _ in range(3)] == ["250 2.0.0", "250 2.0.0", "221 2.0.0"]
        assert session.is_closed()
    assert control.counters().messages_accepted == 1


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"", b""),
        (b"..\r\n", b".\r\n"),
        (b"a\r\n..b\r\n...\r\n", b"a\r\n.b\r\n..\r\n"),
        (b"8-bit \xc3\xa4\xff\r\n", b"8-bit \xc3\xa4\xff\r\n"),
        (b"a\n.\nb\r\n", b"a\n.\nb\r\n"),
        (b"a\n.\r\nb\r\n", b"a\n.\r\nb\r\n"),
        (b"a\r\n.\nb\r\n", b"a\r\n\nb\r\n"),
        ((b"x" * 997 + b"\r\n") * 300 + b"..end\r\n", (b"x" * 997 + b"\r\n") * 300 + b".end\r\n"),
    ],
    ids=["empty", "one-dot", "dots", "8-bit", "lf-dot-lf", "lf-dot-crlf", "crlf-dot-lf", "300-kB"],
)
def test_only_crlf_dot_crlf_ends_a_message_and_dots_are_unstuffed(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, sent: bytes, kept: bytes
) -> None:
    with talk(standin, files) as session:
        envelope(session)
        session.send(sent + b".\r\n")
        assert session.reply().startswith("250 2.0.0 OK ")
    (message,) = control.messages()
    assert control.raw(message.id) == b"X-Relaying-Domain: example.com\r\n" + kept
    assert message.size == len(kept)


def test_end_of_data_is_found_however_the_bytes_are_cut(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        for _ in range(2):
            envelope(session)
            for byte in b"..a\r\n.\r\n":
                session.send(bytes([byte]))
            assert session.reply().startswith("250 2.0.0")
    assert [message.size for message in control.messages()] == [4, 4]


def test_twenty_sessions_at_once_lose_and_double_nothing(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    together = threading.Barrier(20)

    def send(number: int) -> None:
        with client(standin, files) as session:
            together.wait(timeout=10)
            for item in range(5):
                session.sendmail(SENDER, [f"r{number}-{item}@example.org"], BODY)
            together.wait(timeout=10)

    threads = [threading.Thread(target=send, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    got = sorted(message.rcpt_to[0] for message in control.messages())
    assert got == sorted(f"r{number}-{item}@example.org" for number in range(20) for item in range(5))
    assert control.counters().peak_open_connections == 20


# -- protocol order --------------------------------------------------------------------------------------


def test_commands_out_of_order_are_refused(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    with talk(standin, files) as session:
        for line, answer in (
            ("RCPT TO:<a@example.org>", "503 5.5.1 MAIL first."),
            ("DATA", "503 5.5.1 MAIL first."),
            ("MAIL app@example.com", "555 5.5.2"),
            ("MAIL FROM:<nodomain>", "555 5.5.2"),
            (f"MAIL FROM:<{SENDER}>", "250 2.1.0"),
            (f"MAIL FROM:<{SENDER}>", "503 5.5.1 Sender already given."),
            ("DATA", "503 5.5.1 RCPT first."),
            ("RCPT a@example.org", "555 5.5.2"),
            ("RCPT TO:<a@example.org>", "250 2.1.5"),
            ("RSET", "250 2.1.5 Flushed"),
            ("DATA", "503 5.5.1 MAIL first."),
            ("STARTTLS", "503 5.5.1"),
            ("BDAT 5 LAST", "502 5.5.1 Unrecognized command."),
            ("VRFY somebody", "252 2.1.5"),
            ("noop", "250 2.0.0"),
        ):
            assert session.ask(line).startswith(answer), line
    with Talk(standin.port()) as session:
        session.reply()
        assert session.ask(f"MAIL FROM:<{SENDER}>").startswith("503 5.5.1 EHLO/HELO first.")
        assert session.ask("AUTH PLAIN").startswith("503 5.5.1 EHLO/HELO first.")
        assert session.ask("EHLO").startswith("501 5.5.4")
        assert session.is_closed()
    assert control.counters().messages_accepted == 0


def test_endless_line_ends_the_session(standin: GoogleStandin) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.send(b"x" * 20_000)
        assert session.reply().startswith("500 5.5.1 Line too long.")


def test_idle_session_is_told_so_and_closed(files: Files) -> None:
    document = files.document(idle_timeout_seconds=0.2)
    with (
        GoogleStandin(StandinConfig.from_json(document)) as standin,
        Talk(standin.port()) as session,
    ):
        session.reply()
        assert session.reply().startswith("451 4.4.2 Timeout - closing connection.")
        assert session.is_closed()
