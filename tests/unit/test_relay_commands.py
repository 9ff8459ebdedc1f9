"""`mailstack relay`, as people and scripts call it, over a Postfix in memory."""

import json
import sys
from collections.abc import Callable

import pytest
import typer
from typer.testing import CliRunner

from cli import operate_options
from cli.main import app, main
from mailstack.operate.relay import act, trial
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.postfix.queue_view import Choice
from mailstack.reach import operations
from mailstack.reach.entry import Entry
from mailstack.reach.ssh import SshError
from tests.unit.postfix_beside import MadeUpPostfix
from tests.unit.stack_examples import example

DOWN = "connect to smtp-relay.gmail.com[142.250.1.1]:587: Connection refused"
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def places(monkeypatch: pytest.MonkeyPatch) -> list[MadeUpPostfix]:
    """Two hosts with a relay each, and what waits there."""
    one, two = MadeUpPostfix("relay1"), MadeUpPostfix("relay2")
    one.add("AAAAAAAAAAA1", "a@one.test", DOWN, age=7200)
    one.add("AAAAAAAAAAA2", "b@two.test", DOWN)
    two.add("AAAAAAAAAAA3", "c@two.test", DOWN)
    text = operations_text(load_plan(example()))
    monkeypatch.setattr(operations, "stack_output", lambda *_: text)
    monkeypatch.setattr(
        Entry, "relay", lambda _self, *, host=None, pod=None: [each for each in (one, two) if host in {None, each.name}]
    )
    return [one, two]


@pytest.fixture
def call(places: list[MadeUpPostfix]) -> Call:
    def call(*arguments: str) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, ["relay", *arguments, "--stack", "prod"])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stdout, result.stderr

    return call


def left(places: list[MadeUpPostfix]) -> set[str]:
    return {identity[-1] for place in places for identity in place.messages}


def test_the_queue_is_counted_over_all_hosts_and_each_message_is_shown(call: Call) -> None:
    code, text, _ = call("queue", "list")
    assert code == 0
    assert "3 messages" in text
    assert "connect to smtp-relay.gmail.com:587: Connection refused" in text
    assert all(f"AAAAAAAAAAA{number}" in text for number in (1, 2, 3))
    code, text, _ = call("queue", "list", "--json", "--recipient", "@two.test")
    told = json.loads(text)
    assert told["total"]["by_domain"] == {"two.test": 2}
    assert [one["id"] for one in told["places"]["relay2"]["messages"]] == ["AAAAAAAAAAA3"]
    assert call("queue", "list", "--host", "relay2", "--json")[1].count('"id"') == 1


def test_an_empty_queue_says_so(call: Call, places: list[MadeUpPostfix]) -> None:
    for place in places:
        place.messages.clear()
    assert "nothing waits" in call("queue", "list")[1]
    code, text, _ = call("queue", "delete", "--all", "--json")
    assert (code, json.loads(text)["done"]) == (0, 0)


def test_a_host_that_is_away_hides_no_other_and_is_named(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object, **__: object) -> None:
        raise SshError("relay2 was not reached over SSH: timed out")

    monkeypatch.setattr(places[1], "run", away, raising=False)
    code, text, _ = call("queue", "list")
    assert code == 1
    assert "relay2 could not be asked: relay2 was not reached" in text
    assert "AAAAAAAAAAA1" in text
    assert json.loads(call("queue", "list", "--json")[1])["unseen"] == {
        "relay2": "relay2 was not reached over SSH: timed out"
    }
    told = json.loads(call("test", "--to", "x@y.test", "--from", "app@example.com", "--json")[1])
    assert [one["state"] for one in told] == ["sent", "unreachable"]
    result = CliRunner().invoke(app, ["relay", "queue", "delete", "--all", "--yes", "--stack", "prod"])
    assert isinstance(result.exception, SshError), "nothing is deleted anywhere before all were asked"
    assert left(places) == {"1", "2", "3"}


@pytest.mark.parametrize("operation", ["hold", "delete"])
def test_without_yes_and_a_person_nothing_is_done_but_what_would_be_is_told(
    call: Call, places: list[MadeUpPostfix], operation: str
) -> None:
    code, text, told = call("queue", operation, "--recipient", "@two.test")
    assert (code, text) == (2, "")
    assert "2 messages will be" in told
    assert "AAAAAAAAAAA2" in told
    assert "AAAAAAAAAAA1" not in told
    assert "say --yes" in told
    assert left(places) == {"1", "2", "3"}
    assert all(one["queue_name"] == "deferred" for place in places for one in place.messages.values())


def test_delete_takes_exactly_what_was_named(call: Call, places: list[MadeUpPostfix]) -> None:
    code, text, _ = call("queue", "delete", "--recipient", "b@two.test", "--yes", "--json")
    assert (code, json.loads(text)["done"]) == (0, 1)
    assert left(places) == {"1", "3"}
    assert call("queue", "delete", "--older-than", "1h", "--yes")[1] == "deleted 1 message\n"
    assert left(places) == {"3"}


