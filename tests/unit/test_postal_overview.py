"""What Postal's databases tell an operator. The SQL itself runs against MariaDB in tests/roles/test_postal_data.py."""

from collections.abc import Sequence

import pytest

from mailstack.operate.postal import upgrade_problem
from mailstack.postal import overview


def answers(questions: Sequence[str]) -> list[list[list[str]]]:
    return [answer(sql) for sql in questions]


def answer(sql: str) -> list[list[str]]:
    """Answer as MariaDB's batch mode does: text, tabs and line ends escaped."""
    if "queued_messages q" in sql:
        return [
            ["1", "acme/mail", "Live", "0", "2", "1", "300", "4"],
            ["7", "acme/new", "Development", "1", "0", "0", "0", "0"],
        ]
    if "`postal-server-1`.deliveries" in sql:
        return [
            ["1", "0", "app@example.com", "a@x.test", "300", "SoftFail", "An error\\noccurred", "refused\\tnow"],
            ["2", "0", "app@example.com", "b@x.test", "0", "", "", ""],
            ["3", "1", "app@example.com", "c@x.test", "60", "Held", "On the suppression list", ""],
        ]
    if "COUNT(*)" in sql:
        return [["1" if "server-1" in sql else "0"]]
    return []


def test_each_server_tells_what_waits_what_is_held_and_why() -> None:
    mail, new = overview.queue(answers, "postal", "postal", 10)
    assert (mail["server"], mail["waiting"], mail["held"], mail["sending"]) == ("acme/mail", 2, 1, 1)
    assert (mail["oldest_seconds"], mail["attempts"]) == (300, 4)
    assert mail["reasons"] == {"An error occurred refused now": 1, "On the suppression list": 1, "not tried yet": 1}
    assert [message["status"] for message in mail["messages"]] == ["SoftFail", "Pending", "Held"]
    assert (new["suspended"], new["waiting"], new["held"], new["messages"]) == (True, 0, 0, [])


def test_a_key_is_in_no_question() -> None:
    asked: list[str] = []

    def query(questions: Sequence[str]) -> list[list[list[str]]]:
        asked.extend(questions)
        key, user = ["acme/mail", "app", "SMTP", "1", ""], ["a@b.c", "Ada ", "1", "2026"]
        return [[key if "credentials" in sql else user] for sql in questions]

    assert overview.credentials(query, "postal") == [
        {"server": "acme/mail", "name": "app", "type": "SMTP", "hold": True, "last_used": None}
    ]
    assert overview.users(query, "postal") == [{"email": "a@b.c", "name": "Ada", "admin": True, "created": "2026"}]
    assert not any(word in sql for sql in asked for word in ("c.key", "`key`", "password", "*"))


@pytest.mark.parametrize("name", ["postal`; DROP DATABASE x; --", "", "a b", "ä"])
def test_a_name_that_is_no_database_is_in_no_question(name: str) -> None:
    with pytest.raises(ValueError, match="no name of a database"):
        overview.queue(answers, name, "postal", 10)
    with pytest.raises(ValueError, match="no name of a database"):
        overview.database_bytes(answers, "postal", name)


@pytest.mark.parametrize(
    ("running", "wanted", "why"),
    [
        ("3.3.7", "3.3.8", None),
        ("3.3.7", "4.0.0", None),
        ("sha256:abc", "3.3.8", None),
        ("3.3.7", "3.3.7", "runs already"),
        ("3.3.10", "3.3.9", "do not go back"),
        ("3.3.7", "latest", "no exact release"),
        ("3.3.7", "3.3", "no exact release"),
    ],
)
def test_an_upgrade_goes_to_a_newer_exact_release_only(running: str, wanted: str, why: str | None) -> None:
    found = upgrade_problem(running, wanted)
    assert found is None if why is None else why in str(found)
