"""`mailstack send`: the way of an application, what came of it, and why not."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from mailstack.operate.sending import NoWayError, Sending, Way, choose, compose, message_id_of, send
from mailstack.reach import outputs
from tests.unit.name_server import LOOPBACK
from tests.unit.test_verify_message import postal
from tests.unit.verify_world import Pki, SmtpStandin, free_port

KEY = "recognisable-secret-key"
FROM, TO = "app@example.com", "someone@recipient.test"


def server(**changes: Any) -> dict[str, Any]:
    return {
        "smtp_host": LOOPBACK, "smtp_port": 1, "smtp_starttls": True, "smtp_user": "company/apps",
        "smtp_keys": {"shop": KEY, "blog": KEY}, "api_url": f"http://{LOOPBACK}:1/api/v1", "api_keys": {"shop": KEY},
        "sender_domains": ["example.com"], **changes,
    }  # fmt: skip


SERVERS = {"company/apps": server(), "company/other": server(sender_domains=["example.org"], api_keys={})}


def sending() -> Sending:
    return Sending(sender=FROM, recipients=[TO], message=compose(FROM, [TO], "hello", "text\n"))


@pytest.mark.parametrize(
    ("sender", "named", "credential", "way"),
    [
        (FROM, None, None, ("company/apps", "blog")),
        ("a@example.org", None, None, ("company/other", "blog")),
        ("a@Example.COM", None, "shop", ("company/apps", "shop")),
        (FROM, "company/other", None, ("company/other", "blog")),
    ],
)
def test_the_mail_server_follows_from_the_sender(
    sender: str, named: str | None, credential: str | None, way: tuple[str, str]
) -> None:
    found = choose(SERVERS, "smtp", sender, named, credential)
    assert (found.server, found.credential) == way
    assert KEY not in repr(message_id_of(sending().message))


@pytest.mark.parametrize(
    ("via", "sender", "named", "credential", "words"),
    [
        ("smtp", "a@else.test", None, None, r"no mail server of the stack sends for 'else\.test' \(company/apps: exa"),
        ("smtp", FROM, "company/none", None, "the stack's mail servers are company/apps, company/other"),
        ("smtp", FROM, None, "gone", "no SMTP credential 'gone' among its SMTP credentials: blog, shop"),
        ("api", "a@example.org", None, None, "has no API credentials: none"),
    ],
)
def test_without_a_way_it_is_said_which_there_are(
    via: Any, sender: str, named: str | None, credential: str | None, words: str
) -> None:
    with pytest.raises(NoWayError, match=words):
        choose(SERVERS, via, sender, named, credential)


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        ({"code": "UnauthenticatedFromAddress", "message": "not authorised"}, "may not send as app@example.com"),
        ({"code": "InvalidServerAPIKey", "message": "not valid"}, "does not know the key of company/apps"),
        ({"code": "Unheard", "message": "of"}, "in its own words"),
    ],
)
def test_what_the_api_refuses_has_cause_and_fix(data: dict[str, str], cause: str) -> None:
    with postal({"status": "error", "data": data}) as (url, _):
        way = Way(via="api", server="company/apps", credential="shop", told=server(api_url=f"{url}/api/v1"))
        [found] = send(way, sending())
    assert (found.outcome, found.fine) == ("refused", False)
    assert data["code"] in found.said
    assert cause in str(found.cause)
    assert found.fix


def test_the_api_takes_the_message_as_it_is_and_tells_its_number() -> None:
    answer = {"status": "success", "data": {"message_id": "x", "messages": {TO: {"id": 7, "token": "t"}}}}
    with postal(answer) as (url, asked):
        way = Way(via="api", server="company/apps", credential="shop", told=server(api_url=f"{url}/api/v1"))
        [found] = send(way, sending())
    assert (found.outcome, found.number) == ("accepted", 7)
    assert found.message_id.endswith("@example.com>")
    assert [(one["path"], one["key"], one["mail_from"]) for one in asked] == [("/api/v1/send/raw", KEY, FROM)]


def test_nobody_there_is_told_from_a_refusal() -> None:
    port = free_port()
    told = server(api_url=f"http://{LOOPBACK}:{port}/api/v1", smtp_port=port)
    for via in ("smtp", "api"):
        way = Way(via=via, server="company/apps", credential="shop", told=told)
        [found] = send(way, sending())
        assert found.outcome == "unreachable"
        assert "no connection" in str(found.cause)
        assert KEY not in found.said


def test_by_smtp_the_key_goes_within_tls_only(tmp_path: Any) -> None:
    pki = Pki(tmp_path)
    with SmtpStandin(
        pki.context(LOOPBACK), secure_offers=("AUTH PLAIN",), auth="235 ok", recipient=lambda *_: "250 Ok"
    ) as smtp:
        way = Way(via="smtp", server="company/apps", credential="shop", told=server(smtp_port=smtp.port))
        [taken] = send(way, sending(), authorities=pki.file)
        [untrusted] = send(way, sending())
        clear = Way(via="smtp", server="s", credential="shop", told=server(smtp_port=smtp.port, smtp_starttls=False))
        [refused] = send(clear, sending())
    assert (taken.outcome, taken.said[:3]) == ("accepted", "250")
    assert "certificate does not prove" in str(untrusted.cause)
    assert "a key is not sent in clear" in str(refused.cause)


def test_the_command_tells_one_document_and_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = {"status": "success", "data": {"messages": {TO: {"id": 7, "token": "t"}}}}
    with postal(answer) as (url, _):
        told = {"company/apps": server(api_url=f"{url}/api/v1")}
        monkeypatch.setattr(outputs, "secret_output", lambda *_: told)
        arguments = ["send", "--stack", "prod", "--from", FROM, "--to", TO, "--via", "api", "--wait", "0s", "--json"]
        result = CliRunner().invoke(app, arguments)
    [found] = json.loads(result.stdout)
    assert (result.exit_code, found["outcome"], found["number"]) == (0, "accepted", 7)
    assert KEY not in result.stdout + result.stderr
