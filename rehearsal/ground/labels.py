"""The labels every container, network, volume and image of a ground carries, and what they say."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rehearsal.ground.state import process_start

__all__ = [
    "GROUND",
    "KEEP",
    "NAME",
    "OWNER",
    "OWNER_START",
    "STARTED",
    "STATE",
    "ground_labels",
    "is_leftover",
]

GROUND = "mailstack.ground"
"""Name of the ground."""

NAME = "mailstack.name"
"""Name of the host or service inside its ground."""

OWNER = "mailstack.owner"
"""Process id of the run that made it."""

OWNER_START = "mailstack.owner-start"
"""Start time of that process: a process id alone is used again (see ``process_start``)."""

KEEP = "mailstack.keep"
"""``true`` when it outlives its owner on purpose, as the demo does."""

STARTED = "mailstack.started"
"""When it was made, ISO 8601, UTC."""

STATE = "mailstack.state"
"""Directory with the keys of the ground."""


def ground_labels(ground: str, *, keep: bool, state: Path) -> dict[str, str]:
    """Return the labels for something this process makes for ``ground``."""
    pid = os.getpid()
    return {
        GROUND: ground,
        OWNER: str(pid),
        OWNER_START: process_start(pid) or "",
        KEEP: "true" if keep else "false",
        STARTED: datetime.now(UTC).isoformat(timespec="seconds"),
        STATE: str(state),
    }


def is_leftover(labels: Mapping[str, str]) -> bool:
    """Tell whether the process that made this is gone and nobody asked to keep it."""
    if GROUND not in labels or labels.get(KEEP) == "true":
        return False
    owner = labels.get(OWNER, "")
    return not owner.isdigit() or process_start(int(owner)) != labels.get(OWNER_START)
