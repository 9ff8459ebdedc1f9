"""The sample applications send by SMTP and by API, and do the right thing about each failure: the same in both."""

import base64
import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from pathlib import Path

import pytest
import trustme

from tests.consumers.conftest import ROOT, installed
from tests.consumers.standins import CUT, LOST, ApiStandin, SmtpStandin
from tests.unit.verify_world import free_port

USER, PASSWORD, KEY = "company/apps", "planted-password", "planted-key"
TAKEN = (200, {"status": "success", "data": {"messages": {"someone@example.org": {"id": 7}}}})
REFUSED = (200, {"status": "error", "data": {"code": "UnauthenticatedFromAddress", "message": "not one of yours"}})
TRIES = 3
NOT_NOW = 75
# The stand-in takes a login in clear on purpose, as Postal does.
pytestmark = pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")


@dataclass(frozen=True, kw_only=True)
class App:
    """A sample application: its command, and the variables by which it is told whom to trust."""

    command: tuple[str, ...]
    trust: tuple[str, ...]

    def send(
        self,
        via: str,
        told: Mapping[str, str],
        authority: trustme.CA | None = None,
        folder: Path | None = None,
        *further: str,
    ) -> subprocess.CompletedProcess[str]:
        trusted = {}
        if authority is not None and folder is not None:
            bundle = folder / "authority.pem"
            authority.cert_pem.write_to_path(str(bundle))
            trusted = dict.fromkeys(self.trust, str(bundle))
        environment = {
            "PATH": os.environ["PATH"], "SMTP_FROM_EMAIL": "shop@example.com", "SMTP_FROM_NAME": 'The "Shop"',
            **told, **trusted,
        }  # fmt: skip
        options = ["--via", via, "--to", "someone@example.org", "--tries", str(TRIES), "--first-wait", "0.01", *further]
        done = subprocess.run(
            [*self.command, *options], env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        for secret in (PASSWORD, KEY):
            assert secret not in done.stdout + done.stderr
        return done


# Only this one follows a message that was taken.
IN_PYTHON = App(
    command=(sys.executable, str(ROOT / "docs/examples/send_mail.py")), trust=("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
)


@pytest.fixture(scope="module", params=["python", "node"])
def app(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> App:
    if request.param == "python":
        return IN_PYTHON
    folder = installed(ROOT / "docs/examples/node", tmp_path_factory.mktemp("node"))
    return App(command=("node", str(folder / "send_mail.mjs")), trust=("NODE_EXTRA_CA_CERTS",))


def relay(port: int, hosts: str = "127.0.0.1") -> dict[str, str]:
    return {"SMTP_HOST": hosts.partition(",")[0], "SMTP_HOSTS": hosts, "SMTP_PORT": str(port), "SMTP_USE_TLS": "false"}


def postal(port: int) -> dict[str, str]:
    login = {"SMTP_USER": USER, "SMTP_PASSWORD": PASSWORD}
    return {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(port), "SMTP_USE_TLS": "true", **login}


def api(url: str) -> dict[str, str]:
    return {"MAIL_API_URL": url, "MAIL_API_KEY": KEY}


# --- SMTP -----------------------------------------------------------------------------------------------------------


def test_the_relay_gets_the_message_without_a_login(app: App) -> None:
    with SmtpStandin(free_port()) as server:
        done = app.send("smtp", relay(server.port))
    assert (done.returncode, done.stdout.strip()) == (0, "accepted by 127.0.0.1"), done.stderr
    [message] = server.messages
    assert parseaddr(str(message["From"])) == ('The "Shop"', "shop@example.com")
    assert message["Message-ID"].endswith("@example.com>")


def test_postal_gets_the_login_below_tls(
    app: App, server_tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with SmtpStandin(free_port(), tls=server_tls, login=(USER, PASSWORD)) as server:
        done = app.send("smtp", postal(server.port), authority, tmp_path)
    assert done.returncode == 0, done.stderr
    assert (len(server.messages), server.logins) == (1, [True])


@pytest.mark.parametrize("place", ["rcpt", "data"])
def test_a_4xx_is_tried_again_with_the_same_message_id(app: App, place: str) -> None:
    answers = ("451 4.3.0 try again later", "451 4.3.0 try again later")
    with SmtpStandin(free_port(), **{place: answers}) as server:  # type: ignore[arg-type] # one of the two
        done = app.send("smtp", relay(server.port))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("not yet") == 2
    assert len(server.messages) == 1
    assert len({message["Message-ID"] for message in server.offered}) == 1


def test_a_4xx_that_stays_ends_with_try_again_later(app: App) -> None:
    with SmtpStandin(free_port(), rcpt=("450 4.2.0 busy",) * 10) as server:
        done = app.send("smtp", relay(server.port))
    assert (done.returncode, len(server.recipients)) == (NOT_NOW, TRIES)
    assert "450" in done.stderr


@pytest.mark.parametrize("place", ["rcpt", "data"])
def test_a_5xx_is_final_at_every_host(app: App, place: str) -> None:
    answers = ("554 5.7.1 sender is not on the list",)
    port = free_port()
    with (
        SmtpStandin(port, **{place: answers}) as server,  # type: ignore[arg-type] # one of the two
        SmtpStandin(port, host="127.0.0.2") as other,
    ):
        done = app.send("smtp", relay(port, "127.0.0.1,127.0.0.2"))
    assert (done.returncode, len(server.recipients), other.recipients) == (1, 1, [])
    assert "554 5.7.1 sender is not on the list" in done.stderr


def test_a_wrong_password_is_final(app: App, server_tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path) -> None:
    with SmtpStandin(free_port(), tls=server_tls, login=(USER, "another")) as server:
        done = app.send("smtp", postal(server.port), authority, tmp_path)
    assert done.returncode == 1
    assert "535" in done.stderr
    assert "not yet" not in done.stderr


def test_a_certificate_that_is_not_trusted_is_final_and_gets_no_login(app: App, server_tls: ssl.SSLContext) -> None:
    with SmtpStandin(free_port(), tls=server_tls, login=(USER, PASSWORD)) as server:
        done = app.send("smtp", postal(server.port))
    assert (done.returncode, server.logins) == (1, [])
    assert "certificate" in done.stderr
    assert "not yet" not in done.stderr


def test_a_server_without_tls_gets_no_login_in_clear(app: App) -> None:
    with SmtpStandin(free_port(), login=(USER, PASSWORD)) as server:
        done = app.send("smtp", postal(server.port))
    assert (done.returncode, server.logins) == (1, [])


def test_nobody_there_ends_with_try_again_later(app: App) -> None:
    done = app.send("smtp", relay(free_port(), "127.0.0.1,127.0.0.2"))
    assert done.returncode == NOT_NOW
    assert done.stderr.count("not yet") == TRIES - 1
    assert "127.0.0.2" in done.stderr


def test_the_next_address_is_tried_when_the_first_is_away(app: App) -> None:
    port = free_port()
    with SmtpStandin(port, host="127.0.0.2") as server:
        done = app.send("smtp", relay(port, "127.0.0.1,127.0.0.2"))
    assert (done.returncode, done.stdout.strip()) == (0, "accepted by 127.0.0.2"), done.stderr
    assert len(server.messages) == 1


@pytest.mark.parametrize("answer", ["421 4.3.2 shutting down", "451 4.3.0 not now"])
def test_the_next_address_is_tried_when_the_first_cannot_take_it_now(app: App, answer: str) -> None:
    port = free_port()
    with SmtpStandin(port, rcpt=(answer,)) as first, SmtpStandin(port, host="127.0.0.2") as second:
        done = app.send("smtp", relay(port, "127.0.0.1,127.0.0.2"))
    assert done.returncode == 0, done.stderr
    assert (len(first.messages), len(second.messages)) == (0, 1)


def test_a_connection_that_is_lost_is_tried_again_with_the_same_message_id(app: App) -> None:
    with SmtpStandin(free_port(), data=(LOST,)) as server:
        done = app.send("smtp", relay(server.port))
    assert done.returncode == 0, done.stderr
    assert len(server.offered) == 2
    assert len({message["Message-ID"] for message in server.offered}) == 1


def test_a_message_that_was_taken_is_not_sent_again_because_of_the_farewell(app: App) -> None:
    with SmtpStandin(free_port(), farewell="421 4.3.2 shutting down") as server:
        done = app.send("smtp", relay(server.port))
    assert (done.returncode, done.stdout.strip()) == (0, "accepted by 127.0.0.1"), done.stderr
    assert len(server.offered) == 1


def closing_port(words: bytes = b"") -> socket.socket:
    """A port whose connections end at once, as those of a server that is being restarted, or after some words."""
    listener = socket.create_server(("127.0.0.1", 0))

    def close() -> None:
        with suppress(OSError):  # the test is over
            while True:
                with listener.accept()[0] as connection:
                    connection.sendall(words)

    threading.Thread(target=close, daemon=True).start()
    return listener


@pytest.mark.parametrize("via", ["smtp", "api"])
def test_a_connection_that_is_lost_before_tls_is_up_is_tried_again(app: App, via: str) -> None:
    with closing_port() as listener:
        port = listener.getsockname()[1]
        tls = {**relay(port), "SMTP_USE_SSL": "true", **api(f"https://127.0.0.1:{port}/api/v1")}
        done = app.send(via, tls)
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == NOT_NOW, done.stderr
    assert done.stderr.count("not yet") == TRIES - 1


def test_a_port_that_speaks_no_tls_is_a_refusal(app: App) -> None:
    with SmtpStandin(free_port()) as server:
        done = app.send("smtp", {**relay(server.port), "SMTP_USE_SSL": "true"})
    assert (done.returncode, server.offered) == (1, []), done.stderr
    assert "not yet" not in done.stderr


@pytest.mark.parametrize("words", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\r\n", b"554 not for you\r\n"])
def test_a_port_that_speaks_no_smtp_is_a_refusal(app: App, words: bytes) -> None:
    with closing_port(words) as listener:
        done = app.send("smtp", relay(listener.getsockname()[1]))
        listener.shutdown(socket.SHUT_RDWR)
    assert done.returncode == 1, done.stderr
    assert "not yet" not in done.stderr


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, "no mail server of Postal, but none"),
        ({"mail_servers": {"company/apps": {"smtp_keys": "[secret]"}}}, "hide their secrets"),
        ([], "no outputs"),
        ("{", "cannot be used"),
    ],
)
def test_outputs_that_do_not_have_it_are_refused_in_words(outputs: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "outputs.json"
    path.write_text(outputs if isinstance(outputs, str) else json.dumps(outputs))
    done = IN_PYTHON.send("smtp", {}, None, None, str(path))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("via", "name"), [("smtp", "SMTP_HOST"), ("api", "MAIL_API_URL")])
def test_what_is_not_set_is_said_and_is_no_weather(app: App, via: str, name: str) -> None:
    done = app.send(via, {})
    assert done.returncode == 1
    assert f"refused: {name}" in done.stderr
    assert "not yet" not in done.stderr


def test_without_a_sender_nothing_is_sent(app: App) -> None:
    with SmtpStandin(free_port()) as server:
        done = app.send("smtp", {**relay(server.port), "SMTP_FROM_EMAIL": ""})
    assert (done.returncode, server.offered) == (2, [])
    assert "SMTP_FROM_EMAIL" in done.stderr


# --- API ------------------------------------------------------------------------------------------------------------


def test_the_api_gets_the_message_with_the_key(app: App) -> None:
    with ApiStandin(TAKEN) as server:
        done = app.send("api", api(server.url))
    assert done.returncode == 0, done.stderr
    assert "message 7" in done.stdout
    path, key, body = server.calls[0]
    assert (path, key, body["rcpt_to"]) == ("send/raw", KEY, ["someone@example.org"])
    assert body["mail_from"] == "shop@example.com"
    [message] = server.messages
    assert parseaddr(str(message["From"])) == ('The "Shop"', "shop@example.com")
    assert message["Date"]
    assert base64.b64decode(body["data"]).count(b"\r\n\r\n") == 1, "Postal takes what is before as headers"


def test_the_api_is_trusted_by_its_certificate(
    app: App, server_tls: ssl.SSLContext, authority: trustme.CA, tmp_path: Path
) -> None:
    with ApiStandin(TAKEN, tls=server_tls) as server:
        done = app.send("api", api(server.url), authority, tmp_path)
        assert done.returncode == 0, done.stderr
        refused = app.send("api", api(server.url))
    assert (refused.returncode, len(server.sends)) == (1, 1)
    assert "certificate" in refused.stderr
    assert "not yet" not in refused.stderr


def test_http_200_with_an_error_in_the_body_is_a_refusal(app: App) -> None:
    with ApiStandin(REFUSED) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (1, 1)
    assert "UnauthenticatedFromAddress: not one of yours" in done.stderr


@pytest.mark.parametrize("status", [429, 500, 503])
def test_trouble_in_front_of_the_api_is_tried_again(app: App, status: int) -> None:
    with ApiStandin((status, "busy"), TAKEN) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (0, 2), done.stderr
    with ApiStandin((status, "busy")) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (NOT_NOW, TRIES)


@pytest.mark.parametrize("answer", [(404, "<html>not found</html>"), (200, "<html>welcome</html>")])
def test_what_is_not_postal_is_a_refusal(app: App, answer: tuple[int, str]) -> None:
    with ApiStandin(answer) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (1, 1)
    assert "<html>" in done.stderr


def test_an_api_that_is_away_ends_with_try_again_later(app: App) -> None:
    done = app.send("api", api(f"http://127.0.0.1:{free_port()}/api/v1"))
    assert done.returncode == NOT_NOW
    assert done.stderr.count("not yet") == TRIES - 1


def test_who_is_told_when_to_come_back_waits_so_long(app: App) -> None:
    started = time.monotonic()
    with ApiStandin((429, "busy"), TAKEN, busy=1) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (0, 2), done.stderr
    assert "again in 1.0 s" in done.stderr
    assert time.monotonic() - started > 1


def test_every_try_by_api_is_the_same_message(app: App) -> None:
    with ApiStandin((503, "busy"), (200, CUT), TAKEN) as server:
        done = app.send("api", api(server.url))
    assert done.returncode == 0, done.stderr
    assert len(server.messages) == TRIES
    assert len({message["Message-ID"] for message in server.messages}) == 1


@pytest.mark.parametrize("answer", [(401, "who are you"), (403, "no"), (200, []), (200, None), (200, "{}")])
def test_an_answer_that_is_not_postals_is_a_refusal_in_words(app: App, answer: tuple[int, object]) -> None:
    with ApiStandin(answer) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (1, 1)
    assert done.stderr.startswith("refused: ")


def test_a_redirect_is_not_followed_with_the_key(app: App) -> None:
    with ApiStandin(TAKEN) as other, ApiStandin((302, f"{other.url}/send/raw")) as server:
        done = app.send("api", api(server.url))
    assert (done.returncode, other.calls) == (1, [])
    assert "HTTP 302" in done.stderr


def test_a_key_that_no_header_takes_is_not_shown(app: App) -> None:
    with ApiStandin(TAKEN) as server:
        done = app.send("api", {**api(server.url), "MAIL_API_KEY": f"{KEY}\nx"})
    assert (done.returncode, server.calls) == (1, [])
    assert "MAIL_API_KEY cannot be used" in done.stderr


@pytest.mark.parametrize("told", [(503, "busy"), (401, "no"), (200, {"status": "error"})])
def test_a_message_that_was_taken_stays_taken_when_nobody_says_what_became_of_it(told: tuple[int, object]) -> None:
    with ApiStandin(TAKEN, status=told) as server:
        done = IN_PYTHON.send("api", api(server.url))
    assert (done.returncode, len(server.sends)) == (0, 1), done.stderr
    assert "message 7: taken" in done.stdout


@pytest.mark.parametrize(("status", "code"), [("Pending", 0), ("SoftFail", 0), ("HardFail", 1), ("Held", 1)])
def test_what_waits_is_taken_and_what_failed_is_not(status: str, code: int) -> None:
    answer = (200, {"status": "success", "data": {"id": 7, "status": {"status": status}}})
    with ApiStandin(TAKEN, status=answer) as server:
        done = IN_PYTHON.send("api", api(server.url), None, None, "--wait", "0")
    assert (done.returncode, len(server.sends)) == (code, 1), done.stderr
    assert f"message 7: {status}" in done.stdout
