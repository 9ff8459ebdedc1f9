"""What one run has found out already, so that checks that need the same thing ask for it once."""

import threading
from collections.abc import Callable, Hashable
from typing import TypeVar, cast

__all__ = ["Kept"]

Thing = TypeVar("Thing")


class Kept:
    """Values by key. Whoever asks for a key first makes its value; the others wait for it."""

    def __init__(self) -> None:
        """Nothing is known yet."""
        self._values: dict[Hashable, object] = {}
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def once(self, key: Hashable, make: Callable[[], Thing]) -> Thing:
        """Return the value of ``key``. What ``make`` raises is raised, and the next who asks tries again."""
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._values:
                self._values[key] = make()
            return cast("Thing", self._values[key])
