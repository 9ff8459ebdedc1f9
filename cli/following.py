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


def follow_all(followers: "Mapping[str, Follower]") -> None:
    """Print what comes from every place; of several, behind its name. Exits with 1 where one could not be followed."""
    failed: list[str] = []

    def watch(name: str, follower: "Follower") -> None:
        try:
            follower(lambda line: say(f"{name}  {line}" if len(followers) > 1 else line))
        except RuntimeError as error:  # told at once: the others go on
            tell(f"{name}: {error}")
            failed.append(name)

    with ThreadPoolExecutor(max_workers=len(followers)) as pool:
        running = [pool.submit(watch, name, follower) for name, follower in followers.items()]
        try:
            for one in running:
                one.result()
        except KeyboardInterrupt:
            # The ssh programs were interrupted too and are given time to clear away what they logged in with. What
            # still reads in other threads would keep the process: its connections end with it.
            wait(running, timeout=CLEARING_SECONDS)
            os._exit(130)
    raise typer.Exit(int(bool(failed)))
