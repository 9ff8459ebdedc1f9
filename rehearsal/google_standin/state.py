"""What arrived and what was counted. Safe for use from several threads."""

import threading
from collections import Counter
from dataclasses import replace
from email.parser import BytesHeaderParser
from email.policy import compat32

from .records import ConnectionFacts, Counters, ReceivedMessage, TlsFacts

__all__ = ["StandinState"]


class StandinState:
    """Messages and counters since the start or the last reset."""

    def __init__(self) -> None:
        """Start empty."""
        self._lock = threading.Lock()
        self._last_connection = 0
        self._last_message = 0
        self._open: set[int] = set()
        self._clear()

    def _clear(self) -> None:
        self._messages: dict[int, tuple[ReceivedMessage, bytes]] = {}
        self._connections: dict[int, ConnectionFacts] = {}
        self._refused: Counter[str] = Counter()
        self._peak_open = len(self._open)
        self._handshake_failures = 0
        self._transactions = 0

    def reset(self) -> None:
        """Forget messages and counters. Open sessions go on and are counted anew from their next message."""
        with self._lock:
            self._clear()

    def connection_opened(self, peer_ip: str, port: int) -> int:
        """Count a connection; the result is its id."""
        with self._lock:
            self._last_connection += 1
            number = self._last_connection
            self._open.add(number)
            self._peak_open = max(self._peak_open, len(self._open))
            self._connections[number] = ConnectionFacts(
                id=number, peer_ip=peer_ip, port=port, messages=0, tls=False, resumed=False
            )
            return number

    def connection_closed(self, number: int) -> None:
        """Count the end of a connection."""
        with self._lock:
            self._open.discard(number)

    def handshake_done(self, number: int, facts: TlsFacts) -> None:
        """Count a finished TLS handshake."""
        with self._lock:
            known = self._connections.get(number)
            if known:
                self._connections[number] = replace(known, tls=True, resumed=facts.resumed)

    def handshake_failed(self) -> None:
        """Count a TLS handshake that broke, on either side's wish."""
        with self._lock:
            self._handshake_failures += 1

    def transaction_started(self) -> None:
        """Count an accepted MAIL command."""
        with self._lock:
            self._transactions += 1

    def refused(self, name: str) -> None:
        """Count a refusal by its name."""
        with self._lock:
            self._refused[name] += 1

    def accept(self, message: ReceivedMessage, raw: bytes) -> int:
        """Keep a message; the result is its id (the one in ``message`` is ignored)."""
        with self._lock:
            self._last_message += 1
            number = self._last_message
            self._messages[number] = (replace(message, id=number), raw)
            known = self._connections.get(message.connection)
            if known:
                self._connections[message.connection] = replace(known, messages=known.messages + 1)
            return number

    def messages(self, since: int = 0) -> list[ReceivedMessage]:
        """Messages with an id above ``since``, oldest first, headers parsed."""
        with self._lock:
            found = [item for number, item in self._messages.items() if number > since]
        return [replace(message, headers=_headers(raw)) for message, raw in found]

    def message(self, number: int) -> tuple[ReceivedMessage, bytes] | None:
        """One message and its raw bytes, or ``None``."""
        with self._lock:
            found = self._messages.get(number)
        if found is None:
            return None
        message, raw = found
        return replace(message, headers=_headers(raw)), raw

    def counters(self) -> Counters:
        """A snapshot of all totals."""
        with self._lock:
            connections = tuple(self._connections.values())
            with_tls = [item for item in connections if item.tls]
            resumed = sum(1 for item in with_tls if item.resumed)
            return Counters(
                connections=len(connections),
                open_connections=len(self._open),
                peak_open_connections=self._peak_open,
                tls_sessions=len(with_tls),
                tls_full_handshakes=len(with_tls) - resumed,
                tls_resumed_handshakes=resumed,
                handshake_failures=self._handshake_failures,
                transactions=self._transactions,
                messages_accepted=len(self._messages),
                recipients_accepted=sum(len(item.rcpt_to) for item, _ in self._messages.values()),
                refused=dict(self._refused),
                per_connection=connections,
            )


def _headers(raw: bytes) -> tuple[tuple[str, str], ...]:
    parsed = BytesHeaderParser(policy=compat32).parsebytes(raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n")
    return tuple((str(key), str(value)) for key, value in parsed.items())
