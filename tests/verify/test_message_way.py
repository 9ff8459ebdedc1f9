"""The test message, asked for: by a stack's own way as settings declare it, or by the way that flags describe."""

import base64
import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from cli.main import main
from cli.verify_message import message_flags, message_path_of
from mailstack.plan import load_plan
from mailstack.plan.message_path import message_path
from mailstack.plan.verification import target_text
from mailstack.reach import drift
from mailstack.settings.initialise import missing_secrets
from mailstack.settings.message_way import message_way
from mailstack.settings.plain_secrets import plain_secrets
from mailstack.verify.around import Around
from mailstack.verify.mailbox import ImapMailbox
from mailstack.verify.message import ApiSubmission, SmtpSubmission
from mailstack.verify.tls import strict
from tests.unit.imap_standin import ImapStandin
from tests.unit.mistakes import Mistake, changed, logins, told_and_mended
from tests.unit.name_server import LOOPBACK
from tests.unit.stack_examples import REMOVE, example, postal_example
from tests.unit.verify_world import Pki, SmtpStandin

SENDER, RECIPIENT, IMAP_PASSWORD = "probe@example.com", "someone@example.net", "mailbox-password"
MESSAGE = {
    "sender": SENDER,
    "recipient": RECIPIENT,
    "imap": {"host": "imap.example.net", "username": "someone", "password": IMAP_PASSWORD},
}
NETWORK = {"relay.listen_addresses": ["127.0.0.1", "10.20.0.5"], "relay.client_networks": ["10.20.0.0/16"]}
OPEN = "without login: this machine is in relay.client_networks"
SERVER = "postal.organizations.0.mail_servers.0"
CREDENTIALS = f"{SERVER}.credentials"
Raw = dict[str, Any]


def asked(raw: Raw, **changes: Any) -> Raw:
    return changed(raw, {"verify.message": {**MESSAGE, **changes}})


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


# --- the declared way ---


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (postal_example(), "Postal's API at postal.example.com:443, credential shop of example/apps"),
        (
            changed(postal_example(), {f"{CREDENTIALS}.1": REMOVE}),
            "Postal's SMTP at mx.example.com:25, credential shop of example/apps",
        ),
        (changed(postal_example(), {CREDENTIALS: [], "postal.smtp_tls": True}), None),
        (changed(postal_example(), {f"{CREDENTIALS}.1": REMOVE, "postal.smtp_tls": False}), None),
        (changed(postal_example(), {f"{SERVER}.mode": "Development"}), None),
        (logins(), "the relay at relay.example.com:587, logged in as shop"),
        (
            changed(logins(), {"relay.submission.starttls_port": None}),
            "the relay at relay.example.com:465, logged in as shop",
        ),
        (changed(logins(), {"relay.sender_domains": ["example.org"]}), None),
        (changed(example(), NETWORK), f"the relay at 10.20.0.5:25 {OPEN}"),
        (
            changed(example(), {**NETWORK, "relay.client_name": "smtp.example.com"}),
            f"the relay at smtp.example.com:25 {OPEN}",
        ),
        (example(), None),
    ],
)
def test_a_message_goes_as_an_application_elsewhere_would_send_it(raw: Raw, told: str | None) -> None:
    way = message_way(load_plan(raw).settings, SENDER)
    assert (None if way is None else way.told) == told


def test_mail_of_another_domain_takes_another_way() -> None:
    both = changed(postal_example(), {f"{SERVER}.domains": ["example.org"], f"{SERVER}.track_domains": []})
    assert message_way(load_plan(both).settings, "a@example.org") is not None
    assert message_way(load_plan(both).settings, SENDER) is None


def test_the_path_holds_what_is_declared_and_shows_no_password() -> None:
    world = Around(helo="probe.example.com", authorities=Path("ca.pem"))
    path = message_path(load_plan(asked(logins())), world)
    assert path is not None
    assert path.submission == SmtpSubmission(
        host="relay.example.com", port=587, username="shop", password="shop-password", helo="probe.example.com",
        authorities=Path("ca.pem"),
    )  # fmt: skip
    assert path.mailbox == ImapMailbox(
        host="imap.example.net", username="someone", password=IMAP_PASSWORD, authorities=Path("ca.pem")
    )
    assert (path.sender, path.recipient) == (SENDER, RECIPIENT)
    by_api = message_path(load_plan(asked(postal_example())), Around())
    assert by_api is not None
    assert by_api.submission == ApiSubmission(url="https://postal.example.com", key="apiapiapiapiapiapiapiapi")
    for secret in ("shop-password", IMAP_PASSWORD, "apiapi"):
        assert secret not in f"{path!r}{by_api!r}"
    assert message_path(load_plan(logins()), world) is None, "nobody asked for one"


