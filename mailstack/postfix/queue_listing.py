"""The mail queue as it is now, from Postfix's own queue service showq(8): what postqueue(1) prints comes from there.

Asked directly, because postqueue is set-group-ID (it does nothing in a service without new privileges) and a child
process (the container's process 1 reaps whatever ends). An answer also proves that master runs: it listens for showq.
"""

import socket
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

__all__ = ["QUEUES", "SHOWQ", "QueueEntry", "QueueState", "QueueWatch", "queue_state", "read_queue"]

SHOWQ = "/var/spool/postfix/public/showq"
QUEUES = ("active", "deferred", "hold", "incoming", "maildrop")
# A queue is read while somebody waits for the numbers; one of 50,000 messages takes some seconds.
TIMEOUT_SECONDS = 8.0


class QueueEntry(NamedTuple):
    """A message in a queue; ``arrival`` in seconds since 1970, ``size`` in bytes."""

    queue: str
    size: int
    arrival: float


class QueueState(NamedTuple):
    """Sizes in bytes and ages in seconds of all messages, by queue; every queue of Postfix's is there."""

    sizes: Dict[str, List[float]]
    ages: Dict[str, List[float]]

    def count(self, queue: str) -> int:
        """Return how many messages are in a queue."""
        return len(self.ages[queue])

    def oldest(self, queue: str) -> float:
        """Return the greatest age in a queue, 0 where it is empty."""
        return max(self.ages[queue], default=0.0)


def read_queue(path: str = SHOWQ, timeout: float = TIMEOUT_SECONDS) -> Iterator[QueueEntry]:
    """Yield every message. Raises OSError when Postfix does not run or is too slow.

    Not what has no recipient yet: it is still coming in, or it is the rest of a session that was broken off, which
    lies there until Postfix clears it away and would grow old as nobody's mail.
    The answer is a list of ``name NUL value NUL``; an empty name ends a message (attr_print0 of Postfix 3).
    """
    deadline = time.monotonic() + timeout
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(timeout)
        connection.connect(path)
        found: Dict[str, str] = {}
        name: Optional[str] = None
        for text in _texts(connection, deadline):
            if name is not None:
                found.setdefault(name, text)
                name = None
            elif text:
                name = text
            else:
                if "queue_name" in found and "recipient" in found:
                    yield QueueEntry(found["queue_name"], int(found["size"]), float(found["time"]))
                found = {}


def _texts(connection: socket.socket, deadline: float) -> Iterator[str]:
    rest = b""
    while True:
        left = deadline - time.monotonic()
        if left <= 0:
            raise OSError("the queue is too large to be read in time")
        connection.settimeout(left)
        chunk = connection.recv(1 << 16)
        if not chunk:
            return
        *whole, rest = (rest + chunk).split(b"\0")
        for part in whole:
            yield part.decode(errors="replace")


def queue_state(path: str = SHOWQ, timeout: float = TIMEOUT_SECONDS) -> QueueState:
    """Return the queue now. Raises OSError, see ``read_queue``."""
    state = QueueState({name: [] for name in QUEUES}, {name: [] for name in QUEUES})
    now = time.time()
    for entry in read_queue(path, timeout):
        if entry.queue in state.ages:
            state.sizes[entry.queue].append(float(entry.size))
            # A message that came in after the question is no older than nothing.
            state.ages[entry.queue].append(max(0.0, now - entry.arrival))
    return state


class QueueWatch:
    """Reads the queue when asked, at most once in ``SHORTEST_SECONDS``: many askers cost Postfix no more than one."""

    SHORTEST_SECONDS = 2.0

    def __init__(self, path: str = SHOWQ, timeout: float = TIMEOUT_SECONDS) -> None:
        """Read nothing yet. One asker at a time: the caller holds a lock."""
        self.path, self.timeout = path, timeout
        self._asked = float("-inf")
        self._last: Tuple[bool, Optional[QueueState]] = (False, None)

    def look(self) -> Tuple[bool, Optional[QueueState]]:
        """Return whether Postfix's master runs, and the queue; None for one that could not be read."""
        if time.monotonic() - self._asked >= self.SHORTEST_SECONDS:
            self._last = self._look()
            self._asked = time.monotonic()
        return self._last

    def _look(self) -> Tuple[bool, Optional[QueueState]]:
        try:
            return True, queue_state(self.path, self.timeout)
        except (OSError, ValueError, KeyError):
            return self._accepts(), None

    def _accepts(self) -> bool:
        """Tell whether anybody listens there: master does, and starts showq for whoever connects."""
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(1.0)
                connection.connect(self.path)
        except OSError:
            return False
        return True
