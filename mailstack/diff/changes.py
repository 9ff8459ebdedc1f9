"""What differs between the facts of two plans."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mailstack.diff.facts import SECTIONS, Fact, Key

__all__ = ["Change", "changes", "in_order"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """One fact that differs. ``before`` None: it comes; ``after`` None: it goes; both for a ``secret``.

    ``certain`` False: it differs only where an encrypted value does, and may then be the same after all.
    """

    key: Key
    label: str
    word: Literal["added", "removed", "changed"]
    before: str | None = None
    after: str | None = None
    secret: bool = False
    certain: bool = True


def changes(before: Mapping[Key, Fact], after: Mapping[Key, Fact], same: Mapping[Key, Fact]) -> tuple[Change, ...]:
    """Return what differs, section by section. ``same`` are the facts of ``after`` as if no secret had changed."""
    certain = {change.key: change for change in _changes(before, same)}

    def told(change: Change) -> Change:
        found = certain.get(change.key)
        return replace(change, certain=found is not None and found.word == change.word)

    return tuple(in_order(told(change) for change in _changes(before, after)))


def in_order(found: Iterator[Change]) -> list[Change]:
    """Return changes by section, subject and name."""
    places = list(SECTIONS)
    return sorted(found, key=lambda change: (places.index(change.key[0]), change.key[1], change.label, change.key[2]))


def _changes(before: Mapping[Key, Fact], after: Mapping[Key, Fact]) -> Iterator[Change]:
    for key in dict.fromkeys([*before, *after]):
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        there = new or old
        if there is None:
            continue
        yield Change(
            key=key,
            label=there.label,
            word="added" if old is None else "removed" if new is None else "changed",
            before=None if old is None else old.value,
            after=None if new is None else new.value,
            secret=any(fact is not None and fact.secret for fact in (old, new)),
        )
