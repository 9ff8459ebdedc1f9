"""`mailstack relay`, as people and scripts call it, over a Postfix in memory."""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import pytest
import typer
from typer.testing import CliRunner

from cli import operate_options
from cli.main import app, main
from mailstack.operate.relay import act, trial
from mailstack.plan import load_plan
from mailstack.plan.operations import operations_text
from mailstack.postfix.queue_view import AGES, Choice
from mailstack.reach import operations
from mailstack.reach.entry import Entry
from mailstack.reach.place import Report, StoppedPlace
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


def test_counts_stand_in_the_order_of_people_not_of_the_alphabet(call: Call, places: list[MadeUpPostfix]) -> None:
    for number, age in enumerate((400, 30 * 3600, 10)):
        places[1].add(f"BBBBBBBBBBB{number}", f"a@{'zz'[number:]}z.test", "a reason of its own", age=age)
    told = json.loads(call("queue", "list", "--json")[1])
    for queue in (told["total"], told["places"]["relay2"]["queue"]):
        assert [*queue["by_age"]] == [age for _, age in AGES if age in queue["by_age"]]
        assert len(queue["by_age"]) >= 3
        for name in ("by_domain", "by_reason"):
            assert [*queue[name].values()] == sorted(queue[name].values(), reverse=True)
    assert [*told["places"]["relay2"]["queue"]["by_reason"]] == [
        "a reason of its own",
        DOWN.replace("[142.250.1.1]", ""),
    ]


def test_an_empty_queue_says_so(call: Call, places: list[MadeUpPostfix]) -> None:
    for place in places:
        place.messages.clear()
    assert "nothing waits" in call("queue", "list")[1]
    code, text, _ = call("queue", "delete", "--all", "--json")
    assert (code, json.loads(text)["done"]) == (0, 0)


