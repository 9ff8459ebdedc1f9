"""From a record as dnspython reads it to one that can be compared with declared ones."""

import dns.rdata
import dns.rdatatype

from mailstack.dns.cloudflare import decode_content
from mailstack.dns.existing import Existing

__all__ = ["as_existing"]


def as_existing(zone: str, name: str, rdata: dns.rdata.Rdata, ttl: int) -> Existing:
    """Return the record of ``name``, a lower-case name without final dot."""
    kind, text = dns.rdatatype.to_text(rdata.rdtype), rdata.to_text()
    priority, content = (int(text.split()[0]), text.split()[1]) if kind == "MX" else (None, text)
    data = decode_content(kind, content.rstrip(".") or ".", priority)
    return Existing(zone=zone, name=name, type=kind, content=text, data=data, ttl=ttl)
