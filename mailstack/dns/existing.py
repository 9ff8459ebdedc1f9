"""What a zone holds already, held against what is about to be declared there. Pure: whoever looked hands it over.

A record of the zone that would clash with a new one, or double it, is told before anything is registered. Foreign
records that do neither stay as they are, and nobody speaks of them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from mailstack.dns.cloudflare import decode_content, resource_name
from mailstack.dns.records import MailExchanger, Record, RecordData, Text

__all__ = ["Action", "Clash", "Decision", "Existing", "decide", "find_clashes", "take_overs"]

Action = Literal["take-over", "keep"]
# What a TXT value is for: two of one kind at one name cancel each other.
KINDS = {"v=spf1": "SPF", "v=dmarc1": "DMARC", "v=dkim1": "DKIM", "v=stsv1": "MTA-STS", "v=tlsrptv1": "TLS-RPT"}
DOUBLED = {
    "SPF": "two SPF records are a permanent error for every receiver (RFC 7208 §3.2)",
    "DMARC": "with two DMARC records none counts (RFC 9989, RFC 7489 §6.6.3)",
    "DKIM": "with two keys at one selector signatures fail at random (RFC 6376 §3.6.2.2)",
    "MTA-STS": "with two MTA-STS records senders behave as if there were none (RFC 8461 §3.1)",
    "TLS-RPT": "with two TLS-RPT records nobody reports (RFC 8460 §3)",
}
ONE_EACH = "it cannot be taken over, another record is in its place"
SHOWN = 120


@dataclass(frozen=True, kw_only=True)
class Existing:
    """A record as a zone has it. ``content`` as it was shown, ``data`` decoded like a declared record's, None for types
    that are never declared. ``record_id`` and ``zone_id`` are Cloudflare's, None elsewhere. ``keeper`` names the
    product of Cloudflare's that made the record and lets nobody else change it.
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
    keeper: str | None = None

    @classmethod
    def at_cloudflare(cls, zone: str, zone_id: str, shown: Mapping[str, object]) -> "Existing":
        """Read a record as Cloudflare's API shows it."""
        kind, content, priority = str(shown["type"]), str(shown.get("content") or ""), shown.get("priority")
        return cls(
            zone=zone,
            name=str(shown["name"]).lower(),
            type=kind,
            content=f"{priority} {content}" if kind == "MX" else content,
            data=decode_content(kind, content, priority if isinstance(priority, int) else None),
            ttl=int(str(shown.get("ttl") or 0)),
            proxied=bool(shown.get("proxied")),
            record_id=str(shown["id"]),
            zone_id=zone_id,
            keeper=_keeper(shown.get("meta")),
        )

    def __str__(self) -> str:
        """Name it in one line."""
        text = self.data.value if isinstance(self.data, Text) else self.content
        return f"{self.name} {self.type} {text[:SHOWN]}{'…' if len(text) > SHOWN else ''}"

    @property
    def kind(self) -> str | None:
        """Return what a TXT record is for, None for free text and other types."""
        return _kind(self.name, self.data)


def _keeper(meta: object) -> str | None:
    """Return whose record it is, from what the API says beside it."""
    if not isinstance(meta, Mapping):
        return None
    if meta.get("email_routing"):
        return "Email Routing"
    return "another product" if meta.get("read_only") else None


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
        if there.name.startswith("*."):
            found += _wildcard(there, at_name)
        else:
            clash = _clash(there, at_name.get(there.name, []), exchangers)
            if clash is not None:
                found.append(clash)
    return found


def _clash(there: Existing, new: Sequence[Record], exchangers: Collection[object]) -> Clash | None:
    found = _clash_of_values(there, new, exchangers)
    if found is None or there.keeper is None:
        return found
    why = f"{found.why}; Cloudflare's {there.keeper} keeps it and lets nobody change or remove it"
    return replace(found, why=why, may_stay=False, may_be_taken=False)


def _clash_of_values(there: Existing, new: Sequence[Record], exchangers: Collection[object]) -> Clash | None:
    if not new:
        return None
    same = tuple(record for record in new if there.data is not None and record.data == there.data)
    if same:
        why = "is the very record that is declared; Cloudflare refuses to make it again (81058)"
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
    if there.type == "MX" and beside and (there.name, there.data) not in exchangers:
        why = "mail would go to both, by preference: also to where it went before (RFC 5321 §5.1)"
        return Clash(existing=there, declared=beside, why=why, may_stay=True)
    if there.type in {"A", "AAAA"} and beside:
        why = "the name would have both addresses, and half of the connections would go to the old one"
        return Clash(existing=there, declared=beside, why=why, may_stay=True)
    return None


def _wildcard(there: Existing, at_name: Mapping[str, Sequence[Record]]) -> Iterator[Clash]:
    parent = there.name.removeprefix("*.")
    below = [record for name, records in at_name.items() if name.endswith(f".{parent}") for record in records]
    declared = tuple(record for record in below if there.type in {record.type, "CNAME"} and record.type != "TXT")
    if declared:
        why = "it answers for these names today and stops doing so, for every type, once they have records of their own"
        yield Clash(
            existing=there, declared=declared, why=f"{why} (RFC 4592 §2.2.1)", may_stay=True, may_be_taken=False
        )


def _kind(name: str, data: RecordData | None) -> str | None:
    if not isinstance(data, Text):
        return None
    text = data.value.strip().lower()
    for start, kind in KINDS.items():
        if text == start or text.startswith((f"{start} ", f"{start};")):
            return kind
    # A key record may lack its version (RFC 6376 §3.6.1).
    return "DKIM" if "._domainkey." in f".{name}" and "p=" in text else None


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
