"""A command ended from outside (Ctrl-C, a terminal that closes, a cancelled job) clears away its keys."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from cli.common import tell

__all__ = ["ends_tidily"]


@contextmanager
def ends_tidily() -> Iterator[None]:
    """Within it, these signals end the ssh programs and then the command, as errors do: nothing is left behind."""
    if threading.current_thread() is not threading.main_thread():  # signals are the main thread's
        yield
        return
    before = {number: signal.signal(number, _end) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, _frame: FrameType | None) -> None:
    from mailstack.reach.bundle import changes
    from mailstack.reach.ssh import end_all

    if any(changes(command) for command in end_all()):
        tell("interrupted here: what was begun on a host goes on there to its end; look before you repeat it")
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)
