"""Zone files (RFC 1035 §5): for our own server, and for people who keep DNS elsewhere."""

from collections.abc import Iterable, Sequence

from mailstack.maildns.names import is_below
from mailstack.maildns.records import Address, MailExchanger, Record, quoted

__all__ = ["rdata_text", "render_records", "render_zone", "zone_of"]

# Seconds: how often secondaries ask, how soon they ask again, how long they serve without an answer, and how long
# "no such name" may be remembered (RFC 1912 §2.2, RFC 2308 §5).
REFRESH, RETRY, EXPIRE, NEGATIVE_TTL = 7200, 3600, 1_209_600, 300


def rdata_text(record: Record) -> str:
    """Return the data in presentation form, names with their final dot."""
    data = record.data
    if isinstance(data, Address):
        return data.ip
    if isinstance(data, MailExchanger):
        exchange = data.exchange if data.exchange == "." else f"{data.exchange}."
        return f"{data.preference} {exchange}"
    return quoted(data.value)


def render_records(records: Iterable[Record]) -> str:
    """Return one line per record with absolute names; any DNS provider that imports BIND files takes it."""
    return "".join(f"{r.name}. {r.ttl} IN {r.type} {rdata_text(r)}\n" for r in records)


def render_zone(
    zone: str, records: Sequence[Record], *, nameservers: Sequence[str], hostmaster: str, ttl: int, serial: int = 0
) -> str:
    """Return a whole zone. ``hostmaster`` is a mail address; the server's role replaces the serial when it loads it."""
    local, _, domain = hostmaster.rpartition("@")
    mailbox = f"{local.replace('.', chr(92) + '.')}.{domain}."
    head = (
        f"$ORIGIN {zone}.\n$TTL {ttl}\n"
        f"{zone}. {ttl} IN SOA {nameservers[0]}. {mailbox} {serial} {REFRESH} {RETRY} {EXPIRE} {NEGATIVE_TTL}\n"
    )
    servers = "".join(f"{zone}. {ttl} IN NS {server}.\n" for server in nameservers)
    return head + servers + render_records(records)


def zone_of(name: str, zones: Iterable[str]) -> str | None:
    """Return the zone that holds ``name``: the longest one it is in, or None."""
    return max((zone for zone in zones if is_below(name, zone)), key=len, default=None)
