"""Follows logs of several places at once, until Ctrl-C: each line as it comes, behind the name of its place."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import typer

from cli.common import say, tell

if TYPE_CHECKING:
    from mailstack.reach.place import Follower

__all__ = ["follow_all"]

CLEARING_SECONDS = 5
PAUSE_SECONDS = 0.2


def follow_all(followers: "Mapping[str, Follower]") -> None:
    """Print what comes from every place; of several, behind its name. Exits with 1 where one could not be followed.

    It ends, too, when nobody reads it any more (`| head`), and by a signal.
    """
    failed: list[str] = []
    unread: list[OSError] = []

    def show(line: str) -> None:
        # In a thread of who reads from afar, which an error would only stop.
        try:
            say(line)
        except OSError as error:
            unread.append(error)

    def watch(name: str, follower: "Follower") -> None:
        try:
            follower(lambda line: show(f"{name}  {line}" if len(followers) > 1 else line))
        except RuntimeError as error:  # told at once: the others go on
            if not unread:
                tell(f"{name}: {error}")
            failed.append(name)

    pool = ThreadPoolExecutor(max_workers=len(followers))
    running = [pool.submit(watch, name, follower) for name, follower in followers.items()]

    def leave(code: int) -> None:
        """End the programs that still read, and with them who waits; what else waits ends with the process."""
        from mailstack.reach.ssh import end_all

        end_all()
        wait(running, timeout=CLEARING_SECONDS)
        os._exit(code)

    try:
        while not unread and wait(running, timeout=PAUSE_SECONDS).not_done:
            pass
    except KeyboardInterrupt:
        leave(130)
    except SystemExit as ended:  # another signal
        leave(int(ended.code or 0))
    if unread:
        if not isinstance(unread[0], BrokenPipeError):
            tell(f"standard output takes no more: {unread[0].strerror}")
        leave(1)
    for one in running:
        one.result()
    raise typer.Exit(int(bool(failed)))
