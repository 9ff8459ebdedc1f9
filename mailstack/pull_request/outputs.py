"""Which stack outputs a change tells otherwise: applications and other stacks go by them (mailstack/outputs).

The engine's log of events has them, the document of ``pulumi preview --json`` does not.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["OutputChange", "output_changes"]

STACK = "pulumi:pulumi:Stack"
# What only an update tells (``UnknownStringValue`` of sdk/go/common/resource/plugin).
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
# Made of what a comment tells already, for commands of ours and for people: settings, records, the relay rule.
TOLD_ELSEWHERE = frozenset({"dns_zones", "operations", "relay_rule_console_steps", "verify"})


@dataclass(frozen=True, kw_only=True)
class OutputChange:
    """One value as text, such as ``smtp_host`` or ``smtp_environment.SMTP_HOST``; None where there is none."""

    name: str
    old: str | None
    new: str | None


def output_changes(events: Iterable[Mapping[str, Any]]) -> Iterator[OutputChange]:
    """Yield what differs in the outputs of a stack that has some; what only the update tells is left out."""
    old: Mapping[str, Any] = {}
    new: Mapping[str, Any] = {}
    for event in events:
        told = (event.get("resOutputsEvent") or {}).get("metadata") or {}
        if told.get("type") == STACK:
            old, new = ((told.get(state) or {}).get("outputs") or {} for state in ("old", "new"))
    if old:
        for name in sorted({*old, *new} - TOLD_ELSEWHERE):
            yield from _differing(name, old.get(name), new.get(name))


def _differing(name: str, old: Any, new: Any) -> Iterator[OutputChange]:
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in sorted({*old, *new}):
            yield from _differing(f"{name}.{key}", old.get(key), new.get(key))
    elif old != new and UNKNOWN not in json.dumps([old, new]):
        yield OutputChange(name=name, old=_text(old), new=_text(new))


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)
