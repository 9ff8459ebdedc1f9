"""The bytes of a session: cut off from another thread, its socket stays with the thread that reads and writes."""

import socket
import ssl
import threading

import pytest

from rehearsal.google_standin.wire import SessionEndedError, Wire


def test_a_session_that_is_cut_off_ends_on_both_sides_and_keeps_its_sockets_number() -> None:
    """A number that is free goes to the next connection, which would get the bytes that OpenSSL still writes here."""
    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    ended: list[BaseException] = []

    def read() -> None:
        try:
            wire.read_line()
        except SessionEndedError as error:
            ended.append(error)

    reader = threading.Thread(target=read)
    reader.start()
    wire.interrupt()
    reader.join(timeout=5)
    assert len(ended) == 1, "the thread that reads is told"
    assert theirs.recv(1) == b""
    assert ours.fileno() != -1
    wire.close()
    assert ours.fileno() == -1
    theirs.close()


def test_a_handshake_of_a_session_that_was_cut_off_does_not_begin() -> None:
    ours, theirs = socket.socketpair()
    wire = Wire(ours)
    wire.interrupt()
    with pytest.raises(OSError):  # noqa: PT011 - whichever: all of them end the session
        wire.handshake(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    wire.close()
    theirs.close()
