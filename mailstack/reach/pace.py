"""Keeps within an API's rate limit: so many calls in any window of so many seconds."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

__all__ = ["Pace"]


class Pace:
    """Counts calls, and says how long the next one has to wait. ``made`` are the times of calls made before.

    ``evenly``: one after the other in equal distances, for callers that cannot tell when a call is really made. A
    burst would be made late, and so be counted with the calls of the window that follows.
    """

    def __init__(
        self,
        calls: int,
        seconds: float,
        made: Iterable[float] = (),
        *,
        evenly: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """At most ``calls`` in any ``seconds``; ``clock`` gives the time of ``made``, in seconds."""
        self._seconds = seconds
        self._distance = seconds / calls if evenly else 0.0
        self._clock = clock
        self._lock = threading.Lock()
        # Only the last ``calls`` matter: the next one may come a window after the first of them.
        self._turns = deque(sorted(made), maxlen=calls)

    def turn(self, within: float | None = None) -> float | None:
        """Take the next turn: return the seconds until it, or None where it would not come ``within`` so many."""
        with self._lock:
            now = self._clock()
            then = max(now, self._turns[-1] + self._distance) if self._turns else now
            if len(self._turns) == self._turns.maxlen:
                then = max(then, self._turns[0] + self._seconds)
            if within is not None and then - now > within:
                return None
            self._turns.append(then)
            return then - now

    def made(self) -> list[float]:
        """Return the times of the last turns, oldest first."""
        with self._lock:
            return list(self._turns)
