"""What a zone holds already, held against what is about to be declared there. Pure: whoever looked hands it over.

A record of the zone that would clash with a new one, or double it, is told before anything is registered. Foreign
records that do neither stay as they are, and nobody speaks of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mailstack.dns.cloudflare import decode_shown, resource_name, to_cloudflare
from mailstack.dns.names import WILDCARD
from mailstack.dns.presentation import data_text
from mailstack.dns.records import MailExchanger, Record, RecordData, Text
from mailstack.dns.text_kinds import kind_of

__all__ = [
    "Action",
    "Clash",
    "Decision",
    "Existing",
    "content_of",
    "decide",
    "declared_content",
    "find_clashes",
    "take_overs",
]

Action = Literal["take-over", "keep"]
# Two TXT records of one kind at one name cancel each other.
DOUBLED = {
    "SPF": "two SPF records are a permanent error for every receiver (RFC 7208 §3.2)",
    "DMARC": "with two DMARC records none counts (RFC 9989, RFC 7489 §6.6.3)",
    "DKIM": "with two keys at one selector signatures fail at random (RFC 6376 §3.6.2.2)",
    "MTA-STS": "with two MTA-STS records senders behave as if there were none (RFC 8461 §3.1)",
    "TLS-RPT": "with two TLS-RPT records nobody reports (RFC 8460 §3)",
    "BIMI": "with two BIMI records none counts (draft-brand-indicators-for-message-identification §7.2)",
}
ONE_EACH = "it cannot be taken over, another record is in its place"
SHOWN = 120
# Cloudflare computes their content, each in its own way.
COMPUTED = frozenset({"CAA", "SRV", "TLSA"})
BESIDE = {
    "MX": "mail would go to both, by preference: also to where it went before (RFC 5321 §5.1)",
    "A": "the name would have both addresses, and half of the connections would go to the old one",
    "SRV": "clients would use both, by priority and weight (RFC 2782)",
    "CAA": "the authorities of both may issue: what the old record permits stays permitted (RFC 8659 §4.2)",
}
BESIDE["AAAA"] = BESIDE["A"]
PROXIED = "is proxied, and Cloudflare's proxy takes no SMTP: mail would end there"


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A record as a zone has it. ``content`` as it was shown, ``data`` decoded like a declared record's, None for types
    that are never declared. ``record_id`` and ``zone_id`` are Cloudflare's, None elsewhere.
    """

    zone: str
    name: str
    type: str
    content: str
    data: RecordData | None = field(default=None)
    ttl: int = 0
    proxied: bool = False
    record_id: str | None = None
    zone_id: str | None = None

    @classmethod
    def at_cloudflare(cls, zone: str, zone_id: str, shown: Mapping[str, object]) -> "Existing":
        """Read a record as Cloudflare's API shows it."""
        kind, data = str(shown["type"]), decode_shown(shown)
        return cls(
            zone=zone,
            name=str(shown["name"]).lower(),
            type=kind,
            content=content_of(shown, data),
            data=data,
            ttl=int(str(shown.get("ttl") or 0)),
            proxied=bool(shown.get("proxied")),
            record_id=str(shown["id"]),
            zone_id=zone_id,
        )

    def __str__(self) -> str:
        """Name it in one line."""
        text = self.data.value if isinstance(self.data, Text) else self.content
        return f"{self.name} {self.type} {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"

    @property
    def kind(self) -> str | None:
        """Return what a TXT record is for, None for free text and other types."""
        return _kind(self.name, self.data)


def content_of(shown: Mapping[str, object], data: RecordData | None) -> str:
    """Return in one piece what the API or the engine's state shows of a record, ``data`` being what it decodes to.

    That is the content: of MX after its preference, of types whose content is computed as a zone file has it.
    """
    if shown["type"] in COMPUTED and data is not None:
        return data_text(data)
    content = str(shown.get("content") or "")
    return f"{float(str(shown.get('priority') or 0)):.0f} {content}" if shown["type"] == "MX" else content