@pytest.mark.parametrize("base", [logins, postal_example])
def test_what_the_stack_tells_the_world_knows_nothing_of_the_message(base: Callable[[], Raw]) -> None:
    assert target_text(load_plan(asked(base()))) == target_text(load_plan(base()))


@pytest.mark.parametrize(
    "mistake",
    [
        Mistake(
            "a sender of another domain",
            lambda: asked(logins()),
            {"verify.message.sender": "probe@example.net"},
            "verify.message.sender",
            "must be in one of `domains` that sends",
            "did you mean probe@example.org?",
            ({"verify.message.sender": "probe@example.org"}, {"verify.message.sender": SENDER}),
        ),
        Mistake(
            "no way in",
            lambda: asked(logins()),
            {"relay.submission": REMOVE},
            "verify.message.sender",
            "has no way to send from elsewhere",
            "relay.submission",
            (NETWORK, {"verify": REMOVE}),
        ),
        Mistake(
            "no password of the mailbox",
            lambda: asked(logins()),
            {"verify.message.imap.password": REMOVE},
            "verify.message.imap.password",
            "is required",
            "",
            ({"verify.message.imap.password": "x"},),
        ),
    ],
    ids=lambda mistake: mistake.what,
)
def test_a_message_that_cannot_be_sent_is_told_before(mistake: Mistake) -> None:
    told_and_mended(mistake)


def test_the_mailboxes_password_is_a_secret_that_only_a_person_has() -> None:
    raw = changed(asked(logins()), {"verify.message.imap.password": REMOVE})
    [step] = [step for step in missing_secrets(raw) if "verify" in step.path]
    assert (step.path, step.ours) == ("mailstack:verify.message.imap.password", False)
    assert [step for step in missing_secrets(asked(logins())) if "verify" in step.path] == []


def test_the_mailboxes_password_stands_in_no_file_in_clear() -> None:
    raw = asked(logins())
    settings = load_plan(raw).settings
    assert settings.environment != "local"
    assert "verify.message.imap.password" in [problem.field for problem in plain_secrets(settings, raw, "prod")]
    sealed = changed(raw, {"verify.message.imap.password": {"secure": "v1:x"}})
    assert "verify.message.imap.password" not in [one.field for one in plain_secrets(settings, sealed, "prod")]


# --- the command ---


class Post(list[str]):
    """What a server takes; it is in the mailbox at once."""

    def __init__(self, mailbox: ImapStandin) -> None:
        super().__init__()
        self.mailbox = mailbox

    def append(self, message: str) -> None:
        super().append(message)
        self.mailbox.messages.append(message.encode())


@contextlib.contextmanager
def serving(pki: Pki, smtp_name: str, imap_name: str) -> Iterator[tuple[SmtpStandin, ImapStandin]]:
    """Run a server that takes mail after login, and the mailbox it goes to."""
    accepting: dict[str, Any] = {"auth": "235 2.7.0 welcome", "recipient": lambda *_: "250 Ok"}
    with (
        SmtpStandin(pki.context(smtp_name), secure_offers=("AUTH PLAIN",), **accepting) as smtp,
        ImapStandin(pki.context(imap_name)) as imap,
    ):
        smtp.messages = Post(imap)
        yield smtp, imap