def test_a_host_that_is_away_hides_no_other_and_is_named(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
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
    assert "nothing was done anywhere" in result.stderr
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
    with pytest.raises(operate_options.NotAgreedError, match="nothing was done"):
        operate_options.agree(["3 messages"], yes=False, word="delete 3")


@pytest.mark.parametrize("leaves", [False, True])
def test_a_no_is_a_document_too_and_nothing_was_done(
    leaves: bool, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(*_: object, **__: object) -> bool:
        if leaves:
            raise typer.Abort  # Ctrl-C or Ctrl-D
        return False

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(typer, "confirm", answer)
    assert main(["relay", "queue", "hold", "--all", "--json", "--stack", "prod"]) == 1
    assert json.loads(capsys.readouterr().out) == {"error": "nothing was done"}
    assert all(one["queue_name"] == "deferred" for place in places for one in place.messages.values())


def test_a_message_that_came_after_the_question_is_left_alone(places: list[MadeUpPostfix]) -> None:
    agreed = trial(places, "delete", Choice(everything=True))
    places[0].add("AAAAAAAAAAA9", "late@one.test")
    del places[1].messages["AAAAAAAAAAA3"]
    done = act(places, "delete", Choice(everything=True), agreed)
    assert left(places) == {"9"}
    assert (dict(done.done), done.not_done["relay2"]) == ({"relay1": 2, "relay2": 0}, ["AAAAAAAAAAA3"])


def test_of_more_than_are_named_only_what_was_there_then_goes(
    places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mailstack.operate.relay.MOST_SHOWN", 1)
    agreed = trial(places, "delete", Choice(everything=True))
    assert (agreed.count, len(agreed.messages["relay1"])) == (3, 1)
    places[0].add("AAAAAAAAAAA9", "late@one.test", age=0)
    act(places, "delete", Choice(everything=True), agreed)
    assert left(places) == {"9"}


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


def test_a_message_that_the_relay_took_is_never_told_as_unsent(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who reads "unreachable" sends it again."""
    asked, failing = places[0].run, iter([True])

    def run(role: str, settings: Mapping[str, Any], *rest: Any) -> Report:
        if settings["operation"] == "log" and next(failing, False):
            raise SshError("relay1 was not reached over SSH: timed out")
        return asked(role, settings, *rest)

    monkeypatch.setattr(places[0], "run", run, raising=False)
    monkeypatch.setattr("mailstack.operate.relay.PAUSE_SECONDS", 0.0)
    one = ("test", "--to", "x@y.test", "--from", "app@example.com", "--host", "relay1")
    assert json.loads(call(*one, "--json")[1])[0]["state"] == "sent", "one question that fails is put again"
    failing = iter([True] * 1000)
    code, text, _ = call(*one, "--deadline", "0s")
    words = " ".join(text.split())
    assert code == 1
    assert "relay1: unknown" in words
    assert "its log cannot be read: relay1 was not reached over SSH: timed out" in words
    assert "relay logs --stack prod --id 4bJxYz" in words


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
    told = json.loads(call("logs", "--json", "--since", "1h")[1])
    assert (set(told["places"]), told["unseen"]) == ({"relay1", "relay2"}, {})


def test_an_endless_log_is_no_document(places: list[MadeUpPostfix], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["relay", "logs", "--stack", "prod", "--follow", "--json"])
    assert ended.value.code == 2
    assert "has no end" in capsys.readouterr().err


def away(*_: object, **__: object) -> NoReturn:
    raise SshError("relay2 was not reached over SSH: timed out")


def test_a_log_that_cannot_be_read_hides_no_other(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    call("test", "--to", "x@y.test", "--from", "app@example.com")
    monkeypatch.setattr(places[1], "run", away, raising=False)
    code, text, told = call("logs")
    assert (code, len(text.splitlines())) == (1, 2)
    assert "relay2 could not be asked: relay2 was not reached" in told
    code, text, _ = call("logs", "--json")
    assert (code, set(json.loads(text)["places"])) == (1, {"relay1"})
    assert json.loads(text)["unseen"] == {"relay2": "relay2 was not reached over SSH: timed out"}, "machines see it too"
    code, _, told = call("logs", "--follow")
    assert code == 1
    assert "relay2: relay2 was not reached" in told


def test_what_was_done_before_a_host_went_away_is_told(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = places[1].run

    def goes_away(role: str, settings: Mapping[str, Any], action: str = "apply", seconds: int = 300) -> Report:
        return asked(role, settings, action, seconds) if action == "check" else away()

    monkeypatch.setattr(places[1], "run", goes_away, raising=False)
    code, text, told = call("queue", "hold", "--all", "--yes")
    assert (code, text) == (1, "held 2 messages\n")
    assert "relay2: nothing is known to have been done there: relay2 was not reached" in told
    code, text, _ = call("queue", "release", "--all", "--yes", "--json")
    document = json.loads(text)
    assert (code, document["done"], document["failed"]) == (0, 2, {}), "there is nothing to release on relay2"
    assert json.loads(call("queue", "hold", "--all", "--yes", "--json")[1])["failed"].keys() == {"relay2"}


def test_a_pod_that_does_not_run_is_named_and_does_not_keep_the_others_from_being_worked_on(
    call: Call, places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped = StoppedPlace(name="relay-2", why="the pod is Pending: no node has room")
    monkeypatch.setattr(Entry, "relay", lambda _self, **_: [places[0], stopped])
    code, text, _ = call("queue", "list")
    assert code == 1
    assert "relay-2 could not be asked: relay-2 does not run: the pod is Pending: no node has room" in text
    code, text, told = call("queue", "flush", "--all")
    assert (code, text) == (0, "tried 2 messages\n")
    assert "relay-2 is left out" in told
    left_out = {"relay-2": "the pod is Pending: no node has room"}
    assert json.loads(call("queue", "hold", "--all", "--yes", "--json")[1])["left_out"] == left_out
    assert json.loads(call("queue", "hold", "--all", "--yes", "--json")[1])["left_out"] == left_out, "with none, too"
    monkeypatch.setattr(Entry, "relay", lambda _self, **_: [stopped])
    result = CliRunner().invoke(app, ["relay", "queue", "flush", "--all", "--stack", "prod"])
    assert "the pod is Pending" in str(result.exception)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--sender", ""], "<> for bounces"),
        (["--sender", "MAILER-DAEMON"], "<> for bounces"),
        (["--recipient", ""], "name@example.com"),
        (["--recipient", "<>"], "name@example.com"),
        (["--recipient", "two.test"], "@example.com for a whole domain"),
        (["--recipient", "*@two.test"], "@example.com for a whole domain"),
        (["--id", ""], "is no queue id"),
        (["--id", "AAAAAAAAAAA1!"], "is no queue id"),
    ],
)
@pytest.mark.parametrize("command", [("queue", "list"), ("queue", "delete", "--yes"), ("logs",)])
def test_what_no_message_can_have_is_a_wrong_call_and_not_an_empty_answer(
    places: list[MadeUpPostfix], command: tuple[str, ...], flags: list[str], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    places[0].messages["AAAAAAAAAAA1"]["sender"] = ""
    with pytest.raises(SystemExit) as ended:
        main(["relay", *command, *flags, "--stack", "prod"])
    printed = capsys.readouterr()
    assert (ended.value.code, printed.out) == (2, "")
    assert said in printed.err
    assert left(places) == {"1", "2", "3"}


@pytest.mark.parametrize("held", ["b@xn--exmple-cua.test", "b@exämple.test"])
def test_an_internationalised_domain_is_found_in_either_form(
    call: Call, places: list[MadeUpPostfix], held: str
) -> None:
    places[0].add("AAAAAAAAAAA5", held, DOWN)
    assert call("queue", "hold", "--recipient", "@exämple.test", "--yes")[1] == "held 1 message\n"
    assert call("queue", "delete", "--recipient", "b@exämple.test", "--yes")[1] == "deleted 1 message\n"
    assert left(places) == {"1", "2", "3"}


def test_an_internationalised_domain_is_written_to_as_dns_has_it(call: Call, places: list[MadeUpPostfix]) -> None:
    code, text, _ = call("test", "--to", "info@exämple.test", "--from", "app@example.com", "--host", "relay1")
    assert (code, "relay1: sent" in text) == (0, True)
    assert "to=<info@xn--exmple-cua.test>" in places[0].lines[-1]
    code, _, told = call("test", "--to", "jörg@example.com")
    assert (code, "with ASCII letters alone before the @" in told) == (2, True)


def test_a_bounce_is_chosen_by_its_sender(call: Call, places: list[MadeUpPostfix]) -> None:
    places[0].messages["AAAAAAAAAAA1"]["sender"] = ""
    assert call("queue", "delete", "--sender", "<>", "--yes")[1] == "deleted 1 message\n"
    assert left(places) == {"2", "3"}


def test_a_wrong_call_is_told_before_the_stack_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object) -> NoReturn:
        raise AssertionError("the stack was asked")

    monkeypatch.setattr(operations, "stack_output", asked)
    for choice in ([], ["--all", "--id", "AAAAAAAAAAA1"], ["--older-than", "soon"]):
        with pytest.raises(SystemExit) as ended:
            main(["relay", "queue", "delete", "--stack", "prod", *choice])
        assert ended.value.code == 2


def test_a_log_that_nobody_could_read_is_an_error_for_machines(
    places: list[MadeUpPostfix], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in places:
        monkeypatch.setattr(place, "run", away, raising=False)
    assert main(["relay", "logs", "--stack", "prod", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)["error"]
    assert told.splitlines()[0] == "relay1 could not be asked: relay2 was not reached over SSH: timed out"


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "sk-ssh-ed25519@openssh.com"])
def test_the_public_half_of_a_key_is_told_as_that(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key = tmp_path / "id.pub"
    key.write_text(f"{kind} AAAAC3NzaC1lZDI1NTE5 me@here\n")
    with pytest.raises(SystemExit) as ended:
        main(["relay", "queue", "list", "--stack", "prod", "--identity", str(key)])
    assert ended.value.code == 2
    assert "is the public half of a key" in capsys.readouterr().err


@pytest.mark.parametrize("flags", [["--to", "nobody"], ["--to", ""], ["--to", "x@y.test", "--from", "a b@example.com"]])
def test_what_is_no_address_is_told_before_anybody_is_asked(
    call: Call, places: list[MadeUpPostfix], flags: list[str]
) -> None:
    code, text, told = call("test", *flags)
    assert (code, text) == (2, "")
    assert "is no mail address: write it as name@example.com" in told
    assert [place.lines for place in places] == [[], []]


def test_a_fix_names_the_stack_for_machines_too(call: Call, places: list[MadeUpPostfix]) -> None:
    for place in places:
        place.upstream = "450 4.4.4 Host or domain name not found. Name service error"
    [told, _] = json.loads(call("test", "--to", "x@y.test", "--from", "app@example.com", "--json")[1])
    assert "--stack prod" in told["cause"]["fix"]
