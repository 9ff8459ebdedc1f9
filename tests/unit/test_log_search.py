"""Lines of the relay's log that belong to chosen messages, whichever of them names sender or recipient."""

import json

import pytest

from mailstack.postfix.log_search import LogChoice, LogSearch, outcomes, plain

ONE, TWO = "4bJxYz1234z5", "4bJxYz1234z6"
HEAD = "Nov 29 14:28:07 relay postfix"
TO = "relay=up.test[192.0.2.1]:587, delay=0.1, delays=0/0/0.1/0, dsn={dsn}, status={status} ({reason})"
WHY = "Connection refused"
LINES = [
    f"{HEAD}/smtpd[12]: {ONE}: client=app[192.0.2.7]",
    f"{HEAD}/smtpd[13]: {TWO}: client=app[192.0.2.7]",
    f"{HEAD}/qmgr[9]: {ONE}: from=<app@example.com>, size=300, nrcpt=1 (queue active)",
    f"{HEAD}/qmgr[9]: {TWO}: from=<>, size=300, nrcpt=1 (queue active)",
    f"{HEAD}/smtpd[12]: NOQUEUE: reject: RCPT from x[192.0.2.8]: 554 5.7.1 no; from=<spy@else.test> to=<a@one.test>",
    f"{HEAD}/smtp[14]: {ONE}: to=<a@one.test>, {TO.format(dsn='4.4.1', status='deferred', reason=WHY)}",
    f"{HEAD}/smtp[15]: {TWO}: to=<b@two.test>, {TO.format(dsn='2.0.0', status='sent', reason='250 OK (fine)')}",
    f"{HEAD}/qmgr[9]: {TWO}: removed",
    f"{HEAD}/master[1]: daemon started",
]


def found(choice: LogChoice, lines: list[str] = LINES) -> list[int]:
    finder = LogSearch(choice)
    told = [text for line in lines for text in finder.feed(line + "\n")]
    return sorted(lines.index(line) for line in told)


@pytest.mark.parametrize(
    ("choice", "meant"),
    [
        (LogChoice(), list(range(9))),
        (LogChoice(ids=(ONE,)), [0, 2, 5]),
        (LogChoice(senders=("APP@example.com",)), [0, 2, 5]),
        (LogChoice(senders=("<>",)), [1, 3, 6, 7]),
        (LogChoice(recipients=("@two.test",)), [1, 3, 6, 7]),
        (LogChoice(recipients=("a@one.test",)), [0, 2, 4, 5]),
        (LogChoice(senders=("@else.test",)), [4]),
        (LogChoice(senders=("@example.com",), recipients=("b@two.test",)), []),
        (LogChoice(ids=(TWO,), recipients=("b@two.test",)), [1, 3, 6, 7]),
    ],
)
def test_every_line_of_a_message_is_found_also_those_before_it_was_known(choice: LogChoice, meant: list[int]) -> None:
    assert found(choice) == meant


def test_lines_are_told_in_the_order_of_their_message_as_soon_as_it_is_known() -> None:
    finder = LogSearch(LogChoice(recipients=("a@one.test",)))
    told = [list(finder.feed(line)) for line in LINES]
    assert told[5] == [LINES[0], LINES[2], LINES[5]]
    assert all(not each for number, each in enumerate(told) if number not in {4, 5})


def test_what_is_never_meant_is_forgotten() -> None:
    finder = LogSearch(LogChoice(senders=("nobody@else.test",)))
    for number in range(6000):
        assert list(finder.feed(f"{HEAD}/smtpd[12]: {number:012d}: client=app[192.0.2.7]")) == []
    assert len(finder._known) <= 5000


def test_the_json_of_a_container_is_read_like_any_other_line() -> None:
    shown = {"time": "2026-11-29T14:28:07.123+00:00", "service": "postfix/smtp", "pid": 14, "queue_id": TWO,
             "level": "info", "message": LINES[6].partition(f"{TWO}: ")[2]}  # fmt: skip
    finder = LogSearch(LogChoice(recipients=("b@two.test",)))
    [line] = finder.feed(json.dumps(shown))
    [outcome] = outcomes(iter([line]), TWO)
    assert (outcome.status, outcome.reason, outcome.relay) == ("sent", "250 OK (fine)", "up.test[192.0.2.1]:587")
    assert plain('{"no": "line of ours"}') == '{"no": "line of ours"}'
    assert plain("{ broken") == "{ broken"


def test_outcomes_are_told_try_by_try_and_of_that_message_only() -> None:
    expired = f"{HEAD}/qmgr[9]: {ONE}: from=<app@example.com>, status=expired, returned to sender"
    told = list(outcomes(iter([*LINES, expired]), ONE))
    assert [(one.status, one.reason) for one in told] == [
        ("deferred", "Connection refused"),
        ("expired", "returned to sender"),
    ]
