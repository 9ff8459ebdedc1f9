"""Data in presentation form: as zone files, name servers and people's consoles have it (RFC 1035 §5)."""

import ipaddress
import re

from mailstack.dns.names import normalise_name
from mailstack.dns.rdata import (
    NOT_OFFERED,
    Address,
    Alias,
    Caa,
    MailExchanger,
    NameServer,
    RecordData,
    Srv,
    Text,
    Tlsa,
)

__all__ = ["data_text", "decode_text", "quoted", "read_data"]

STRING_BYTES = 255  # one character-string of a TXT record (RFC 1035 §3.3)

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_STRINGS = re.compile(r'\s*"(?:[^"\\]|\\.)*"(?:\s*"(?:[^"\\]|\\.)*")*\s*', re.DOTALL)
_ESCAPE = re.compile(r"\\([0-9]{3}|.)", re.DOTALL)


def quoted(text: str) -> str:
    r"""Return TXT data in presentation form: strings of at most 255 bytes, ``"`` and ``\`` escaped, one blank between.

    The strings are joined without anything between them by whoever reads the record, so a value may be cut anywhere.
    """
    chunks = [text[start : start + STRING_BYTES] for start in range(0, len(text), STRING_BYTES)] or [""]
    return " ".join('"{}"'.format(chunk.replace("\\", r"\\").replace('"', r"\"")) for chunk in chunks)


def decode_text(content: str) -> str:
    r"""Return the value of TXT content for comparison: quoted strings joined and unescaped, anything else as it is.

    Content written by hand in the dashboard may be stored without quotes. ``\DDD`` is a byte in decimal.
    """
    if not _STRINGS.fullmatch(content):
        return content
    return "".join(_ESCAPE.sub(_unescape, match[1]) for match in _STRING.finditer(content))


def data_text(data: RecordData) -> str:
    """Return data in presentation form, names with their final dot."""
    match data:
        case Address(ip=ip):
            return ip
        case Alias(target=name) | NameServer(host=name):
            return f"{name}."
        case MailExchanger(preference=preference, exchange=exchange):
            return f"{preference} {_absolute(exchange)}"
        case Srv(target=target):
            return f"{data.priority} {data.weight} {data.port} {_absolute(target)}"
        case Tlsa():
            return f"{data.usage} {data.selector} {data.matching_type} {data.certificate}"
        case Caa():
            return f"{data.flags} {data.tag} {quoted(data.value)}"
    return quoted(data.value)


def read_data(type: str, text: str) -> RecordData:  # noqa: A002 - DNS term
    """Return the data that stands in presentation form, normalised like ours; names may lack the final dot.

    Raises ``ValueError`` for a type that this package does not declare and for text that is not of its type, and
    ``NameRuleError``, which is one, for a name that is none.
    """
    if type == "TXT":
        return Text(value=decode_text(text))
    if type in {"A", "AAAA"}:
        address = ipaddress.ip_address(text.strip())
        if address.version != (4 if type == "A" else 6):
            raise ValueError(f"{address} is no address of a record of type {type}")
        return Address(ip=str(address))
    if type == "CNAME":
        return Alias(target=normalise_name(text.strip(), service=True))
    if type == "NS":
        return NameServer(host=normalise_name(text.strip()))
    return _of_fields(type, text.split(maxsplit=2 if type == "CAA" else 3))


def _of_fields(type_: str, fields: list[str]) -> RecordData:
    match type_, fields:
        case "MX", [preference, exchange]:
            return MailExchanger(preference=_whole(preference), exchange=_host(exchange))
        case "SRV", [priority, weight, port, target]:
            return Srv(priority=_whole(priority), weight=_whole(weight), port=_whole(port), target=_host(target))
        case "TLSA", [usage, selector, matching, certificate]:
            # Long data may be broken by blanks (RFC 6698 §2.2).
            digits = "".join(certificate.split()).lower()
            return Tlsa(
                usage=_whole(usage), selector=_whole(selector), matching_type=_whole(matching), certificate=digits
            )
        case "CAA", [flags, tag, value]:
            return Caa(flags=_whole(flags), tag=tag.lower(), value=decode_text(value))
    raise ValueError(f"{' '.join(fields)!r} is not the data of a record of type {type_}")


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def _host(name: str) -> str:
    return NOT_OFFERED if name == NOT_OFFERED else normalise_name(name)


def _absolute(name: str) -> str:
    return name if name == NOT_OFFERED else f"{name}."


def _unescape(match: re.Match[str]) -> str:
    escaped = match[1]
    return chr(int(escaped)) if len(escaped) == 3 and int(escaped) < 256 else escaped
