"""What Cloudflare makes of a record that is sent to it: checks and normal forms. No I/O, no state."""

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any

from .errors import INVALID_BODY, ApiError, validation_error

__all__ = ["DATA_TYPES", "PROXIABLE_TYPES", "RecordContent", "normalise_record", "wire_bytes"]

PROXIABLE_TYPES = frozenset({"A", "AAAA", "CNAME"})
DATA_TYPES = frozenset({"CAA", "SRV", "TLSA"})
_HOST_TYPES = frozenset({"CNAME", "NS", "PTR"})
_KNOWN_TYPES = PROXIABLE_TYPES | DATA_TYPES | _HOST_TYPES | {"MX", "TXT"}

AUTOMATIC_TTL = 1
MAX_COMMENT_CHARACTERS = 100  # free plan
MAX_RECORD_BYTES = 4096
MAX_TXT_STRING_BYTES = 255  # RFC 1035 section 3.3

_HOST = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_ESCAPE = re.compile(rb"\\(\d{3}|.)", re.DOTALL)
_HEX = re.compile(r"(?:[0-9a-fA-F]{2})+")

_TEXT_TTL = "TTL must be between 60 and 86400 seconds, or 1 for Automatic."
_TEXT_MX_ADDRESS = (
    "Change the content of your MX record to be a hostname (and not an IP address). For more details, refer to "
    "<https://developers.cloudflare.com/dns/manage-dns-records/how-to/email-records/#add-mx-records>."
)
_TEXT_PRIORITY = "Invalid priority, priority must be set and be between 0 and 65535"

Chain = list[tuple[int, str]]


@dataclass(frozen=True, kw_only=True)
class RecordContent:
    """A checked record in Cloudflare's normal form. ``priority`` is set for MX and SRV only."""

    name: str
    type: str
    content: str
    ttl: int
    proxied: bool
    priority: int | None
    data: dict[str, Any] | None
    comment: str | None
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def identity(self) -> tuple[str, str, str, int | None]:
        """Two records that are equal in this are identical for Cloudflare."""
        return self.name, self.type, self.content, self.priority


def normalise_record(body: object, zone: str) -> RecordContent:
    """Check a request body for a record of ``zone`` and bring it into normal form.

    Raises:
        ApiError: with every reason found, in Cloudflare's codes.
    """
    if not isinstance(body, dict) or not isinstance(body.get("name"), str) or not body["name"]:
        raise ApiError(INVALID_BODY)
    kind = str(body.get("type") or "").upper()
    if kind not in _KNOWN_TYPES:
        raise validation_error([(9000, f"DNS record type {kind or 'missing'} is not imitated by the stand-in.")])
    chain: Chain = []
    name = _full_name(body["name"], zone, chain)
    proxied = body.get("proxied") or False
    if proxied and kind not in PROXIABLE_TYPES:
        chain.append((9004, "This kind of record cannot be proxied"))
    ttl = _ttl(body.get("ttl"), chain)
    priority = _priority(body.get("priority"), chain) if kind == "MX" else None
    data: dict[str, Any] | None = None
    if kind in DATA_TYPES:
        data, content = _data(kind, body.get("data"), chain)
        priority = data.get("priority")
    else:
        content = _content(kind, body.get("content"), chain)
    comment = _annotations(body, chain)
    if not chain and wire_bytes(kind, content, data) > MAX_RECORD_BYTES:
        chain.append((9999, f"Record size must not exceed {MAX_RECORD_BYTES} bytes."))
    if chain:
        raise validation_error(chain)
    settings = body.get("settings")
    return RecordContent(
        name=name,
        type=kind,
        content=content,
        ttl=AUTOMATIC_TTL if proxied else ttl,
        proxied=bool(proxied),
        priority=priority,
        data=data,
        comment=comment,
        settings=dict(settings) if isinstance(settings, dict) else {},
    )


def _full_name(name: str, zone: str, chain: Chain) -> str:
    lowered = name.lower().rstrip(".")
    if lowered == "@":
        return zone
    full = lowered if lowered == zone or lowered.endswith("." + zone) else f"{lowered}.{zone}"
    labels = full.removeprefix("*.")
    if len(full) > 253 or not _HOST.fullmatch(labels):
        chain.append((9000, "DNS name is invalid."))
    return full


def _ttl(value: object, chain: Chain) -> int:
    if value is None:
        return AUTOMATIC_TTL
    if _is_number(value) and (float(str(value)) == AUTOMATIC_TTL or 60 <= float(str(value)) <= 86_400):
        return int(float(str(value)))
    chain.append((9021, _TEXT_TTL))
    return AUTOMATIC_TTL


def _priority(value: object, chain: Chain) -> int | None:
    if value is None:
        chain.append((9100, "priority is a required field."))
        return None
    if _is_number(value) and 0 <= float(str(value)) <= 65_535:
        return int(float(str(value)))
    chain.append((9008, _TEXT_PRIORITY))
    return None


def _is_number(value: object) -> bool:
    """Whether it is a whole number; 10.0 counts, as the Terraform provider sends it so."""
    return isinstance(value, int | float) and not isinstance(value, bool) and float(value).is_integer()


def _annotations(body: dict[str, Any], chain: Chain) -> str | None:
    tags = body.get("tags") or []
    if tags:
        chain.append((9300, f"DNS record has {len(tags)} tags, exceeding the quota of 0."))
    comment = body.get("comment") or None
    if comment is not None and len(str(comment)) > MAX_COMMENT_CHARACTERS:
        chain.append((9999, f"Comment must not exceed {MAX_COMMENT_CHARACTERS} characters."))
    return None if comment is None else str(comment)


