"""A stand-in for an IMAP server over TLS: login, one folder, search by subject, fetch. Enough for a mailbox."""

import contextlib
import re
import socket
import ssl
import threading
from typing import Self

from tests.unit.name_server import LOOPBACK


class ImapStandin:
    """Holds ``messages``; add to it at any time. ``said`` are the commands."""

    def __init__(self, tls: ssl.SSLContext) -> None:
        self.tls, self.password, self.folder = tls, "secret", "INBOX"
        self.messages: list[bytes] = []
        self.said: list[str] = []
        self._socket = socket.create_server((LOOPBACK, 0))
        self.port = int(self._socket.getsockname()[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(5)
        # A client that does not trust the certificate goes away.
        with (
            contextlib.suppress(OSError),
            connection,
            self.tls.wrap_socket(connection, server_side=True) as secure,
            secure.makefile("rwb") as stream,
        ):
            stream.write(b"* OK IMAP4rev1 stand-in\r\n")
            stream.flush()
            while line := stream.readline():
                tag, _, command = line.decode().strip().partition(" ")
                self.said.append(command)
                stream.write(self._answer(tag, command))
                stream.flush()
                if command == "LOGOUT":
                    return

    def _answer(self, tag: str, command: str) -> bytes:
        verb, _, rest = command.partition(" ")
        if verb == "CAPABILITY":
            return f"* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n".encode()
        if verb == "LOGIN":
            good = rest.endswith(f'"{self.password}"')
            return f"{tag} {'OK done' if good else 'NO [AUTHENTICATIONFAILED] wrong'}\r\n".encode()
        if verb == "EXAMINE":
            if rest != f'"{self.folder}"':
                return f"{tag} NO no such folder\r\n".encode()
            return f"* {len(self.messages)} EXISTS\r\n{tag} OK [READ-ONLY]\r\n".encode()
        if verb == "SEARCH":
            wanted = re.findall(r'SUBJECT "(.+)"', rest)[0].encode()
            found = [str(index + 1) for index, one in enumerate(self.messages) if b"Subject: " + wanted in one]
            return f"* SEARCH {' '.join(found)}\r\n{tag} OK done\r\n".encode()
        if verb == "FETCH":
            number, _, what = rest.partition(" ")
            assert what == "(BODY.PEEK[])", "a message stays unread"
            raw = self.messages[int(number) - 1]
            return f"* {number} FETCH (BODY[] {{{len(raw)}}}\r\n".encode() + raw + f")\r\n{tag} OK done\r\n".encode()
        return f"{tag} OK done\r\n".encode()