@pytest.fixture
def trusted(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this machine trust the servers; DNS asks nobody."""
    monkeypatch.setenv("SSL_CERT_FILE", str(pki.file))
    monkeypatch.setenv("MAILSTACK_RESOLVERS", "")
    strict.cache_clear()
    yield
    strict.cache_clear()


def verify(tmp_path: Path, *arguments: str) -> int:
    every = ["verify", "--only", "message", "--history", str(tmp_path), "--verbose", "--timeout", "10", *arguments]
    try:
        return main(every)
    except SystemExit as ended:
        return int(ended.code or 0)


def flags(smtp: int, imap: int, user: str = "app@") -> list[str]:
    return [
        "--domain", "example.com", "--message", "--message-from", SENDER, "--message-to", RECIPIENT,
        "--smtp", f"{user}{LOOPBACK}:{smtp}", "--imap", f"someone@example.net@{LOOPBACK}:{imap}/INBOX",
    ]  # fmt: skip


@pytest.mark.usefixtures("trusted")
def test_flags_alone_send_a_message_and_read_it_back(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MAILSTACK_SMTP_PASSWORD", "smtp-password")
    monkeypatch.setenv("MAILSTACK_IMAP_PASSWORD", "secret")
    with serving(pki, LOOPBACK, LOOPBACK) as (smtp, imap):
        verify(tmp_path, *flags(smtp.port, imap.port))
    said = capsys.readouterr()
    assert f"from {SENDER} to {RECIPIENT} goes by {LOOPBACK}:{smtp.port}, logged in as app" in said.err
    assert "arrived after" in said.out
    assert len(smtp.messages) == 1
    [login] = [word for word in smtp.said if word.startswith("AUTH PLAIN ")]
    assert base64.b64decode(login.split()[2]) == b"\0app\0smtp-password"
    assert 'LOGIN someone@example.net "secret"' in imap.said
    kept = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert kept
    for secret in ("smtp-password", '"secret"'):
        assert secret not in said.out + said.err + kept


@pytest.mark.usefixtures("trusted")
def test_a_stack_sends_by_its_own_way(
    pki: Pki, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    box = {"host": "imap.example.net", "username": "someone", "password": "secret"}
    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: asked(logins(), imap=box))
    connect = socket.create_connection
    with serving(pki, "relay.example.com", "imap.example.net") as (smtp, imap):
        places = {("relay.example.com", 587): smtp.port, ("imap.example.net", 993): imap.port}

        def here(place: tuple[str, int], *arguments: Any, **options: Any) -> socket.socket:
            return connect((LOOPBACK, places[place]), *arguments, **options)

        monkeypatch.setattr(socket, "create_connection", here)
        verify(tmp_path, "--stack", "prod", "--from-file", "--message")
    said = capsys.readouterr()
    assert "goes by the relay at relay.example.com:587, logged in as shop" in said.err
    assert "arrived after" in said.out
    assert len(smtp.messages) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--message-to", RECIPIENT], "--message-to goes with --message"),
        (["--message"], "--message without --stack needs --message-from, --message-to, --smtp, --imap"),
        (["--message", "--skip", "message"], "leave no check to run"),
        (["--message", "--only", "zone-ipv6", "--skip", "message"], "which --only and --skip leave out"),
        ([*flags(587, 993), "--message-from", "probe"], "--message-from 'probe': must be a mail address"),
        ([*flags(587, 993), "--smtp", "mail.example.com"], "must name a host and a port"),
        ([*flags(587, 993), "--smtp", "mail.example.com:0"], "must name a host and a port"),
        ([*flags(587, 993), "--imap", "imap.example.net"], "whose mailbox?"),
        ([*flags(587, 993), "--smtp-tls", "ssl"], "use starttls, implicit or none"),
        ([*flags(587, 993), "--smtp-tls", "none"], "a password is not sent without TLS"),
        (flags(587, 993), "set MAILSTACK_SMTP_PASSWORD"),
        (flags(587, 993, user=""), "set MAILSTACK_IMAP_PASSWORD"),
    ],
)
def test_a_way_that_is_not_told_in_full_is_a_wrong_call(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert verify(tmp_path, "--domain", "example.com", *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_stack_that_declares_no_message_is_told_how_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drift, "decrypted_config", lambda _stack, _folder: logins())
    assert verify(tmp_path, "--stack", "prod", "--from-file", "--message") == 2
    assert "stack prod declares none; write verify.message" in capsys.readouterr().err
    assert verify(tmp_path, "--stack", "prod", "--from-file", "--message", "--smtp", "x:25") == 2
    assert "--smtp goes with --domain alone" in capsys.readouterr().err


def test_a_password_is_asked_for_where_a_person_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MAILSTACK_IMAP_PASSWORD", raising=False)
    monkeypatch.setattr(sys, "stdin", Terminal())
    asked_for: list[tuple[str, dict[str, Any]]] = []

    def prompt(what: str, **how: Any) -> str:
        asked_for.append((what, how))
        return "typed"

    monkeypatch.setattr(typer, "prompt", prompt)
    given = message_flags(SENDER, RECIPIENT, "[::1]:25", None, "someone@[2001:db8::1]/Spam")
    path = message_path_of(given, Around(), wanted=True, plan=None, stack=None)
    assert path is not None
    assert path.submission == SmtpSubmission(host="::1", port=25)
    assert path.mailbox == ImapMailbox(host="2001:db8::1", username="someone", password="typed", folder="Spam")
    assert asked_for == [("password of someone at 2001:db8::1", {"hide_input": True, "err": True})]


class Terminal:
    """Standard input with a person behind it."""

    def isatty(self) -> bool:
        return True
