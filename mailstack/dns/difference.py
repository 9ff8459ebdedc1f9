"""Declared records against what zones hold: missing, different, foreign. Pure: whoever looked hands both over."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mailstack.dns.existing import Existing
from mailstack.dns.presentation import data_text
from mailstack.dns.records import AUTOMATIC_TTL, Record, RecordData, Text
from mailstack.dns.text_kinds import kind_of

__all__ = ["Difference", "differences"]

# Records whose fellows at the same name and type change what happens: mail, connections or trust go to them too.
# Texts of one kind are the same, and are told apart by it.
ONE_SET = frozenset({"A", "AAAA", "CNAME", "MX", "CAA", "TLSA", "SRV"})
# The zone's own, made by whoever serves it.
OF_THE_ZONE = frozenset({"SOA", "NS", "RRSIG", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "CDS", "CDNSKEY"})
Key = tuple[str, str, str | None]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """``missing``: declared, and nothing stands in its place. ``different``: something else does, or it has another
    TTL. ``foreign``: nothing of ours, and none of our business. Contents as a zone file has them.
    """

    zone: str
    kind: Literal["missing", "different", "foreign"]
    name: str
    type: str
    declared: tuple[str, ...] = ()
    held: tuple[str, ...] = ()


def differences(zone: str, declared: Collection[Record], existing: Sequence[Existing]) -> Iterator[Difference]:
    """Yield what differs in one zone, by name. ``existing`` is what it holds, or what of it could be seen."""
    wanted: dict[Key, list[Record]] = {}
    for record in declared:
        wanted.setdefault(_key(record.name, record.type, record.data), []).append(record)
    held: dict[Key, list[Existing]] = {}
    for there in existing:
        held.setdefault(_key(there.name, there.type, there.data), []).append(there)
    for key in sorted({*wanted, *held}, key=lambda one: (one[0].split(".")[::-1], one[1], one[2] or "")):
        yield from _of_one(zone, key, wanted.get(key, []), held.get(key, []))


def _key(name: str, kind: str, data: RecordData | None) -> Key:
    return name, kind, kind_of(name, data.value) if isinstance(data, Text) else None


def _of_one(zone: str, key: Key, wanted: Sequence[Record], held: Sequence[Existing]) -> Iterator[Difference]:
    name, kind, text_kind = key
    if not wanted:
        if kind not in OF_THE_ZONE:
            yield Difference(zone=zone, kind="foreign", name=name, type=kind, held=tuple(map(_held, held)))
        return
    lacking = [record for record in wanted if not any(_same(record, there) for there in held)]
    more = [there for there in held if not any(_same(record, there) for record in wanted)]
    if kind not in ONE_SET and text_kind is None:
        # Other texts at the name are somebody else's, but for one of ours with another TTL.
        same = [there for there in more if any(record.data == there.data for record in wanted)]
        for there in (there for there in more if there not in same):
            yield Difference(zone=zone, kind="foreign", name=name, type=kind, held=(_held(there),))
        more = same
    if lacking or more:
        yield Difference(
            zone=zone,
            kind="different" if more else "missing",
            name=name,
            type=kind,
            declared=tuple(_declared(record) for record in lacking),
            held=tuple(map(_held, more)),
        )


def _same(record: Record, there: Existing) -> bool:
    return record.data == there.data and not there.proxied and _same_ttl(record.ttl, there.ttl)


def _same_ttl(declared: int, held: int) -> bool:
    # An export may leave it out, and an automatic one is the provider's to choose.
    return held == 0 or AUTOMATIC_TTL in {declared, held} or declared == held


def _declared(record: Record) -> str:
    return f"{record.ttl} {data_text(record.data)}"


def _held(there: Existing) -> str:
    text = there.content if there.data is None else data_text(there.data)
    return f"{there.ttl} {text}{' (proxied)' if there.proxied else ''}"
