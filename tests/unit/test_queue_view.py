"""The relay's queue for an operator: counts, and which messages a choice means."""

import json
from typing import Any

import pytest

from mailstack.postfix.queue_view import Choice, Queued, choice_of, chosen, parse_queue, shown, summary

NOW = 1_000_000.0
REFUSED = "connect to smtp-relay.gmail.com[142.250.1.{}]:587: Connection refused"
DENIED = (
    "host smtp-relay.gmail.com[1.2.3.4] said: 450 4.2.1 Peak limit <{}@x.test> ab12cd34ef56ab12cd34 (in reply to {})"
)


def entry(identity: str, *recipients: tuple[str, str], **more: Any) -> str:
    document = {
        "queue_name": "deferred", "queue_id": identity, "arrival_time": int(NOW) - 60, "message_size": 1000,
        "sender": "app@example.com",
        "recipients": [{"address": address, **({"delay_reason": why} if why else {})} for address, why in recipients],
        **more,
    }  # fmt: skip
    return json.dumps(document)


def messages() -> list[Queued]:
    return parse_queue(
        "\n".join(
            [
                entry("NEW", ("a@one.test", ""), queue_name="active", arrival_time=int(NOW) - 5),
                entry("OLD", ("a@one.test", REFUSED.format(1)), ("b@Two.test", REFUSED.format(2)), arrival_time=1),
                entry("HELD", ("c@two.test", ""), queue_name="hold", sender="Ada@Example.com"),
                entry("BOUNCE", ("app@example.com", DENIED.format("app", "RCPT TO command")), sender="MAILER-DAEMON"),
                entry("BROKEN OFF"),
                "",
            ]
        )
    )


def test_messages_come_oldest_first_without_what_has_no_recipient_yet() -> None:
    assert [message.id for message in messages()] == ["OLD", "HELD", "BOUNCE", "NEW"]


def test_counts_join_equal_reasons_and_count_a_message_once_for_each_domain() -> None:
    told = summary(messages(), NOW)
    assert (told["messages"], told["bytes"], told["oldest_seconds"]) == (4, 4000, 999_999)
    assert told["by_queue"] == {"deferred": 2, "active": 1, "hold": 1}
    assert told["by_age"] == {"under 5 min": 3, "over 1 day": 1}
    assert told["by_domain"] == {"one.test": 2, "two.test": 2, "example.com": 1}
    assert told["by_reason"] == {
        "connect to smtp-relay.gmail.com:587: Connection refused": 1,
        "host smtp-relay.gmail.com said: 450 4.2.1 Peak limit <…>": 1,
        "not tried yet": 1,
        "on hold": 1,
    }


def test_an_empty_queue_is_told_as_such() -> None:
    told = summary([], NOW)
    assert (told["messages"], told["oldest_seconds"], told["by_reason"]) == (0, 0, {})


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (Choice(ids=("NEW", "GONE")), ["NEW"]),
        (Choice(recipients=("@two.test",)), ["OLD", "HELD"]),
        (Choice(recipients=("B@TWO.TEST",)), ["OLD"]),
        (Choice(recipients=("two.test",)), []),
        (Choice(senders=("@example.com",)), ["OLD", "HELD", "NEW"]),
        (Choice(senders=("<>",)), ["BOUNCE"]),
        (Choice(older_than=3600), ["OLD"]),
        (Choice(older_than=30, senders=("ada@example.com",)), ["HELD"]),
        (Choice(everything=True), ["OLD", "HELD", "BOUNCE", "NEW"]),
    ],
)
def test_a_choice_means_what_fits_every_part_of_it(choice: Choice, meant: list[str]) -> None:
    assert [message.id for message in chosen(messages(), choice, NOW)] == meant
    assert choice_of(choice._asdict()) == choice


@pytest.mark.parametrize("document", [{}, {"ids": []}, {"everything": False, "older_than": None}])
def test_no_choice_never_means_everything(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="no message is chosen"):
        choice_of(document)


def test_a_message_is_shown_with_each_recipient_and_its_reason() -> None:
    [held] = [message for message in messages() if message.id == "HELD"]
    assert shown(held, NOW) == {
        "id": "HELD", "queue": "hold", "age_seconds": 60, "bytes": 1000, "sender": "Ada@Example.com",
        "recipients": [{"address": "c@two.test", "reason": ""}],
    }  # fmt: skip
