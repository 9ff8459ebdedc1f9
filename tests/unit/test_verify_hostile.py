"""Whatever the other side says, a check ends in a finding: servers and senders of mail are not to be trusted."""

import contextlib
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailstack.verify.authentication import read
from mailstack.verify.hello import FORWARD_SECRET, TLS_1_2, say_hello
from mailstack.verify.hops import hops
from mailstack.verify.model import State
from tests.unit.verify_world import HOST, MX, SmtpStandin, context, host, offered, only, server_hello, target

HEADER = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=200)
PARTS = st.sampled_from(
    [
        "from",
        "by",
        "with",
        "ESMTPS",
        "(",
        ")",
        ";",
        "[192.0.2.1]",
        "[::1",
        "using TLSv1.3 with cipher X",
        "=",
        "spf",
        "pass",
    ]
)
LIKELY = st.lists(st.one_of(PARTS, HEADER), max_size=12).map(" ".join)


def answered(data: bytes) -> object:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        ours.settimeout(1)
        theirs.sendall(data)
        theirs.shutdown(socket.SHUT_WR)
        return say_hello(ours, HOST, TLS_1_2, tuple(FORWARD_SECRET))


@given(st.binary(max_size=300))
def test_any_answer_to_a_client_hello_is_read_to_its_end(data: bytes) -> None:
    answered(data)


@given(st.integers(0, 80), st.binary(max_size=8))
def test_a_server_hello_that_is_broken_anywhere_is_no_mishap(cut: int, more: bytes) -> None:
    whole = server_hello(TLS_1_2, 0xC02F, extensions=(0xFF01, 23))
    answered(whole[:cut] + more)
    answered(whole[:cut] + more + whole[cut + len(more) :])


def test_a_server_hello_says_what_was_chosen_also_after_a_warning() -> None:
    whole = server_hello(TLS_1_2, 0xC02F, extensions=(0xFF01, 23))
    warning = b"\x15\x03\x03\x00\x02\x01\x70"
    for data in (whole, warning + whole):
        said = answered(data)
        assert said is not None
        assert vars(said)["cipher"] == 0xC02F
        assert vars(said)["extensions"] == {0xFF01, 23}
    assert answered(b"\x15\x03\x03\x00\x02\x02\x28") is None
    assert answered(b"\x15\x03\x03\x00\x02\x01\x00") is None


@given(st.lists(LIKELY, max_size=4))
def test_any_received_headers_are_read(received: list[str]) -> None:
    found = hops(received)
    assert len(found) == len(received)
    assert all(str(hop) for hop in found)


@given(LIKELY, st.one_of(st.none(), st.just("mx.example.org")))
def test_any_authentication_results_are_read(text: str, server: str | None) -> None:
    message = f"Authentication-Results: {text}\nFrom: {text}\n\n".encode()
    read(message, server)


@given(st.binary(max_size=300))
def test_any_message_is_read(raw: bytes) -> None:
    read(raw, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    "greeting", ["", "220", "220 ", "220-", "HTTP/1.1 400 Bad Request", "220 " + "x" * 600, "\x00\xff", "999 x"]
)
def test_any_greeting_ends_in_a_finding(greeting: str) -> None:
    with SmtpStandin(greeting=greeting) as server:
        for name in ("starttls", "smtp-greeting", "open-relay"):
            found = only(name, context(target(host(MX)), {25: server.port}, seconds=0.15))
            assert found.state in {State.FAIL, State.UNKNOWN, State.WARN, State.OK}
            assert "the check itself failed" not in found.found


def test_the_client_hello_is_one_that_servers_can_read() -> None:
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        theirs.shutdown(socket.SHUT_WR)
        say_hello(ours, HOST, TLS_1_2, (0xC02F, 0x009E))
        data = theirs.recv(4096)
    assert offered(data) == (TLS_1_2, [0xC02F, 0x009E])
    assert HOST.encode() in data
