"""TLS is demanded, negotiated, resumed and recorded."""

import hashlib
import smtplib
import ssl
from pathlib import Path

import pytest

from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, StandinConfig
from rehearsal.pki import PrivateCa
from tests.rehearsal.google_standin.talking import (
    BODY,
    EHLO,
    RECIPIENT,
    RELAY,
    RULE,
    SENDER,
    Files,
    Talk,
    envelope,
    talk,
    wait_for,
)


def test_nothing_is_accepted_in_clear_when_the_rule_requires_tls(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        assert [answer[:9] for answer in envelope(session)] == ["530 5.7.0", "503 5.5.1", "503 5.5.1"]
        assert session.ask("AUTH PLAIN AGEAYg==").startswith("530 5.7.0 Must issue a STARTTLS command first.")
        assert session.ask("HELO mail.example.com").startswith("250 ")
        assert envelope(session)[0].startswith("530 5.7.0")
    counters = control.counters()
    assert (counters.messages_accepted, counters.transactions, counters.tls_sessions) == (0, 0, 0)
    assert counters.refused["starttls-required"] == 3


def test_clear_text_is_accepted_only_when_the_rule_allows_it_and_is_recorded_as_such(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    control.put_rule({**RULE, "require_tls": False})
    with smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5) as session:
        session.sendmail(SENDER, [RECIPIENT], BODY)
    assert control.messages()[0].tls is None


def test_what_was_said_in_clear_is_forgotten_after_starttls(standin: GoogleStandin, files: Files) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        session.starttls(files.context())
        assert session.ask(f"MAIL FROM:<{SENDER}>").startswith("503 5.5.1 EHLO/HELO first.")


def test_commands_sent_in_clear_behind_starttls_end_the_session(
    standin: GoogleStandin, control: GoogleStandinClient
) -> None:
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        session.send(b"STARTTLS\r\nMAIL FROM:<app@example.com>\r\n")
        assert session.reply().startswith("454-4.5.0 SMTP protocol violation")
        assert session.is_closed()
    assert control.counters().refused == {"pipelined-after-starttls": 1}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated")
def test_tls_older_than_1_2_is_refused(standin: GoogleStandin, control: GoogleStandinClient, files: Files) -> None:
    context = files.context()
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.options &= ~(ssl.OP_NO_TLSv1 | ssl.OP_NO_TLSv1_1)
    context.maximum_version = ssl.TLSVersion.TLSv1_1
    with Talk(standin.port()) as session:
        session.reply()
        session.ask(f"EHLO {EHLO}")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            session.starttls(context)
    wait_for(lambda: control.counters().handshake_failures == 1)
    assert control.counters().tls_sessions == 0


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_resumed_tls_sessions_are_told_from_full_handshakes(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files, version: ssl.TLSVersion
) -> None:
    context = files.context()
    context.minimum_version = context.maximum_version = version
    session_id: ssl.SSLSession | None = None
    for _ in range(2):
        with Talk(standin.port()) as session:
            session.reply()
            session.ask(f"EHLO {EHLO}")
            session.starttls(context, session=session_id)
            session.ask(f"EHLO {EHLO}")
            envelope(session)
            session.send(BODY + b".\r\n")
            session.reply()
            assert isinstance(session.socket, ssl.SSLSocket)
            session_id = session.socket.session
    counters = control.counters()
    assert (counters.tls_sessions, counters.tls_full_handshakes, counters.tls_resumed_handshakes) == (2, 1, 1)
    assert [message.tls and message.tls.resumed for message in control.messages()] == [False, True]
    assert [(item.tls, item.resumed) for item in counters.per_connection] == [(True, False), (True, True)]


def test_the_server_name_a_client_asks_for_is_recorded(
    standin: GoogleStandin, control: GoogleStandinClient, files: Files
) -> None:
    with talk(standin, files) as session:
        envelope(session)
        session.send(BODY + b".\r\n")
        session.reply()
    message = control.messages()[0]
    assert message.tls is not None
    assert message.tls.sni == RELAY


def test_client_certificate_is_asked_for_and_described(files: Files, tmp_path: Path) -> None:
    document = files.document()
    document["tls"]["client_ca"] = str(files.client_ca_file)
    pair = files.client_ca.issue("relay.example.com")
    paths = pair.write(tmp_path, "client")
    der = ssl.PEM_cert_to_DER_cert(pair.certificate)
    stranger = PrivateCa("stranger").issue("relay.example.com").write(tmp_path, "stranger")
    with GoogleStandin(StandinConfig.from_json(document)) as standin:
        control = GoogleStandinClient(standin.control_url)
        for certificate in (paths, None):
            context = files.context()
            if certificate:
                context.load_cert_chain(*certificate)
            with smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5) as session:
                session.starttls(context=context)
                session.sendmail(SENDER, [RECIPIENT], BODY)
        with_it, without = control.messages()
        assert with_it.tls is not None
        facts = with_it.tls.client_certificate
        assert facts is not None
        assert "commonName=relay.example.com" in facts.subject
        assert "organizationName=clients" in facts.issuer
        assert facts.sha256 == hashlib.sha256(der).hexdigest()
        assert facts.verified
        assert facts.chain_length in {1, None}
        assert without.tls is not None
        assert without.tls.client_certificate is None

        context = files.context()
        context.load_cert_chain(*stranger)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        session = smtplib.SMTP("127.0.0.1", standin.port(), local_hostname=EHLO, timeout=5)
        with pytest.raises((ssl.SSLError, ConnectionError)):
            session.starttls(context=context)
        session.close()
        wait_for(lambda: control.counters().handshake_failures == 1)