def _content(kind: str, value: object, chain: Chain) -> str:
    text = value if isinstance(value, str) else ""
    if kind in {"A", "AAAA"}:
        return _address(kind, text, chain)
    if kind == "TXT":
        if not text:
            chain.append((9207, "Content is required for a TXT record."))
        return _txt_content(text)
    host = text.lower().rstrip(".")
    if kind == "MX":
        if text == ".":  # null MX, RFC 7505
            return "."
        if not _HOST.fullmatch(host) or _looks_like_address(host):
            chain.append((9009, _TEXT_MX_ADDRESS))
        return host
    if not _HOST.fullmatch(host) or (kind != "PTR" and _looks_like_address(host)):
        chain.append((9007, f"Content for {kind} record is invalid."))
    return host


def _address(kind: str, text: str, chain: Chain) -> str:
    try:
        if kind == "A":
            return str(ipaddress.IPv4Address(text))
        return str(ipaddress.IPv6Address(text))
    except ValueError:
        code, family = (9005, "IPv4") if kind == "A" else (9006, "IPv6")
        chain.append((code, f"Content for {kind} record must be a valid {family} address."))
        return text


def _looks_like_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text.strip("[]"))
    except ValueError:
        return False
    return True


# -- TXT --------------------------------------------------------------------------------------------------


def _txt_strings(content: str) -> list[bytes] | None:
    """The strings of a quoted content (RFC 1035 section 5.1); ``None`` when it is not quoted throughout."""
    strings: list[bytes] = []
    rest = content.strip()
    while rest:
        match = _QUOTED.match(rest)
        if match is None:
            return None
        strings.append(_ESCAPE.sub(_unescape, match.group(1).encode()))
        rest = rest[match.end() :].lstrip()
    return strings or None


def _unescape(match: re.Match[bytes]) -> bytes:
    found = match.group(1)
    return bytes([int(found) % 256]) if len(found) == 3 else found


def _quoted(string: bytes) -> str:
    text = string.replace(b"\\", b"\\\\").replace(b'"', b'\\"')
    return '"' + text.decode("utf-8", "replace") + '"'


def _txt_content(content: str) -> str:
    strings = _txt_strings(content)
    if strings is None or all(len(string) <= MAX_TXT_STRING_BYTES for string in strings):
        return content
    pieces = [
        string[start : start + MAX_TXT_STRING_BYTES]
        for string in strings
        for start in range(0, max(len(string), 1), MAX_TXT_STRING_BYTES)
    ]
    return " ".join(_quoted(piece) for piece in pieces)


# -- types with data --------------------------------------------------------------------------------------

_DATA_FIELDS = {
    "CAA": ("flags", "tag", "value"),
    "SRV": ("priority", "weight", "port", "target"),
    "TLSA": ("usage", "selector", "matching_type", "certificate"),
}
_NUMBER_LIMITS = {
    "flags": 255,
    "usage": 255,
    "selector": 255,
    "matching_type": 255,
    "priority": 65_535,
    "weight": 65_535,
    "port": 65_535,
}


def _data(kind: str, value: object, chain: Chain) -> tuple[dict[str, Any], str]:
    given = value if isinstance(value, dict) else {}
    data: dict[str, Any] = {}
    before = len(chain)
    for key in _DATA_FIELDS[kind]:
        item = given.get(key)
        if item is None or item == "":
            chain.append((9101, f"{key} is a required data field."))
        elif key in _NUMBER_LIMITS:
            data[key] = _data_number(key, item, chain)
        else:
            data[key] = str(item)
    if len(chain) > before:
        return data, ""
    return data, _computed(kind, data, chain)


def _data_number(key: str, item: object, chain: Chain) -> int:
    # The provider sends CAA flags as a number or as text.
    number = int(item) if isinstance(item, str) and item.isascii() and item.isdigit() else item
    if _is_number(number) and 0 <= float(str(number)) <= _NUMBER_LIMITS[key]:
        return int(float(str(number)))
    chain.append((9101, f"{key} must be a number between 0 and {_NUMBER_LIMITS[key]}."))
    return 0


def _computed(kind: str, data: dict[str, Any], chain: Chain) -> str:
    if kind == "CAA":
        data["tag"] = data["tag"].lower()
        if not re.fullmatch(r"[a-z0-9]+", data["tag"]):
            chain.append((9101, "tag is invalid."))
        return f"{data['flags']} {data['tag']} {_quoted(data['value'].encode())}"
    if kind == "TLSA":
        if not _HEX.fullmatch(data["certificate"]):
            chain.append((9101, "certificate must be hexadecimal."))
        return f"{data['usage']} {data['selector']} {data['matching_type']} {data['certificate']}"
    data["target"] = data["target"].lower().rstrip(".") or "."
    if data["target"] != "." and not _HOST.fullmatch(data["target"]):
        chain.append((9101, "target must be a hostname."))
    return f"{data['weight']} {data['port']} {data['target']}"


def wire_bytes(kind: str, content: str, data: dict[str, Any] | None) -> int:
    """The length of the record's data on the wire (RFC 1035, 6698, 8659), names not compressed."""
    if kind == "TXT":
        strings = _txt_strings(content) or [content.encode()]
        return sum(len(string) + max(-(-len(string) // MAX_TXT_STRING_BYTES), 1) for string in strings)
    if data is not None and kind == "TLSA":
        return 3 + len(data["certificate"]) // 2
    return len(content.encode()) + 2
