"""The test message from end to end: handed over, signed, read back by IMAP, and judged header by header."""

import base64
import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import dkim
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mailstack.verify.mailbox import ImapMailbox, Mailbox, MailboxError
from mailstack.verify.message import ApiSubmission, MessagePath, SmtpSubmission, SubmissionError, written
from mailstack.verify.model import Finding, State
from mailstack.verify.target import Target
from rehearsal.google_standin import GoogleStandin, GoogleStandinClient, StandinConfig
from rehearsal.looked_at import GoogleMailbox
from tests.unit.imap_standin import ImapStandin
from tests.unit.name_server import LOOPBACK
from tests.unit.test_verify_headers import GMAIL, POSTFIX, RESULTS
from tests.unit.verify_world import DOMAIN, ZONE, Pki, SmtpStandin, around, context, free_port, look, named, only

pytestmark = pytest.mark.slow

SENDER, RECIPIENT = f"app@{DOMAIN}", "someone@example.org"
WAY = f"{SENDER} to {RECIPIENT}"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def record(key: rsa.RSAPrivateKey) -> str:
    public = base64.b64encode(key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    text = f"v=DKIM1; k=rsa; p={public}"
    return " ".join(f'"{text[start : start + 200]}"' for start in range(0, len(text), 200))


@pytest.fixture(scope="module")
def resolver(key: rsa.RSAPrivateKey) -> Iterator[dict[str, Any]]:
    with named({DOMAIN: ZONE + f"one._domainkey 300 IN TXT {record(key)}\n"}) as fields:
        yield fields


def signed(raw: bytes, key: rsa.RSAPrivateKey, *, domain: str = DOMAIN, selector: str = "one", **how: Any) -> bytes:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    signature: bytes = dkim.sign(raw, selector.encode(), domain.encode(), pem, **how)
    return signature + raw


class Arrived:
    """Stands for the way and for the mailbox: it arrives with ``above`` on top, with ``change`` made."""

    def __init__(self, key: rsa.RSAPrivateKey | None, above: str, *, domain: str = DOMAIN, **how: Any) -> None:
        self.key, self.above, self.domain, self.how = key, above, domain, how
        self.change: tuple[bytes, bytes] = (b"", b"")
        self.raw: bytes | None = None

    def submit(self, sender: str, recipient: str, message: bytes) -> str:
        assert (sender, recipient) == (SENDER, RECIPIENT)
        raw = message if self.key is None else signed(message, self.key, domain=self.domain, **self.how)
        self.raw = self.above.replace("\n", "\r\n").encode() + raw.replace(*self.change)
        return "250 2.0.0 Ok: queued"

    def wait_for(self, subject: str, seconds: float) -> bytes | None:
        assert seconds > 0
        assert self.raw is not None
        assert f"Subject: {subject}".encode() in self.raw
        return self.raw


def judged(way: Arrived, resolver: dict[str, Any]) -> dict[str, Finding]:
    path = MessagePath(sender=SENDER, recipient=RECIPIENT, submission=way, mailbox=way)
    found = look("message", context(Target(), around=around(**resolver), message=path))
    assert all(one.fix and one.expected for one in found if one.state in {State.FAIL, State.WARN})
    return {one.subject.removeprefix(WAY).removeprefix(": "): one for one in found}


def test_a_good_message_is_right_in_everything(key: rsa.RSAPrivateKey, resolver: dict[str, Any]) -> None:
    found = judged(Arrived(key, RESULTS + GMAIL + POSTFIX), resolver)
    assert {name: one.state for name, one in found.items()} == dict.fromkeys(
        (
            "", "spf", "dkim", "dmarc", "signature of one._domainkey.example.com", "alignment", "List-Unsubscribe",
            "TLS", "delay",
        ),
        State.OK,
    )  # fmt: skip
    assert found["TLS"].found == "TLS on 2 hops"
    assert found["delay"].found == "3 s over 2 hops"
    assert "DKIM d=example.com, SPF rp.example.com" in found["alignment"].found


@pytest.mark.parametrize(
    ("before", "after", "name", "state"),
    [
        ("spf=pass", "spf=softfail", "spf", State.FAIL),
        ("spf=pass", "spf=none", "spf", State.WARN),
        ("dkim=pass", "dkim=fail", "dkim", State.FAIL),
        ("dmarc=pass", "dmarc=fail", "dmarc", State.FAIL),
        ("dmarc=pass", "arc=pass", "dmarc", State.UNKNOWN),
        ("with ESMTPS id", "with ESMTP id", "TLS", State.OK),
        ("ESMTPSA id", "ESMTP id", "TLS", State.OK),
        ("17:00:02", "15:00:02", "delay", State.WARN),
        ("(using TLSv1.3 with cipher TLS_AES_256_GCM_SHA384", "(using nothing", "TLS", State.OK),
    ],
)
def test_one_header_that_differs_is_told_alone(
    key: rsa.RSAPrivateKey, resolver: dict[str, Any], before: str, after: str, name: str, state: State
) -> None:
    above = RESULTS + GMAIL + POSTFIX
    assert before in above
    found = judged(Arrived(key, above.replace(before, after)), resolver)
    assert found[name].state is state
    assert {one.state for other, one in found.items() if other != name} == {State.OK}


def test_a_hop_in_clear_fails_and_names_both_ends(key: rsa.RSAPrivateKey, resolver: dict[str, Any]) -> None:
    clear = re.sub(r"\s*\(version=.*?\)", "", GMAIL).replace("ESMTPS", "ESMTP")
    found = judged(Arrived(key, RESULTS + clear + POSTFIX), resolver)["TLS"]
    assert (found.state, found.found) == (State.FAIL, "in clear from mx.example.com to mx.google.com")


def test_a_message_without_results_and_hops_leaves_them_unknown(
    key: rsa.RSAPrivateKey, resolver: dict[str, Any]
) -> None:
    found = judged(Arrived(key, ""), resolver)
    assert (found["results"].state, found["TLS"].state) == (State.UNKNOWN, State.UNKNOWN)
    assert found["signature of one._domainkey.example.com"].state is State.OK


def test_a_message_that_is_not_signed_fails(resolver: dict[str, Any]) -> None:
    found = judged(Arrived(None, RESULTS + GMAIL), resolver)
    assert found["signature"].state is State.FAIL
    assert found["alignment"].state is State.WARN, "SPF alone is lost when mail is forwarded"
    assert found["List-Unsubscribe"].state is State.WARN


def test_a_signature_that_was_broken_on_the_way_fails_whatever_the_receiver_says(
    key: rsa.RSAPrivateKey, resolver: dict[str, Any]
) -> None:
    way = Arrived(key, RESULTS)
    way.change = (b"You may delete it.", b"You may delete it!")
    found = judged(way, resolver)["signature of one._domainkey.example.com"]
    assert found.state is State.FAIL


def test_a_signature_without_a_key_in_dns_fails_and_one_nobody_could_ask_for_is_unknown(
    key: rsa.RSAPrivateKey, resolver: dict[str, Any]
) -> None:
    found = judged(Arrived(key, RESULTS, selector="two"), resolver)
    assert found["signature of two._domainkey.example.com"].found == "there is no key at two._domainkey.example.com"
    lost = judged(Arrived(key, RESULTS), {})
    assert lost["signature of one._domainkey.example.com"].state is State.UNKNOWN


def test_a_signature_of_another_domain_is_not_aligned(key: rsa.RSAPrivateKey) -> None:
    zone = ZONE.replace(DOMAIN, "example.net") + f"one._domainkey 300 IN TXT {record(key)}\n"
    results = RESULTS.replace("rp.example.com", "rp.example.net")
    with named({"example.net": zone}) as fields:
        found = judged(Arrived(key, results, domain="example.net"), fields)
    assert found["signature of one._domainkey.example.net"].state is State.OK
    assert found["alignment"].state is State.FAIL


def test_an_unsubscribe_header_that_is_lost_or_not_signed_warns(
    key: rsa.RSAPrivateKey, resolver: dict[str, Any]
) -> None:
    unsigned = Arrived(key, RESULTS, include_headers=[b"from", b"to", b"subject"])
    assert judged(unsigned, resolver)["List-Unsubscribe"].found.endswith("not signed")
    unsigned.change = (b"List-Unsubscribe:", b"X-Removed:")
    assert judged(unsigned, resolver)["List-Unsubscribe"].found == "it was sent and did not arrive"


# --- arrival ---


class Nowhere:
    """A way or a mailbox that fails."""

    def __init__(self, error: Exception | None) -> None:
        self.error = error

    def submit(self, *_: object) -> str:
        if self.error is not None:
            raise self.error
        return "250 Ok"

    def wait_for(self, *_: object) -> bytes | None:
        if self.error is not None:
            raise self.error
        return None


@pytest.mark.parametrize(
    ("submission", "mailbox", "state", "words"),
    [
        (SubmissionError("550 no", refused=True), None, State.FAIL, "it was refused: 550 no"),
        (SubmissionError("no answer", refused=False), None, State.UNKNOWN, "no answer"),
        (None, MailboxError("wrong password"), State.UNKNOWN, "could not be read: wrong password"),
        (None, None, State.UNKNOWN, "not there after"),
    ],
)
def test_a_message_that_does_not_arrive_is_told_by_where_it_was_lost(
    submission: Exception | None, mailbox: Exception | None, state: State, words: str
) -> None:
    path = MessagePath(
        sender=SENDER, recipient=RECIPIENT, submission=Nowhere(submission), mailbox=Nowhere(mailbox), seconds=0.1
    )
    found = only("message", context(Target(), message=path))
    assert found.state is state
    assert words in found.found


def test_without_a_way_nothing_is_sent() -> None:
    assert only("message", context(Target())).state is State.NOT_APPLICABLE


# --- ways to send ---


@pytest.mark.parametrize("tls", ["starttls", "implicit"])
def test_a_message_is_handed_over_after_login_within_tls(pki: Pki, tls: Any) -> None:
    with SmtpStandin(
        pki.context(LOOPBACK),
        implicit=tls == "implicit",
        secure_offers=("AUTH PLAIN",),
        auth="235 2.7.0 welcome",
        recipient=lambda *_: "250 Ok",
    ) as server:
        way = SmtpSubmission(
            host=LOOPBACK, port=server.port, tls=tls, username="app", password="secret", authorities=pki.file
        )
        assert way.submit(SENDER, RECIPIENT, written(SENDER, RECIPIENT, "token")) == "250 2.0.0 queued as 1"
    assert "secret" not in repr(way)
    assert "Subject: token\r\n" in server.messages[0]


def test_a_message_that_was_taken_is_told_as_taken_whatever_is_said_to_the_farewell() -> None:
    message = written(SENDER, RECIPIENT, "token")
    with SmtpStandin(recipient=lambda *_: "250 Ok", bye="421 4.3.2 going down") as server:
        way = SmtpSubmission(host=LOOPBACK, port=server.port, tls="none")
        assert way.submit(SENDER, RECIPIENT, message) == "250 2.0.0 queued as 1"
    with SmtpStandin(bye="421 4.3.2 going down") as server, pytest.raises(SubmissionError, match=r"554 5\.7\.1"):
        SmtpSubmission(host=LOOPBACK, port=server.port, tls="none").submit(SENDER, RECIPIENT, message)


def test_a_refusal_is_told_from_a_way_that_is_closed(pki: Pki) -> None:
    message = written(SENDER, RECIPIENT, "token")
    with SmtpStandin(pki.context(LOOPBACK), secure_offers=("AUTH PLAIN",), auth="535 5.7.8 wrong") as server:
        where: dict[str, Any] = {"host": LOOPBACK, "port": server.port, "authorities": pki.file}
        with pytest.raises(SubmissionError, match=r"554 5\.7\.1 Relay access denied") as refused:
            SmtpSubmission(**where).submit(SENDER, RECIPIENT, message)
        assert refused.value.refused
        with pytest.raises(SubmissionError, match=r"535 5\.7\.8 wrong") as login:
            SmtpSubmission(**where, username="a", password="b").submit(SENDER, RECIPIENT, message)
        assert login.value.refused
        with pytest.raises(SubmissionError, match=r"self-signed|unable to get local issuer") as untrusted:
            SmtpSubmission(host=LOOPBACK, port=server.port).submit(SENDER, RECIPIENT, message)
        assert not untrusted.value.refused
        with pytest.raises(SubmissionError, match="not sent without TLS"):
            SmtpSubmission(**where, tls="none", username="a").submit(SENDER, RECIPIENT, message)
    with pytest.raises(SubmissionError, match="refused") as closed:
        SmtpSubmission(host=LOOPBACK, port=free_port()).submit(SENDER, RECIPIENT, message)
    assert not closed.value.refused


@contextlib.contextmanager
def postal(
    answer: dict[str, Any] | str | Callable[[str], dict[str, Any] | str],
) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """Stand in for Postal's HTTP API, whose answer may depend on the path; yield its URL and what it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append({"path": self.path, "key": self.headers["X-Server-API-Key"], **body})
            told = answer(self.path) if callable(answer) else answer
            text = (told if isinstance(told, str) else json.dumps(told)).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer((LOOPBACK, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        try:
            yield f"http://{LOOPBACK}:{server.server_port}", asked
        finally:
            server.shutdown()


def test_postals_api_takes_the_message_as_it_is() -> None:
    message = written(SENDER, RECIPIENT, "token")
    with postal({"status": "success", "data": {}}) as (url, asked):
        way = ApiSubmission(url=url, key="secret")
        assert way.submit(SENDER, RECIPIENT, message).endswith("success")
    assert "secret" not in repr(way)
    (request,) = asked
    assert (request["path"], request["key"], request["rcpt_to"]) == ("/api/v1/send/raw", "secret", [RECIPIENT])
    assert base64.b64decode(request["data"]) == message


@pytest.mark.parametrize(("answer", "words"), [({"status": "error"}, "HTTP 200, error"), ("<html>", "no answer of")])
def test_what_postals_api_refuses_is_told(answer: dict[str, Any] | str, words: str) -> None:
    with postal(answer) as (url, _), pytest.raises(SubmissionError, match=words):
        ApiSubmission(url=url, key="secret").submit(SENDER, RECIPIENT, b"")
    with pytest.raises(SubmissionError) as closed:
        ApiSubmission(url=f"http://{LOOPBACK}:{free_port()}", key="secret").submit(SENDER, RECIPIENT, b"")
    assert not closed.value.refused


# --- mailboxes ---


@pytest.fixture
def imap(pki: Pki) -> Iterator[ImapStandin]:
    with ImapStandin(pki.context(LOOPBACK)) as server:
        yield server


def box(imap: ImapStandin, pki: Pki | None, **more: Any) -> ImapMailbox:
    given: dict[str, Any] = {"username": "someone", "password": "secret", "port": imap.port, **more}
    return ImapMailbox(host=LOOPBACK, authorities=None if pki is None else pki.file, **given)


def test_a_message_is_found_by_its_subject_and_stays_unread(imap: ImapStandin, pki: Pki) -> None:
    message = written(SENDER, RECIPIENT, "token")
    imap.messages += [written(SENDER, RECIPIENT, "another"), message]
    assert box(imap, pki).wait_for("token", 5) == message
    assert imap.said[-1] == "LOGOUT"
    assert "secret" not in repr(box(imap, pki))


def test_a_message_that_comes_late_is_waited_for(imap: ImapStandin, pki: Pki, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mailstack.verify.mailbox.LOOK_AGAIN_SECONDS", 0.02)
    message = written(SENDER, RECIPIENT, "token")
    timer = threading.Timer(0.1, imap.messages.append, [message])
    timer.start()
    assert box(imap, pki).wait_for("token", 5) == message
    assert box(imap, pki).wait_for("never", 0.05) is None


def test_a_mailbox_that_cannot_be_read_says_why(imap: ImapStandin, pki: Pki) -> None:
    with pytest.raises(MailboxError, match="AUTHENTICATIONFAILED"):
        box(imap, pki, password="wrong").wait_for("token", 1)
    with pytest.raises(MailboxError, match="folder Spam"):
        box(imap, pki, folder="Spam").wait_for("token", 1)
    with pytest.raises(MailboxError, match="certificate verify failed"):
        box(imap, None).wait_for("token", 1)
    with pytest.raises(MailboxError, match="refused"):
        box(imap, pki, port=free_port()).wait_for("token", 1)


def test_the_rehearsals_stand_in_for_google_is_a_mailbox(pki: Pki, tmp_path: Path) -> None:
    certificate = pki.certificate(LOOPBACK)
    certificate.private_key_pem.write_to_path(tmp_path / "key")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "certificate")
    config = StandinConfig.from_json(
        {
            "hostname": "smtp-relay.gmail.com",
            "listeners": [{"host": LOOPBACK, "port": 0, "tls": "starttls"}],
            "control": {"host": LOOPBACK, "port": 0},
            "tls": {"certificate": str(tmp_path / "certificate"), "key": str(tmp_path / "key"), "faulty": {}},
            "rule": {
                "domains": [DOMAIN], "allowed_ips": ["127.0.0.0/8"], "allowed_senders": "domain-addresses",
                "registered_users": [], "require_tls": True, "require_smtp_auth": False, "smtp_auth_users": {},
            },
        }
    )  # fmt: skip
    with GoogleStandin(config) as server:
        mailbox: Mailbox = GoogleMailbox(GoogleStandinClient(server.control_url))
        way = SmtpSubmission(host=LOOPBACK, port=server.port(0), authorities=pki.file, helo=f"app.{DOMAIN}")
        path = MessagePath(sender=SENDER, recipient=RECIPIENT, submission=way, mailbox=mailbox, seconds=5)
        arrived, *_ = look("message", context(Target(), message=path))
    assert arrived.state is State.OK
    assert arrived.found.startswith("arrived after")
