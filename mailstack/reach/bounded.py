"""A look that ends in time, whatever it waits for: some of what it calls, such as getaddrinfo, knows no limit."""

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

__all__ = ["all_within", "within"]

Key = TypeVar("Key")
Answer = TypeVar("Answer")


def within(seconds: float, ask: Callable[[], Answer], otherwise: Answer) -> Answer:
    """Return what ``ask`` returns, or ``otherwise`` where that takes longer. What it raises is raised here."""
    return all_within(seconds, {"": ask}).get("", otherwise)


def all_within(seconds: float, asks: Mapping[Key, Callable[[], Answer]]) -> dict[Key, Answer]:
    """Ask all at once; return the answers that came in time. The first error that came is raised.

    Threads that still wait are left behind: they do not keep the program from ending.
    """
    answers: dict[Key, Answer] = {}
    errors: list[Exception] = []

    def one(key: Key, ask: Callable[[], Answer]) -> None:
        try:
            answers[key] = ask()
        except Exception as error:  # noqa: BLE001 - raised again below, where somebody waits for it
            errors.append(error)

    threads = [threading.Thread(target=one, args=item, daemon=True) for item in asks.items()]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if errors:
        raise errors[0]
    return dict(answers)