def test_hold_keeps_what_flush_tries_and_release_lets_it_go(call: Call, places: list[MadeUpPostfix]) -> None:
    assert call("queue", "hold", "--id", "AAAAAAAAAAA3", "--yes")[1] == "held 1 message\n"
    assert call("queue", "flush", "--all")[1] == "tried 2 messages\n"
    assert left(places) == {"3"}
    assert call("queue", "release", "--all", "--yes")[1] == "released 1 message\n"
    assert left(places) == set()


@pytest.mark.parametrize("operation", ["flush", "hold", "release", "delete"])
def test_which_messages_has_to_be_said(call: Call, places: list[MadeUpPostfix], operation: str) -> None:
    assert call("queue", operation, "--yes")[0] == 2
    assert call("queue", operation, "--all", "--sender", "@example.com", "--yes")[0] == 2
    assert call("queue", operation, "--older-than", "soon", "--yes")[0] == 2
    assert left(places) == {"1", "2", "3"}


@pytest.mark.parametrize(("typed", "goes"), [("delete 3", True), ("y", False), ("", False), ("delete 2", False)])
def test_to_delete_all_a_person_types_the_number(monkeypatch: pytest.MonkeyPatch, typed: str, goes: bool) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "prompt", lambda *_, **__: typed)
    if goes:
        operate_options.agree(["3 messages"], yes=False, word="delete 3")
        return
    with pytest.raises(typer.Exit) as ended:
        operate_options.agree(["3 messages"], yes=False, word="delete 3")
    assert ended.value.exit_code == 1


def test_a_message_that_came_after_the_question_is_left_alone(places: list[MadeUpPostfix]) -> None:
    agreed = trial(places, "delete", Choice(everything=True))
    places[0].add("AAAAAAAAAAA9", "late@one.test")
    del places[1].messages["AAAAAAAAAAA3"]
    done = act(places, "delete", Choice(everything=True), agreed)
    assert left(places) == {"9"}
    assert (dict(done.done), done.not_done["relay2"]) == ({"relay1": 2, "relay2": 0}, ["AAAAAAAAAAA3"])


def test_a_test_message_goes_through_every_host_to_its_end(call: Call, places: list[MadeUpPostfix]) -> None:
    code, text, _ = call("test", "--to", "someone@recipient.test", "--from", "app@example.com", "--json")
    told = json.loads(text)
    assert (code, [one["state"] for one in told]) == (0, ["sent", "sent"])
    assert told[0]["message_id"].endswith("@example.com>")
    places[1].upstream = "550-5.7.0 Mail relay denied [192.0.2.9]. Invalid credentials for relay"
    code, text, _ = call("test", "--to", "someone@recipient.test", "--from", "app@example.com")
    assert code == 1
    assert "relay1: sent" in text
    assert "relay2: bounced" in text
    assert "SMTP relay service" in " ".join(text.split()), "the fix is told"


def test_a_test_message_that_is_put_off_says_where_it_is(call: Call, places: list[MadeUpPostfix]) -> None:
    places[0].upstream = "450 4.2.1 Peak SMTP relay limit exceeded for customer."
    code, text, _ = call("test", "--to", "x@y.test", "--from", "app@example.com", "--host", "relay1")
    assert code == 1
    words = " ".join(text.split())
    assert "relay1: deferred" in words
    assert "relay queue delete --stack prod --id 4bJxYz" in words


def test_a_sender_that_the_relay_refuses_is_told_with_the_fix(call: Call) -> None:
    code, text, _ = call("test", "--to", "x@y.test", "--from", "a@else.test", "--host", "relay1", "--json")
    [told] = json.loads(text)
    assert (code, told["state"], told["cause"]["name"]) == (1, "refused", "sender-not-allowed")
    assert told["reply"].startswith("554 5.7.1")


def test_the_log_is_filtered_and_told_by_host(call: Call) -> None:
    call("test", "--to", "x@y.test", "--from", "app@example.com")
    code, text, _ = call("logs", "--recipient", "@y.test")
    assert code == 0
    assert {line.split()[0] for line in text.splitlines()} == {"relay1", "relay2"}
    assert len(text.splitlines()) == 4
    code, text, told = call("logs", "--sender", "nobody@y.test")
    assert (code, text) == (0, "")
    assert "no line of the log" in told
    assert set(json.loads(call("logs", "--json", "--since", "1h")[1])) == {"relay1", "relay2"}


def test_an_endless_log_is_no_document(places: list[MadeUpPostfix], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["relay", "logs", "--stack", "prod", "--follow", "--json"])
    assert ended.value.code == 2
    assert "has no end" in capsys.readouterr().err
