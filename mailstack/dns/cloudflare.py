"""Records as Cloudflare's API keeps them, so that what it stores equals what was sent.

Names are always whole: for relative ones the API answers another name than it got. TXT content is quoted strings of
at most 255 bytes: unquoted or longer text comes back changed and would differ at every refresh.
"""

import hashlib
import ipaddress
import re
from dataclasses import dataclass

from mailstack.dns.names import normalise_name
from mailstack.dns.records import Address, Alias, MailExchanger, Record, RecordData, RecordType, Text
from mailstack.dns.zone import quoted

__all__ = ["CloudflareInput", "decode_content", "decode_text", "resource_name", "to_cloudflare"]

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_STRINGS = re.compile(r'\s*"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*\s*', re.DOTALL)
_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)
_VERSION_TAG = re.compile(r"v=([A-Za-z]+)[0-9]*(?:[ ;]|$)")
_TAG_CHARACTERS = 40  # of a free text's first word; the digest behind it tells two of them apart


@dataclass(frozen=True, kw_only=True)
class CloudflareInput:
    """The inputs of a Cloudflare DNS record. ``priority`` belongs to MX only. Mail records are never proxied."""

    name: str
    type: RecordType
    content: str
    ttl: int
    priority: int | None = None
    proxied: bool = False


def to_cloudflare(record: Record) -> CloudflareInput:
    """Return the inputs for a record."""
    priority: int | None = None
    match record.data:
        case Address(ip=ip):
            content = ip
        case Alias(target=target):
            content = target
        case MailExchanger(preference=preference, exchange=exchange):
            content, priority = exchange, preference
        case Text(value=value):
            content = quoted(value)
    return CloudflareInput(name=record.name, type=record.type, content=content, ttl=record.ttl, priority=priority)


def decode_text(content: str) -> str:
    r"""Return the value of TXT content for comparison: quoted strings joined and unescaped, anything else as it is.

    Content written by hand in the dashboard may be stored without quotes. ``\DDD`` is a byte in decimal.
    """
    if not _STRINGS.fullmatch(content):
        return content
    return "".join(_ESCAPE.sub(_unescape, match[1]) for match in _STRING.finditer(content))


def decode_content(type: str, content: str, priority: int | None = None) -> RecordData | None:  # noqa: A002 - DNS term
    """Return the data of a record the API lists, normalised like ours, so that equal means the same.

    None for a type this package does not declare, and for content that is not of its type.
    """
    try:
        if type in {"A", "AAAA"}:
            return Address(ip=str(ipaddress.ip_address(content)))
        if type == "CNAME":
            return Alias(target=normalise_name(content, service=True))
        if type == "MX" and priority is not None:
            exchange = "." if content in {"", "."} else normalise_name(content)
            return MailExchanger(preference=priority, exchange=exchange)
    except ValueError:
        return None
    return Text(value=decode_text(content)) if type == "TXT" else None


def resource_name(record: Record) -> str:
    """Return the record's logical name in Pulumi: name, type, and what tells records of one name and type apart.

    It is unique in a record set and leaves out what may change in place: a longer SPF record, a new DKIM or DMARC
    text or another MX preference is an update. An address, an exchanger and a free text have nothing but their value
    to be told apart by, so a new one is a new record beside the old, which is then removed.
    """
    match record.data:
        case Address(ip=ip):
            part = ip.replace(":", "-")  # "::" separates the parts of a Pulumi URN
        case Alias():
            return f"{record.name}-cname"  # there can be only one
        case MailExchanger(exchange=exchange):
            part = "null" if exchange == "." else exchange
        case Text(value=value):
            part = _text_part(value)
    return f"{record.name}-{record.type.lower()}-{part}"


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped)) if len(escaped) == 3 and int(escaped) < 256 else escaped


def _text_part(value: str) -> str:
    version = _VERSION_TAG.match(value)
    if version is not None:
        return version[1].lower()
    word = re.split(r"[ =;:]", value, maxsplit=1)[0].lower()
    readable = re.sub(r"[^a-z0-9-]+", "-", word)[:_TAG_CHARACTERS].strip("-") or "text"
    return f"{readable}-{hashlib.sha256(value.encode('ascii')).hexdigest()[:8]}"
