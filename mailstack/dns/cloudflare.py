"""Records as Cloudflare's API keeps them, so that what it stores equals what was sent.

Names are always whole: for relative ones the API answers another name than it got. TXT content is quoted strings of
at most 255 bytes: unquoted or longer text comes back changed and would differ at every refresh.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailstack.dns.names import WILDCARD
from mailstack.dns.presentation import quoted, read_data
from mailstack.dns.rdata import (
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
)
from mailstack.dns.records import Record

__all__ = ["TOKEN_RIGHTS", "CloudflareInput", "decode_content", "decode_shown", "resource_name", "to_cloudflare"]

# What an API token has to have for the zones. Without the first they are not in its list, by which IDs are found.
TOKEN_RIGHTS = "Zone Read, DNS Read and DNS Write"  # noqa: S105 - rights, not a token
_VERSION_TAG = re.compile(r"v=([A-Za-z]+)[0-9]*(?:[ ;]|$)")
# What a name has one text of. Of others there may be several.
_SINGLE = frozenset({"spf", "dmarc", "dkim", "stsv", "tlsrptv", "bimi"})
_DIGEST = 8  # characters that tell two values apart
_TAG_CHARACTERS = 40  # of a free text's first word; the digest behind it tells two of them apart


@dataclass(frozen=True, kw_only=True)
class CloudflareInput:
    """The inputs of a Cloudflare DNS record. Mail records are never proxied.

    CAA, SRV and TLSA have ``data``, of which Cloudflare computes the content; the others have ``content``. The keys of
    ``data`` are those of the API, its numbers whole. ``priority`` belongs to MX, and to SRV beside the one in ``data``:
    the API answers it in both places.
    """

    name: str
    type: RecordType
    content: str | None = None
    data: Mapping[str, str | int] | None = field(default=None)
    ttl: int
    priority: int | None = None
    proxied: bool = False


def to_cloudflare(record: Record) -> CloudflareInput:
    """Return the inputs for a record."""
    content: str | None = None
    data: dict[str, str | int] | None = None
    priority: int | None = None
    match record.data:
        case Address(ip=value) | Alias(target=value) | NameServer(host=value):
            content = value
        case MailExchanger(preference=preference, exchange=exchange):
            content, priority = exchange, preference
        case Text(value=value):
            content = quoted(value)
        case Srv(priority=priority, weight=weight, port=port, target=target):
            data = {"priority": priority, "weight": weight, "port": port, "target": target}
        case Tlsa(usage=usage, selector=selector, matching_type=matching, certificate=digits):
            data = {"usage": usage, "selector": selector, "matching_type": matching, "certificate": digits}
        case Caa(flags=flags, tag=tag, value=value):
            data = {"flags": flags, "tag": tag, "value": value}
    return CloudflareInput(
        name=record.name, type=record.type, content=content, data=data, ttl=record.ttl, priority=priority
    )


def decode_content(type: str, content: str, priority: int | None = None) -> RecordData | None:  # noqa: A002 - DNS term
    """Return the data behind a record's content, normalised like ours, so that equal means the same.

    ``priority`` where it is kept beside the content of MX and SRV; else it stands first, as a name server answers.
    None for a type this package does not declare, and for content that is not of its type.
    """
    if type == "MX" and priority is not None:
        content = f"{priority} {content or '.'}"
    if type == "SRV" and priority is not None and len(content.split()) == 3:
        content = f"{priority} {content}"
    try:
        return read_data(type, content)
    except ValueError:
        return None


def decode_shown(shown: Mapping[str, object]) -> RecordData | None:
    """Return the data of a record that the API shows, like ``decode_content``; its ``data`` counts before its content.

    The engine's state has the same under the same names, but for those of ``data``, which are in camel case there.
    """
    type_, content, priority = str(shown["type"]), str(shown.get("content") or ""), shown.get("priority")
    data = shown.get("data")
    if isinstance(data, Mapping):
        # Numbers arrive as 0, 0.0 or "0", by where they come from.
        fields = {key: _as_text(value) for key, value in data.items()}
        fields.setdefault("matching_type", fields.get("matchingType", ""))
        try:
            match type_:
                case "SRV":
                    return read_data("SRV", "{priority} {weight} {port} {target}".format(**fields))
                case "TLSA":
                    return read_data("TLSA", "{usage} {selector} {matching_type} {certificate}".format(**fields))
                case "CAA":
                    return read_data("CAA", f"{fields['flags']} {fields['tag']} {quoted(fields['value'])}")
        except (KeyError, ValueError):
            return None
    number = int(priority) if isinstance(priority, int | float) else None
    return decode_content(type_, content, number)


def _as_text(value: object) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


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
            return f"{_owner(record)}-cname"  # there can be only one
        case MailExchanger(exchange=exchange):
            part = "null" if exchange == "." else exchange
        case Text(value=value):
            part = _text_part(value)
        case NameServer(host=host):
            part = host
        case Srv(target=target, port=port):
            part = f"{target.strip('.') or 'none'}-{port}"
        case Tlsa(usage=usage, selector=selector, matching_type=matching, certificate=digits):
            part = f"{usage}-{selector}-{matching}-{_digest(digits)}"
        case Caa(tag=tag, value=value):
            part = _caa_part(tag, value)
    return f"{_owner(record)}-{record.type.lower()}-{part}"


def _owner(record: Record) -> str:
    # No label ends with a hyphen, so that no other name reads like this.
    return f"any-.{record.name.removeprefix(WILDCARD)}" if record.name.startswith(WILDCARD) else record.name


def _caa_part(tag: str, value: str) -> str:
    authority, _, parameters = value.partition(";")
    part = f"{tag}-{_readable(authority) or 'nobody'}"
    return f"{part}-{_digest(value)}" if parameters.strip() or not tag.startswith("issue") else part


def _text_part(value: str) -> str:
    version = _VERSION_TAG.match(value)
    if version is not None and version[1].lower() in _SINGLE:
        return version[1].lower()
    return f"{_readable(re.split(r'[ =;:]', value, maxsplit=1)[0]) or 'text'}-{_digest(value)}"


def _readable(text: str) -> str:
    return re.sub(r"[^a-z0-9-]+", "-", text.lower())[:_TAG_CHARACTERS].strip("-")


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode("ascii")).hexdigest()[:_DIGEST]
