"""Removes grounds: one by name, or all those whose owner died without cleaning up."""

import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.ground.docker import docker_try, labelled
from rehearsal.ground.errors import GroundError
from rehearsal.ground.labels import GROUND, KEEP, NAME, OWNER, STARTED, STATE, is_leftover

__all__ = ["Piece", "clean_leftovers", "pieces", "remove_ground"]

Log = Callable[[str], None]
_LOG = logging.getLogger(__name__)

# Containers first: a network with containers on it, or an image in use, cannot be removed.
_REMOVE = {
    "container": ["rm", "--force", "--volumes"],
    "network": ["network", "rm"],
    "volume": ["volume", "rm", "--force"],
    "image": ["image", "rm", "--force"],
}

# "exit status 1" is what `docker network rm` adds below its messages; alone it says nothing.
_GONE = ("No such", "not found", "already in progress", "exit status 1")
# On a busy machine Docker lets go of a container's network and volumes some time after the container.
_NETWORK_BUSY = "has active endpoints"
_BUSY = (_NETWORK_BUSY, "volume is in use")
BUSY_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Piece:
    """One Docker object of a ground."""

    kind: str
    """``container``, ``network``, ``volume`` or ``image``."""
    identity: str
    labels: Mapping[str, str]
    running: bool

    @property
    def ground(self) -> str:
        """The ground it belongs to."""
        return self.labels.get(GROUND, "")

    def describe(self) -> str:
        """One line for people."""
        name = self.labels.get(NAME, self.identity[:12])
        kept = ", kept" if self.labels.get(KEEP) == "true" else ""
        state = "" if self.kind != "container" else ", running" if self.running else ", stopped"
        return (
            f"{self.ground}: {self.kind} {name}{state} (owner {self.labels.get(OWNER, '?')}, "
            f"since {self.labels.get(STARTED, '?')}{kept})"
        )


def _labels(record: dict[str, Any]) -> dict[str, str]:
    config = record.get("Config") or {}
    return dict(record.get("Labels") or config.get("Labels") or {})


def pieces(ground: str | None = None) -> list[Piece]:
    """List every Docker object of one ground, or of all grounds, in the order they can be removed in."""
    label = GROUND if ground is None else f"{GROUND}={ground}"
    return [
        Piece(
            kind=kind,
            # A volume has no id; its name serves.
            identity=str(record.get("Id") or record["Name"]),
            labels=_labels(record),
            running=bool((record.get("State") or {}).get("Running")) if kind == "container" else False,
        )
        for kind in _REMOVE
        for record in labelled(kind, label)
    ]


def _remove(found: list[Piece], log: Log = _LOG.warning, *, seconds: float = BUSY_SECONDS) -> None:
    problems: list[str] = []
    for kind, command in _REMOVE.items():
        identities = [piece.identity for piece in found if piece.kind == kind]
        if not identities:
            continue
        problems.extend(_removed(command, identities, seconds))
    stuck = [line for line in problems if _NETWORK_BUSY in line]
    if stuck and not _nobody_is_on(found):
        stuck = []
    for line in stuck:  # Docker 20.10 miscounts at times, and counts anew when it starts
        log(f"Docker keeps a network that nobody is on, until it is restarted: {line}")
    problems = [line for line in problems if line not in stuck]
    if problems:
        raise GroundError("Could not remove everything: " + "; ".join(problems))


def _removed(command: list[str], identities: list[str], seconds: float) -> list[str]:
    """Remove objects of one kind, and wait until they are free. Return what stood in the way."""
    deadline = time.monotonic() + seconds
    while True:
        result = docker_try([*command, *identities])
        # Somebody else may have removed one in the meantime: that is what was wanted.
        said = result.stderr.decode(errors="replace").splitlines()
        problems = [line for line in said if not any(phrase in line for phrase in _GONE)]
        busy = any(phrase in line for line in problems for phrase in _BUSY)
        if not busy or time.monotonic() > deadline:
            return problems
        time.sleep(0.2)


def _nobody_is_on(found: list[Piece]) -> bool:
    """Tell whether no network among ``found`` that is still there has a container on it."""
    networks = [piece.identity for piece in found if piece.kind == "network"]
    said = docker_try(["network", "inspect", "--format", "{{len .Containers}}", *networks]).stdout.split()
    return bool(said) and all(count == b"0" for count in said)


def _remove_state(directories: set[str]) -> None:
    for directory in directories:
        path = Path(directory)
        # The label is only text: remove nothing but what a ground has made.
        if (path / "ground.json").is_file():
            shutil.rmtree(path)


def remove_ground(ground: str) -> int:
    """Remove everything a ground has made, whoever owns it. Return how many Docker objects that were."""
    found = pieces(ground)
    _remove(found)
    _remove_state({piece.labels[STATE] for piece in found if STATE in piece.labels})
    return len(found)


def clean_leftovers(log: Log = _LOG.info) -> tuple[str, ...]:
    """Remove what dead runs have left behind. Return the names of the grounds concerned, sorted.

    Left alone: what a living process owns, and what is marked to be kept.
    """
    dead = [piece for piece in pieces() if is_leftover(piece.labels)]
    for piece in dead:
        log(f"removing a leftover of {piece.describe()}")
    _remove(dead, log, seconds=0.0)
    grounds = {piece.ground for piece in dead}
    alive = {piece.ground for piece in pieces()}
    _remove_state({piece.labels[STATE] for piece in dead if STATE in piece.labels and piece.ground not in alive})
    return tuple(sorted(grounds))
