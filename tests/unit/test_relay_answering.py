"""Whether the relay answers, asked for from beside it."""

import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from relay_operations import answering


def asked(listen: list[list[Any]]) -> dict[str, Any]:
    role: Any = SimpleNamespace(settings={"listen": listen}, facts={})
    assert answering.look(role) == []
    facts: dict[str, Any] = role.facts
    return facts


@pytest.mark.parametrize(
    ("greeting", "answers"), [(b"220 relay.example.com ESMTP\r\n", True), (b"421 too busy\r\n", False), (b"", False)]
)
def test_only_a_greeting_is_an_answer(greeting: bytes, answers: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(greeting)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        facts = asked([["0.0.0.0", listening.getsockname()[1]]])
        thread.join(5)
    assert (facts["greeting"] is not None) == answers
    assert (facts["reason"] is None) == answers
    if answers:
        assert facts["greeting"] == "220 relay.example.com ESMTP"


def test_nobody_there_is_told_with_the_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
    facts = asked([["127.0.0.1", port]])
    assert facts["greeting"] is None
    assert f"127.0.0.1 port {port}: " in facts["reason"]
    assert asked([])["reason"] == "it listens nowhere"
