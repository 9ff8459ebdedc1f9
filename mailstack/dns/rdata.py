"""What stands in a record: one plain, normalised value for each type this package declares."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from mailstack.dns.names import is_normalised

__all__ = [
    "CAA_CRITICAL",
    "MAX_NUMBER",
    "MAX_PREFERENCE",
    "MAX_TEXT_BYTES",
    "NOT_OFFERED",
    "NULL_MX",
    "RECORD_TYPES",
    "Address",
    "Alias",
    "Caa",
    "MailExchanger",
    "NameServer",
    "RecordData",
    "RecordType",
    "Srv",
    "Text",
    "Tlsa",
    "data_fault",
    "data_order",
    "is_plain_text",
    "type_of",
]

RecordType = Literal["A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "TLSA", "CAA"]

MAX_PREFERENCE = MAX_NUMBER = 65535  # two bytes on the wire
MAX_TEXT_BYTES = 3800  # Cloudflare takes 4,096 on the wire: this, a name of 255 and a length byte per string
MAX_CAA_BYTES = 255  # one character-string in a zone file (RFC 8659 §4.1.1)
CAA_CRITICAL = 128  # the only flag there is: a CA that does not know the tag must not issue (RFC 8659 §4.1)
NOT_OFFERED = "."  # as the target of an SRV record: no such service here (RFC 2782)
# In the order of a zone.
RECORD_TYPES: tuple[RecordType, ...] = ("A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "TLSA", "CAA")

_TAG = re.compile(r"[a-z0-9]{1,255}")
_HEX = re.compile(r"([0-9a-f]{2})+")


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


@dataclass(frozen=True, kw_only=True)
class NameServer:
    """Data of an NS record: ``host`` has the zone that begins at the record's name (RFC 1035 §3.3.11)."""

    host: str


@dataclass(frozen=True, kw_only=True)
class Srv:
    """Data of an SRV record (RFC 2782): numbers of 0 to 65535; ``target`` a host name, or "." where none is offered."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, kw_only=True)
class Tlsa:
    """Data of a TLSA record (RFC 6698 §2.1): ``certificate`` in lower-case hexadecimal digits."""

    usage: int
    selector: int
    matching_type: int
    certificate: str


@dataclass(frozen=True, kw_only=True)
class Caa:
    """Data of a CAA record (RFC 8659 §4.1): ``flags`` 0 or 128, ``tag`` in lower case, ``value`` printable ASCII."""

    flags: int
    tag: str
    value: str


NULL_MX = MailExchanger(preference=0, exchange=".")

RecordData = Address | Alias | MailExchanger | Text | NameServer | Srv | Tlsa | Caa

_TYPES: dict[type, RecordType] = {
    Alias: "CNAME",
    MailExchanger: "MX",
    Text: "TXT",
    NameServer: "NS",
    Srv: "SRV",
    Tlsa: "TLSA",
    Caa: "CAA",
}


def type_of(data: RecordData) -> RecordType:
    """Return the type that data calls for."""
    if isinstance(data, Address):
        return "A" if ipaddress.ip_address(data.ip).version == 4 else "AAAA"
    return _TYPES[type(data)]


def data_order(data: RecordData) -> tuple[int, str]:
    """Return what data of one name and type is sorted by: a number, then text."""
    match data:
        case Address(ip=ip):
            return 0, ipaddress.ip_address(ip).packed.hex()
        case Alias(target=text) | NameServer(host=text) | Text(value=text):
            return 0, text
        case MailExchanger(preference=preference, exchange=exchange):
            return preference, exchange
        case Srv(priority=priority):
            return priority, f"{data.target} {data.port:05} {data.weight:05}"
        case Tlsa():
            return 0, f"{data.usage:03} {data.selector:03} {data.matching_type:03} {data.certificate}"
    return data.flags, f"{data.tag} {data.value}"


def is_plain_text(value: str) -> bool:
    """Tell whether a TXT value is printable ASCII, which every back end stores unchanged."""
    return value.isascii() and value.isprintable()


def data_fault(data: RecordData) -> str | None:
    """Say what is not normalised about data; None when nothing is."""
    match data:
        case Address(ip=ip):
            canonical = str(ipaddress.ip_address(ip))
            return None if canonical == ip and "%" not in ip else f"{ip!r} is not in canonical form"
        case Alias(target=target):
            return None if is_normalised(target) else f"target {target!r} is not a lower-case name without final dot"
        case MailExchanger(preference=preference, exchange=exchange):
            return _number(preference=preference) or (None if data == NULL_MX else _host("exchange", exchange))
        case Text(value=value):
            if not is_plain_text(value):
                return "a TXT value must be printable ASCII"
            fits = len(value) <= MAX_TEXT_BYTES
            return None if fits else f"a TXT value of {len(value)} bytes is over {MAX_TEXT_BYTES}"
        case NameServer(host=host):
            return _host("host", host)
        case Srv(target=target):
            fault = _number(priority=data.priority, weight=data.weight, port=data.port)
            return fault or (None if target == NOT_OFFERED else _host("target", target))
        case Tlsa():
            return _tlsa_fault(data)
    return _caa_fault(data)


def _tlsa_fault(data: Tlsa) -> str | None:
    numbers = {"usage": data.usage, "selector": data.selector, "matching_type": data.matching_type}
    for name, number in numbers.items():
        if not 0 <= number <= 255:
            return f"{name} {number} is outside 0 to 255"
    return None if _HEX.fullmatch(data.certificate) else "certificate must be bytes in small hexadecimal digits"


def _caa_fault(data: Caa) -> str | None:
    if data.flags not in {0, CAA_CRITICAL}:
        return f"flags {data.flags} are neither 0 nor {CAA_CRITICAL}"
    if not _TAG.fullmatch(data.tag):
        return f"tag {data.tag!r} is not small letters and digits"
    fits = is_plain_text(data.value) and len(data.value) <= MAX_CAA_BYTES
    return None if fits else f"a CAA value must be printable ASCII of at most {MAX_CAA_BYTES} bytes"


def _number(**numbers: int) -> str | None:
    for name, number in numbers.items():
        if not 0 <= number <= MAX_NUMBER:
            return f"{name} {number} is outside 0 to {MAX_NUMBER}"
    return None


def _host(field: str, name: str) -> str | None:
    if is_normalised(name, service=False):
        return None
    return f"{field} {name!r} is not a lower-case host name without final dot"
