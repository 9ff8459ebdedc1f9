"""Records and record sets: plain values, always normalised, the same for every back end."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailstack.dns.names import is_owner, is_within, normalise_name
from mailstack.dns.problems import Findings
from mailstack.dns.rdata import (
    MAX_PREFERENCE,
    MAX_TEXT_BYTES,
    NULL_MX,
    RECORD_TYPES,
    Address,
    Alias,
    Caa,
    MailExchanger,
    NameServer,
    RecordData,
    RecordType,
    Srv,
    Text,
    Tlsa,
    data_fault,
    data_order,
    is_plain_text,
    type_of,
)

__all__ = [
    "AUTOMATIC_TTL",
    "MAX_PREFERENCE",
    "MAX_TEXT_BYTES",
    "NULL_MX",
    "Address",
    "Alias",
    "Caa",
    "MailExchanger",
    "NameServer",
    "Record",
    "RecordData",
    "RecordSet",
    "RecordType",
    "Srv",
    "Text",
    "Tlsa",
    "is_plain_text",
]

AUTOMATIC_TTL = 1  # Cloudflare's "automatic"


@dataclass(frozen=True, kw_only=True)
class Record:
    """One DNS record: ``name`` a lower-case A-label FQDN without final dot, ``ttl`` in seconds (1: automatic).

    The first label of the name may be ``*`` (RFC 4592).

    Raises ``ValueError`` for a name or data that is not normalised or does not suit the type: such a record
    is a programming error here, since ``declare`` has checked what people wrote.
    """

    name: str
    type: RecordType
    ttl: int
    data: RecordData

    def __post_init__(self) -> None:
        """Refuse what two back ends could read differently."""
        if not is_owner(self.name):
            raise ValueError(f"record name {self.name!r} is not a lower-case A-label FQDN without final dot")
        fault = data_fault(self.data)
        if fault is not None:
            raise ValueError(f"{self.name} {self.type}: {fault}")
        if self.type != type_of(self.data):
            raise ValueError(f"{self.name}: {self.type} record with {self.data!r}")

    @classmethod
    def of(cls, name: str, ttl: int, data: RecordData) -> "Record":
        """Make a record of the type that ``data`` calls for."""
        return cls(name=name, type=type_of(data), ttl=ttl, data=data)

    @property
    def sort_key(self) -> tuple[tuple[str, ...], int, int, str]:
        """Order of a zone: parent before child, then type, then data."""
        return tuple(reversed(self.name.split("."))), RECORD_TYPES.index(self.type), *data_order(self.data)


@dataclass(frozen=True)
class RecordSet:
    """A sorted tuple of records without duplicates. Raises ``DnsRuleError`` for two TTLs in one RRset."""

    records: tuple[Record, ...] = ()

    def __post_init__(self) -> None:
        """Sort, drop exact duplicates and check the TTL of each RRset."""
        records = tuple(sorted(set(self.records), key=lambda record: (record.sort_key, record.ttl)))
        object.__setattr__(self, "records", records)
        findings = Findings()
        ttls: dict[tuple[str, RecordType], set[int]] = {}
        for record in records:
            ttls.setdefault((record.name, record.type), set()).add(record.ttl)
        for (name, type_), found in ttls.items():
            if len(found) > 1:
                findings.error(
                    f"{name} {type_}",
                    "rrset-ttl",
                    found=f"TTLs {', '.join(map(str, sorted(found)))}",
                    expected="one TTL for all records of one name and type",
                    fix="give them the same TTL",
                )
        findings.raise_errors()

    @classmethod
    def of(cls, records: Iterable[Record]) -> "RecordSet":
        """Make a set of any iterable of records."""
        return records if isinstance(records, cls) else cls(tuple(records))

    def __iter__(self) -> Iterator[Record]:
        """Go through the records in order."""
        return iter(self.records)

    def __len__(self) -> int:
        """Count the records."""
        return len(self.records)

    def __contains__(self, record: object) -> bool:
        """Tell whether exactly this record is in the set."""
        return record in self.records

    def at(self, name: str, type: RecordType | None = None) -> tuple[Record, ...]:  # noqa: A002 - DNS term
        """Return the records of a name (any case, final dot allowed), of one type or of all."""
        wanted = name.lower().removesuffix(".")
        return tuple(r for r in self.records if r.name == wanted and type in {None, r.type})

    def of_type(self, type: RecordType) -> tuple[Record, ...]:  # noqa: A002 - DNS term
        """Return the records of one type."""
        return tuple(record for record in self.records if record.type == type)

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the decoded TXT values at a name."""
        return tuple(record.data.value for record in self.at(name) if isinstance(record.data, Text))

    def for_zone(self, zone: str, *, children: Iterable[str] = ()) -> "RecordSet":
        """Return the records at or below ``zone``, less those at or below the ``children`` zones cut from it.

        A child that is ``zone`` itself or not below it is ignored, so the list of all zones can be passed.
        """
        apex = normalise_name(zone, service=True)
        names = [normalise_name(child, service=True) for child in children]
        cuts = [name for name in names if name != apex and is_within(name, apex)]
        return RecordSet.of(
            record
            for record in self.records
            if is_within(record.name, apex) and not any(is_within(record.name, cut) for cut in cuts)
        )
