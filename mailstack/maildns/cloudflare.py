"""Records as Cloudflare's API wants them, so that what it stores equals what we sent.

Names are always whole: with relative ones the API answers another name than it got. TXT content is quoted strings of
255 bytes at most: unquoted or longer text comes back changed and would differ at every refresh.
"""

import re
from dataclasses import dataclass

from mailstack.maildns.records import Address, MailExchanger, Record, quoted

__all__ = ["CloudflareInput", "decode_text", "resource_name", "to_cloudflare"]

STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, kw_only=True)
class CloudflareInput:
    """The inputs of a Cloudflare record. ``priority`` is a whole number and belongs to MX only."""

    name: str
    type: str
    content: str
    ttl: int
    priority: int | None = None


def to_cloudflare(record: Record) -> CloudflareInput:
    """Return the inputs for ``record``."""
    data, priority = record.data, None
    if isinstance(data, Address):
        content = data.ip
    elif isinstance(data, MailExchanger):
        content, priority = data.exchange, data.preference
    else:
        content = quoted(data.value)
    return CloudflareInput(name=record.name, type=record.type, content=content, ttl=record.ttl, priority=priority)


def decode_text(content: str) -> str:
    """Return the joined value of TXT content, quoted or raw, for comparison with what is declared."""
    parts = STRING.findall(content)
    if not parts or STRING.sub("", content).strip():
        return content
    return re.sub(r"\\(.)", r"\1", "".join(parts))


def resource_name(record: Record) -> str:
    """Return the record's name in Pulumi: name and type, and what tells records of one name and type apart.

    It does not hold what may change in place: a longer SPF record or another MX preference is an update.
    """
    base = f"{record.name}-{record.type.lower()}"
    return f"{base}-{record.data.discriminator}"
