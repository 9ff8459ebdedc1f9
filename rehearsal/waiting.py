"""Waiting for something with an end: ask, pause, ask again. Standard library only, like the stand-ins that use it."""

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["wait_for"]

Found = TypeVar("Found")


def wait_for(ask: Callable[[], Found | None], seconds: float, *, pause: float = 0.1) -> Found | None:
    """Return the first answer of ``ask`` that counts as true; None when none came within ``seconds``.

    It asks at least once, and once more after a pause of ``pause`` seconds that outlasted the time.
    """
    deadline = time.monotonic() + seconds
    while True:
        if found := ask():
            return found
        if time.monotonic() > deadline:
            return None
        time.sleep(pause)
