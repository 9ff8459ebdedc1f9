"""A zone's records sorted by what they are to the stack, with the entries of ``dns.existing`` that take them over."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import yaml

from mailstack.dns.existing import Action, Clash, Existing, find_clashes, take_overs
from mailstack.dns.records import Record, Text

__all__ = ["Kind", "Sorted", "entries", "sort_records"]

Kind = Literal["ours", "same", "other", "foreign"]
MEANINGS: dict[Kind, str] = {
    "ours": "made by this stack",
    "same": "the very record that is declared",
    "other": "stands against a declared one",
    "foreign": "nothing of ours: stays as it is",
}


@dataclass(frozen=True, kw_only=True)
class Sorted:
    """A record of the zone: ``ours`` was made by this stack, ``same`` is the very one that is declared, ``other``
    stands against a declared one, ``foreign`` is nobody's business here. ``clash`` says more of the middle two, and
    ``action`` what can be decided: to take it over where a declared record has a place for it, else to keep it.
    """

    existing: Existing
    kind: Kind
    clash: Clash | None = None
    action: Action | None = None

    @property
    def meaning(self) -> str:
        """Say it in words, of one that stands against a declared one with the reason."""
        return MEANINGS[self.kind] if self.kind != "other" or self.clash is None else self.clash.why


def sort_records(declared: Collection[Record], existing: Sequence[Existing], ours: Collection[str]) -> list[Sorted]:
    """Sort what a zone holds. ``ours`` are the record IDs of the last update's records."""
    foreign = [there for there in existing if there.record_id is None or there.record_id not in ours]
    clashes = {id(clash.existing): clash for clash in find_clashes([*declared], declared, foreign)}
    taken = take_overs([clash for clash in clashes.values() if clash.may_be_taken])
    places = {id(there) for there in taken.values()}
    found = []
    for there in existing:
        clash = clashes.get(id(there))
        kind: Kind = "ours" if there.record_id is not None and there.record_id in ours else "foreign"
        if clash is not None:
            kind = "same" if any(record.data == there.data for record in clash.declared) else "other"
        stays: Action | None = "keep" if clash is not None and clash.may_stay else None
        action: Action | None = "take-over" if id(there) in places else stays
        found.append(Sorted(existing=there, kind=kind, clash=clash, action=action))
    return sorted(found, key=lambda one: (one.existing.name.split(".")[::-1], one.existing.type, one.existing.content))


def entries(records: Sequence[Sorted]) -> str:
    """Return the YAML of ``dns.existing`` for every record about which something can be decided."""
    listed = [
        {
            "name": one.existing.name,
            "type": one.existing.type,
            "content": one.existing.data.value if isinstance(one.existing.data, Text) else one.existing.content,
            "action": one.action,
        }
        for one in records
        if one.action is not None
    ]
    return yaml.safe_dump(listed, sort_keys=False, allow_unicode=True, width=10_000) if listed else ""
