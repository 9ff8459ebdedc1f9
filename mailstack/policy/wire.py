"""Inputs as the SDK hands them over, with their marks: what is secret, and what is not known before an update.

Source of the keys: sdk/go/common/resource/properties.go of pulumi/pulumi. They are the same for the engine's policy
packs and for the SDK's mock monitor.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["UNKNOWN", "Hidden", "has_unknown", "mappings", "opened", "read", "text_of", "within"]

SIGNATURE = "4dabf18193072939515e22adb298388d"
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark of a secret, not one
UNKNOWN_VALUES = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # text
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # list
        "030794c1-ac77-496b-92df-f27374a8bd58",  # asset
        "e48ece36-62e2-4504-bad9-02848725956a",  # archive
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # mapping
    }
)


class _Unknown:
    """What only an update tells. It is false, so that rules treat it like an input that is not set."""

    def __bool__(self) -> bool:
        return False

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN = _Unknown()


@dataclass(frozen=True)
class Hidden:
    """A value that Pulumi keeps as a secret."""

    value: Any = field(repr=False)


def read(value: Any) -> Any:
    """Return ``value`` with ``Hidden`` and ``UNKNOWN`` in place of the marks; an asset is a mapping like any other."""
    if isinstance(value, str):
        return UNKNOWN if value in UNKNOWN_VALUES else value
    if isinstance(value, Mapping):
        if value.get(SIGNATURE) == SECRET:
            return Hidden(read(value.get("value")))
        return {str(key): read(item) for key, item in value.items()}
    if isinstance(value, Sequence):
        return [read(item) for item in value]
    return value


def opened(value: Any) -> Any:
    """Return what ``read`` gave without the marks of secrets."""
    if isinstance(value, Hidden):
        return opened(value.value)
    if isinstance(value, dict):
        return {key: opened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [opened(item) for item in value]
    return value


def within(value: Any, *path: str) -> Any:
    """Return what is at ``path``: None where there is nothing, UNKNOWN where it or what it is in is not known."""
    for key in path:
        if value is UNKNOWN:
            return UNKNOWN
        value = value.get(key) if isinstance(value, dict) else None
    return value


def mappings(value: Any) -> list[dict[str, Any]]:
    """Return the mappings of a list, none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text_of(value: Any) -> str:
    """Return a text, "" where it is none."""
    return value if isinstance(value, str) else ""


def has_unknown(value: Any) -> bool:
    """Tell whether an input, or a part of it that is not marked as secret, is not known yet."""
    if isinstance(value, dict | list):
        return any(map(has_unknown, value.values() if isinstance(value, dict) else value))
    return value is UNKNOWN
