"""`mailstack send`: the way of an application, what came of it, and why not."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app, main
from mailstack.operate import sending as sending_module
from mailstack.operate.relay import Tried
from mailstack.operate.sending import NoWayError, Sending, Way, choose, compose, message_id_of, send
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.reach import operations, outputs
from mailstack.reach.entry import Entry
from tests.unit.name_server import LOOPBACK
from tests.unit.stack_examples import example
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


def answers_of(*statuses: str | None) -> Callable[[str], dict[str, Any] | str]:
    """Postal takes the message, then tells these statuses one after the other; for None a proxy answers instead."""
    left = list(statuses)

    def answer(path: str) -> dict[str, Any] | str:
        if path.endswith("/send/raw"):
            return {"status": "success", "data": {"messages": {TO: {"id": 7}}}}
        if path.endswith("/deliveries"):
            return {"status": "success", "data": [{"details": "by relay1", "output": "250 Ok"}]}
        status = left.pop(0) if len(left) > 1 else left[0]
        return {"status": "success", "data": {"status": {"status": status}}} if status else "<html>502 Bad Gateway"

    return answer


@pytest.mark.parametrize(
    ("statuses", "outcome", "said"),
    [
        (("Sent",), "delivered", "Sent: by relay1 250 Ok"),
        (("Pending", None, "Sent"), "delivered", "Sent: by relay1 250 Ok"),
        (("HardFail",), "failed", "HardFail: by relay1 250 Ok"),
        (("Pending",), "waiting", "Pending: by relay1 250 Ok"),
        ((None,), "waiting", "no answer of Postal's API"),
    ],
)
def test_what_postal_took_is_never_told_as_unsent(
    monkeypatch: pytest.MonkeyPatch, statuses: tuple[str | None, ...], outcome: str, said: str
) -> None:
    monkeypatch.setattr(sending_module, "PAUSE_SECONDS", 0.01)
    with postal(answers_of(*statuses)) as (url, asked):
        way = Way(via="api", server="company/apps", credential="shop", told=server(api_url=f"{url}/api/v1"))
        [found] = send(way, sending(), wait_seconds=0.3)
    assert (found.outcome, found.number) == (outcome, 7)
    assert said in found.said
    assert [one["path"] for one in asked].count("/api/v1/send/raw") == 1
    if None in statuses and outcome == "waiting":
        assert "do not send it again" in str(found.fix)


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


@pytest.mark.parametrize("told", [{"company/apps": {"smtp_host": "mx.example.com"}}, {"company/apps": None}, "odd"])
def test_an_output_of_another_version_is_told_as_that(
    told: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(outputs, "secret_output", lambda *_: told)
    assert main(["send", "--stack", "prod", "--from", FROM, "--to", TO, "--via", "api", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)["error"]
    assert "written by another version of this project; run `pulumi up`" in said
    call = ["postal", "credential", "show", "--stack", "prod", "--server", "company/apps", "--credential", "shop"]
    assert main(call) == 1
    assert "written by another version" in capsys.readouterr().err


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_file_of_this_machine_is_sent_with_the_lines_of_mail(
    end: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Editors end lines with LF alone; servers that look for smuggled mail refuse those (RFC 5321 §2.3.8)."""
    message = tmp_path / "m.eml"
    message.write_bytes(end.join(("Subject: a", "", "one", ".", "caf\xe9", "")).encode("latin-1"))
    sent: list[bytes] = []

    def send(_way: Way, what: Sending, **_: Any) -> list[Any]:
        sent.append(what.message)
        return []

    monkeypatch.setattr(outputs, "secret_output", lambda *_: SERVERS)
    monkeypatch.setattr(sending_module, "send", send)
    assert main(["send", "--stack", "prod", "--from", FROM, "--to", TO, "--via", "smtp", "--eml", str(message)]) == 0
    assert sent == [b"Subject: a\r\n\r\none\r\n.\r\ncaf\xe9\r\n"]


@pytest.mark.parametrize(
    ("state", "flags", "code", "outcome", "fix"),
    [
        ("unknown", [], 1, "unknown", "do not send it again: `mailstack relay logs --stack prod --id 4bJx` tells"),
        ("unknown", ["--wait", "0s"], 0, "accepted", None),
        ("unreachable", [], 1, "unreachable", "`mailstack status --stack prod` shows what answers"),
        ("sent", [], 0, "sent", None),
    ],
)
def test_by_the_relay_every_end_but_a_good_one_has_a_fix(
    state: Any, flags: list[str], code: int, outcome: str, fix: str | None,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    tried = Tried(place="relay1", state=state, message_id="", seconds=1.0, queue_id="4bJx")
    monkeypatch.setattr(operations, "stack_output", lambda *_: operations_text(load_plan(example())))
    monkeypatch.setattr(Entry, "relay", lambda _self, **_: [None])
    monkeypatch.setattr("mailstack.operate.relay.deliver", lambda *_, **__: tried)
    call = ["send", "--stack", "prod", "--from", FROM, "--to", "info@exämple.test", "--via", "relay", "--json", *flags]
    assert main(call) == code
    [told] = json.loads(capsys.readouterr().out)
    assert (told["outcome"], told["recipient"]) == (outcome, "info@xn--exmple-cua.test")
    assert told["fix"] is None if fix is None else told["fix"].startswith(fix)


@pytest.mark.parametrize("via", ["smtp", "api"])
@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--subject", "two\nlines"], "--subject is one line"),
        (["--subject", "caf\udce9"], "--subject is no UTF-8"),
        (["--body", "caf\udce9"], "--body is no UTF-8"),
        (["--ca", "not-there.pem"], "--ca not-there.pem cannot be read: No such file or directory"),
        (["--ca", "README.md"], "--ca README.md cannot be read: no certificate (PEM) is in it"),
        (["--eml", "not-there.eml"], "--eml not-there.eml cannot be read"),
    ],
)
def test_what_cannot_be_sent_is_told_before_a_key_is_read(
    via: str, flags: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(*_: object) -> None:
        raise AssertionError("a key was read")

    monkeypatch.setattr(outputs, "secret_output", read)
    with pytest.raises(SystemExit) as ended:
        main(["send", "--stack", "prod", "--from", FROM, "--to", TO, "--via", via, "--json", *flags])
    assert ended.value.code == 2
    assert said in json.loads(capsys.readouterr().out)["error"]