def declared_content(record: Record) -> str:
    """Return what ``content_of`` is for a declared record once it is there."""
    written = to_cloudflare(record)
    if written.content is None:
        return data_text(record.data)
    return written.content if written.priority is None else f"{written.priority} {written.content}"


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person said about an existing record: name, type and, where that is not enough, its content."""

    name: str
    type: str
    content: str | None
    action: Action

    def means(self, existing: Existing) -> bool:
        """Tell whether the decision is about this record."""
        if (self.name, self.type) != (existing.name, existing.type):
            return False
        names = {existing.content.strip('"')}
        if isinstance(existing.data, Text):
            names.add(existing.data.value)
        if isinstance(existing.data, MailExchanger):  # with or without its preference
            names.add(existing.data.exchange)
        return self.content is None or self.content.strip('"').rstrip(".") in {name.rstrip(".") for name in names}


@dataclass(frozen=True, kw_only=True)
class Clash:
    """A record that is there, the declared ones it stands against, what would happen, and whether it may stay."""

    existing: Existing
    declared: tuple[Record, ...]
    why: str
    may_stay: bool
    may_be_taken: bool = True


def find_clashes(new: Sequence[Record], declared: Collection[Record], existing: Sequence[Existing]) -> list[Clash]:
    """Return what stands in the way of ``new``, the records that are about to be made.

    ``declared`` are all records of the stack, ``existing`` what the zones hold, our own left out.
    """
    at_name: dict[str, list[Record]] = {}
    for record in new:
        at_name.setdefault(record.name, []).append(record)
    exchangers = {(record.name, record.data) for record in declared if isinstance(record.data, MailExchanger)}
    found: list[Clash] = []
    for there in existing:
        if there.name.startswith(WILDCARD) and there.name not in at_name:
            found += _wildcard(there, at_name)
        else:
            clash = _clash(there, at_name.get(there.name, []), exchangers)
            if clash is not None:
                found.append(clash)
    return found


def _clash(there: Existing, new: Sequence[Record], exchangers: Collection[object]) -> Clash | None:
    if not new:
        return None
    same = tuple(record for record in new if there.data is not None and record.data == there.data)
    if same:
        why = "is the very record that is declared; Cloudflare refuses to make it again (81057, 81058)"
        return Clash(existing=there, declared=same, why=why, may_stay=False)
    if there.type == "CNAME" or any(record.type == "CNAME" for record in new):
        declared = tuple(new) if there.type == "CNAME" else tuple(r for r in new if r.type == "CNAME")
        why = "a CNAME is alone at its name (RFC 1034 §3.6.2); Cloudflare refuses the second record (81053, 81054)"
        # Another type is another resource: taking it over would not help.
        both = there.type == "CNAME" and any(record.type == "CNAME" for record in new)
        return Clash(existing=there, declared=declared, why=why, may_stay=False, may_be_taken=both)
    if there.kind is not None:
        doubled = tuple(record for record in new if _kind(record.name, record.data) == there.kind)
        return Clash(existing=there, declared=doubled, why=DOUBLED[there.kind], may_stay=False) if doubled else None
    beside = tuple(record for record in new if record.type == there.type)
    if not beside or there.type not in BESIDE or (there.name, there.data) in exchangers:
        return None
    if there.proxied:
        return Clash(existing=there, declared=beside, why=PROXIED, may_stay=False)
    return Clash(existing=there, declared=beside, why=BESIDE[there.type], may_stay=True)


def _wildcard(there: Existing, at_name: Mapping[str, Sequence[Record]]) -> Iterator[Clash]:
    parent = there.name.removeprefix(WILDCARD)
    below = [record for name, records in at_name.items() if name.endswith(f".{parent}") for record in records]
    declared = tuple(record for record in below if there.type in {record.type, "CNAME"} and record.type != "TXT")
    if declared:
        why = "it answers for these names today and stops doing so, for every type, once they have records of their own"
        yield Clash(
            existing=there, declared=declared, why=f"{why} (RFC 4592 §2.2.1)", may_stay=True, may_be_taken=False
        )


def _kind(name: str, data: RecordData | None) -> str | None:
    return kind_of(name, data.value) if isinstance(data, Text) else None


def decide(clashes: Sequence[Clash], decisions: Sequence[Decision]) -> tuple[list[Clash], list[Clash]]:
    """Return the clashes nobody decided about, or decided what cannot be, and those that are taken over."""
    open_clashes, taken = [], []
    for clash in clashes:
        action = next((decision.action for decision in decisions if decision.means(clash.existing)), None)
        if action == "take-over" and clash.may_be_taken:
            taken.append(clash)
        elif not (action == "keep" and clash.may_stay):
            open_clashes.append(clash)
    places = take_overs(taken).values()
    # Where records have no ID, nothing is imported: to take over is to replace by hand, and may be several.
    surplus = [clash for clash in taken if clash.existing.record_id is not None and clash.existing not in places]
    open_clashes += [replace(clash, why=f"{ONE_EACH}; {clash.why}", may_be_taken=False) for clash in surplus]
    return open_clashes, [clash for clash in taken if clash not in surplus]


def take_overs(taken: Sequence[Clash]) -> dict[str, Existing]:
    """Return which declared record, by its resource name, starts as which existing one.

    A record that is the same is chosen first, then one for the same host or purpose, else the first.
    """
    found: dict[str, Existing] = {}
    for clash in sorted(taken, key=lambda clash: all(r.data != clash.existing.data for r in clash.declared)):
        free = [record for record in clash.declared if resource_name(record) not in found]
        exact = [record for record in free if record.data == clash.existing.data]
        if free:
            found[resource_name((exact or free)[0])] = clash.existing
    return found
