"""Reads what `mailstack diff` says of the same change: risks to mail, and what restarts exactly.

Its JSON is described by its schema, version 1. Anything else is taken as a text and shown as one.
"""

import json
from dataclasses import dataclass, fields
from typing import Any

__all__ = ["Declared", "Restart", "Risk", "read_declared"]

VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Risk:
    """What could lose or delay mail: ``level`` high, medium or low."""

    level: str
    what: str
    reason: str
    advice: str
    certain: bool


@dataclass(frozen=True, kw_only=True)
class Restart:
    """``what`` does ``how`` (such as reload or restart), because of the resource ``resource``."""

    what: str
    how: str
    means: str
    resource: str
    certain: bool


@dataclass(frozen=True, kw_only=True)
class Declared:
    """``text`` is what was given where it is no document, else empty."""

    risks: tuple[Risk, ...] = ()
    restarts: tuple[Restart, ...] = ()
    text: str = ""


def read_declared(text: str) -> Declared:
    """Return what ``text`` says: the document of ``--format json``, or any text."""
    try:
        found = json.loads(text)
        if found["version"] != VERSION:
            return Declared(text=text)
        return Declared(
            risks=tuple(Risk(**_taken(one, Risk)) for one in found["risks"]),
            restarts=tuple(Restart(**_taken(one, Restart)) for one in found["restarts"]),
        )
    except (ValueError, TypeError, KeyError):
        return Declared(text=text)


def _taken(entry: dict[str, Any], kind: type[Risk | Restart]) -> dict[str, Any]:
    """Return the fields of ``kind``; further ones are of a newer mailstack."""
    names = [field.name for field in fields(kind)]
    return {name: entry[name] if name == "certain" else str(entry[name]) for name in names}
