"""The bytes of one SMTP session: lines and messages in, replies out, the change to TLS (RFC 5321, 3207, 2920)."""

import contextlib
import socket
import ssl

from .records import TlsFacts
from .tls import tls_facts

__all__ = ["LineTooLongError", "SessionEndedError", "Wire"]

_MAX_LINE_BYTES = 12_288  # RFC 4954 section 4: the longest AUTH line
_RECEIVE_BYTES = 65_536


class SessionEndedError(Exception):
    """The connection is over; nothing more can or may be said."""


class LineTooLongError(Exception):
    """The client sends a line without an end."""


class Wire:
    """One accepted connection. Reading sends first what was written before.

    Reading raises ``SessionEndedError`` when the client is gone; reading and writing raise ``OSError`` as sockets do.
    """

    def __init__(self, connection: socket.socket) -> None:
        """Take over ``connection``."""
        self._socket = connection
        self._input = bytearray()
        self._output = bytearray()
        self._interrupted = False

    @property
    def unread(self) -> bool:
        """Whether the client has sent more than was read."""
        return bool(self._input)

    def set_timeout(self, seconds: float) -> None:
        """Raise ``TimeoutError`` when the client says nothing for so long."""
        self._socket.settimeout(seconds)

    def handshake(self, context: ssl.SSLContext) -> TlsFacts:
        """Change to TLS as the server and return what was agreed.

        Raises:
            OSError: the handshake failed; ``ssl.SSLError`` with a reason where TLS was spoken at all.
        """
        wrapped = context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = wrapped
        if self._interrupted:  # while the old socket was given up and the new one was not there yet
            raise ConnectionAbortedError("cut off")
        wrapped.do_handshake()
        return tls_facts(wrapped)

    def interrupt(self) -> None:
        """End the connection from another thread: the one that reads and writes here is told, and closes it.

        Closed here, its number would be free while OpenSSL still writes by it: the next connection gets that number,
        and bytes that are not its own.
        """
        self._interrupted = True
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """End the connection, by the thread that reads and writes here; safe more than once."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self._socket.close()

    def write(self, reply: bytes) -> None:
        """Queue a reply; it leaves when there is no pipelined command left to read."""
        self._output += reply
        if b"\n" not in self._input:
            self.flush()

    def flush(self) -> None:
        """Send all that is queued."""
        if self._output:
            self._socket.sendall(self._output)
            self._output.clear()

    def _receive(self) -> None:
        self.flush()
        chunk = self._socket.recv(_RECEIVE_BYTES)
        if not chunk:
            raise SessionEndedError
        self._input += chunk

    def read_line(self) -> str:
        """The next line without its end.

        Raises:
            LineTooLongError: it has no end within 12,288 bytes.
        """
        while (end := self._input.find(b"\n")) < 0:
            if len(self._input) > _MAX_LINE_BYTES:
                raise LineTooLongError
            self._receive()
        line = bytes(self._input[: end + 1])
        del self._input[: end + 1]
        return line.rstrip(b"\r\n").decode("utf-8", "replace")

    def read_content(self, limit: int) -> bytes | None:
        """The message without dot-stuffing; ``None`` when it is longer than ``limit`` bytes."""
        searched = 0
        content = bytearray()
        too_long = False
        # The end is CRLF.CRLF and nothing else; the first CRLF may be the one that ended DATA.
        if self._starts_with_end():
            return b""
        while (end := self._input.find(b"\r\n.\r\n", searched)) < 0:
            keep = 4  # a part of the end mark may be at the end of the buffer
            if len(self._input) > keep + _RECEIVE_BYTES:
                content += self._input[:-keep]
                del self._input[:-keep]
            if len(content) > 2 * limit:
                # The rest is read and thrown away: the refusal comes behind the end of the data.
                content.clear()
                too_long = True
            searched = max(len(self._input) - keep, 0)
            self._receive()
        content += self._input[: end + 2]
        del self._input[: end + 5]
        message = bytes(content)
        if message.startswith(b"."):
            message = message[1:]
        message = message.replace(b"\r\n.", b"\r\n")
        return None if too_long or len(message) > limit else message

    def _starts_with_end(self) -> bool:
        while len(self._input) < 3 and b".\r\n".startswith(bytes(self._input)):
            self._receive()
        if self._input.startswith(b".\r\n"):
            del self._input[:3]
            return True
        return False
