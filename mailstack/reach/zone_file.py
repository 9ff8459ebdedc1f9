"""Reads a zone that somebody exported, in BIND format (RFC 1035 §5), with dnspython."""

from pathlib import Path

import dns.exception
import dns.rdatatype
import dns.zone

from mailstack.dns.existing import Existing
from mailstack.reach.rdata import as_existing

__all__ = ["ZoneFileError", "read_zone_file"]


class ZoneFileError(RuntimeError):
    """The file is no zone; the text says why and where."""


def read_zone_file(zone: str, path: Path) -> list[Existing]:
    """Return the records of a zone but its SOA and the NS at its top, which its host makes. Raises ZoneFileError."""
    try:
        held = dns.zone.from_file(str(path), origin=zone, relativize=False, check_origin=False)
    except (dns.exception.DNSException, OSError, ValueError) as error:
        raise ZoneFileError(f"{path} is no zone file of {zone}: {error}") from None
    found = []
    for owner, ttl, rdata in held.iterate_rdatas():
        name, kind = owner.to_text().rstrip(".").lower(), dns.rdatatype.to_text(rdata.rdtype)
        if kind == "SOA" or (kind == "NS" and name == zone):
            continue
        found.append(as_existing(zone, name, rdata, ttl))
    return found
