"""Records and record sets: plain values, always normalised, the same for every back end."""

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from mailstack.dns.names import is_normalised, is_within, normalise_name
from mailstack.dns.problems import Findings

__all__ = [
    "AUTOMATIC_TTL",
    "MAX_PREFERENCE",
    "MAX_TEXT_BYTES",
    "NULL_MX",
    "Address",
    "Alias",
    "MailExchanger",
    "Record",
    "RecordData",
    "RecordSet",
    "RecordType",
    "Text",
    "is_plain_text",
]

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT"]

AUTOMATIC_TTL = 1  # Cloudflare's "automatic"
MAX_PREFERENCE = 65535
MAX_TEXT_BYTES = 3800  # Cloudflare takes 4,096 on the wire: this, a name of 255 and a length byte per string
_TYPE_ORDER: tuple[RecordType, ...] = ("A", "AAAA", "CNAME", "MX", "TXT")


@dataclass(frozen=True, kw_only=True)
class Address:
    """Data of an A or AAAA record; ``ip`` in canonical text form (RFC 5952 for IPv6)."""

    ip: str


@dataclass(frozen=True, kw_only=True)
class Alias:
    """Data of a CNAME record: ``target`` a name in the same form as record names."""

    target: str


@dataclass(frozen=True, kw_only=True)
class MailExchanger:
    """Data of an MX record: ``preference`` 0 to 65535, lower tried first; ``exchange`` a host name.

    ``exchange`` "." with preference 0 says the domain takes no mail (RFC 7505); see ``NULL_MX``.
    """

    preference: int
    exchange: str


@dataclass(frozen=True, kw_only=True)
class Text:
    """Data of a TXT record: the decoded value, all strings joined; printable ASCII, at most 3,800 bytes."""

    value: str


NULL_MX = MailExchanger(preference=0, exchange=".")

RecordData = Address | Alias | MailExchanger | Text


@dataclass(frozen=True, kw_only=True)
class Record:
    """One DNS record: ``name`` a lower-case A-label FQDN without final dot, ``ttl`` in seconds (1: automatic).

    Raises ``ValueError`` for a name or data that is not normalised or does not suit the type: such a record
    is a programming error here, since ``declare`` has checked what people wrote.
    """

    name: str
    type: RecordType
    ttl: int
    data: RecordData

    def __post_init__(self) -> None:
        """Refuse what two back ends could read differently."""
        if not is_normalised(self.name):
            raise ValueError(f"record name {self.name!r} is not a lower-case A-label FQDN without final dot")
        fault = _fault(self.data)
        if fault is not None:
            raise ValueError(f"{self.name} {self.type}: {fault}")
        if self.type != _type_of(self.data):
            raise ValueError(f"{self.name}: {self.type} record with {self.data!r}")

    @classmethod
    def of(cls, name: str, ttl: int, data: RecordData) -> "Record":
        """Make a record of the type that ``data`` calls for."""
        return cls(name=name, type=_type_of(data), ttl=ttl, data=data)

    @property
    def sort_key(self) -> tuple[tuple[str, ...], int, int, str]:
        """Order of a zone: parent before child, then type, then data."""
        preference, value = 0, ""
        match self.data:
            case Address(ip=ip):
                value = ipaddress.ip_address(ip).packed.hex()
            case Alias(target=target):
                value = target
            case MailExchanger(preference=number, exchange=exchange):
                preference, value = number, exchange
            case Text(value=text):
                value = text
        return tuple(reversed(self.name.split("."))), _TYPE_ORDER.index(self.type), preference, value


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


def is_plain_text(value: str) -> bool:
    """Tell whether a TXT value is printable ASCII, which every back end stores unchanged."""
    return value.isascii() and value.isprintable()


def _type_of(data: RecordData) -> RecordType:
    if isinstance(data, Address):
        return "A" if ipaddress.ip_address(data.ip).version == 4 else "AAAA"
    if isinstance(data, Alias):
        return "CNAME"
    return "MX" if isinstance(data, MailExchanger) else "TXT"


def _fault(data: RecordData) -> str | None:
    """Say what is not normalised about data; None when nothing is."""
    match data:
        case Address(ip=ip):
            canonical = str(ipaddress.ip_address(ip))
            return None if canonical == ip and "%" not in ip else f"{ip!r} is not in canonical form"
        case Alias(target=target):
            return None if is_normalised(target) else f"target {target!r} is not a lower-case name without final dot"
        case MailExchanger(preference=preference, exchange=exchange):
            if not 0 <= preference <= MAX_PREFERENCE:
                return f"preference {preference} is outside 0 to {MAX_PREFERENCE}"
            if data != NULL_MX and not is_normalised(exchange, service=False):
                return f"exchange {exchange!r} is not a lower-case host name without final dot"
        case Text(value=value):
            if not is_plain_text(value):
                return "a TXT value must be printable ASCII"
            if len(value) > MAX_TEXT_BYTES:
                return f"a TXT value of {len(value)} bytes is over {MAX_TEXT_BYTES}"
    return None
