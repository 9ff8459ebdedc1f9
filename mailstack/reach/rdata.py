"""From a record as dnspython reads it to one that can be compared with declared ones."""

import dns.rdata
import dns.rdatatype

from mailstack.dns.cloudflare import decode_content
from mailstack.dns.existing import Existing

__all__ = ["as_existing"]


def as_existing(zone: str, name: str, rdata: dns.rdata.Rdata, ttl: int) -> Existing:
    """Return the record of ``name``, a lower-case name without final dot."""
    kind, text = dns.rdatatype.to_text(rdata.rdtype), rdata.to_text()
    return Existing(zone=zone, name=name, type=kind, content=text, data=decode_content(kind, text), ttl=ttl)
