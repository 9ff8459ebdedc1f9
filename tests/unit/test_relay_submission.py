"""A test message handed over from beside the relay."""

from types import SimpleNamespace
from typing import Any

from relay_operations.submission import submit
from tests.unit.name_server import LOOPBACK
from tests.unit.verify_world import SmtpStandin


def test_a_message_that_was_taken_is_told_as_taken_whatever_is_said_to_the_farewell() -> None:
    with SmtpStandin(recipient=lambda *_: "250 Ok", bye="421 4.3.2 going down") as server:
        settings = {
            "sender": "app@example.com",
            "recipient": "reader@example.com",
            "message": "Subject: test\r\n\r\ntest\r\n",
            "listen": [[LOOPBACK, server.port]],
        }
        role: Any = SimpleNamespace(settings=settings, facts={})
        [change] = submit(role)
        change.mend()
    assert role.facts["accepted"], role.facts
    assert role.facts["queue_id"] == "1"
