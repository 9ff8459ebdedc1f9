"""Zone files (RFC 1035 §5): for an authoritative server of our own, and for people with DNS elsewhere."""

import contextlib
import re
from collections.abc import Container, Iterable, Sequence
from datetime import date

from mailstack.dns.names import NameRuleError, holder, is_within, normalise_name, read_name
from mailstack.dns.presentation import data_text
from mailstack.dns.problems import Findings, shown
from mailstack.dns.records import AUTOMATIC_TTL, Record, RecordSet

__all__ = ["next_serial", "rdata_text", "render_records", "render_zone", "zone_of"]

AUTOMATIC_TTL_SECONDS = 300  # what Cloudflare serves for "automatic"
SERIAL_SPACE = 2**32

# Seconds: how often secondaries ask, how soon again after a failure, how long they serve without an answer, and how
# long "no such name" is remembered (RFC 1912 §2.2, RFC 2308 §5).
REFRESH, RETRY, EXPIRE, NEGATIVE_TTL = 7200, 3600, 1_209_600, 300

_MAILBOX = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+")


def rdata_text(record: Record) -> str:
    """Return the data of a record in presentation form, names with their final dot."""
    return data_text(record.data)


def render_records(records: Iterable[Record]) -> str:
    """Return one line a record, in the order of the set, with absolute names.

    Any DNS provider that imports BIND files takes it. A TTL of 1 (Cloudflare's automatic) becomes 300 seconds.
    """
    return "".join(
        f"{record.name}. {_seconds(record.ttl)} IN {record.type} {rdata_text(record)}\n"
        for record in RecordSet.of(records)
    )


def render_zone(
    zone: str,
    records: Iterable[Record],
    *,
    nameservers: Sequence[str],
    hostmaster: str,
    serial: int = 0,
    ttl: int = 3600,
) -> str:
    """Return a complete zone: SOA, NS and the records; the same input gives the same bytes.

    ``hostmaster`` is a mail address. ``serial`` 0 is for a loader that sets its own; ``next_serial`` makes one.
    ``ttl`` in seconds holds for SOA and NS. Raises ``DnsRuleError`` for records outside the zone, for a name server
    inside it without an address, and for values that do not fit.
    """
    findings = Findings()
    label = f"{zone} zone"
    apex = read_name(zone, label, findings, service=True)
    servers = [name for server in nameservers if (name := read_name(server, label, findings)) is not None]
    mailbox = _mailbox(hostmaster, label, findings)
    held = RecordSet.of(records)
    if not nameservers:
        findings.error(
            label,
            "zone-nameservers",
            found="no name server",
            expected="at least one, better two on different networks",
            fix="give the names the zone is delegated to",
        )
    if not 0 <= serial < SERIAL_SPACE:
        findings.error(
            label,
            "zone-serial",
            found=f"serial {serial}",
            expected=f"0 to {SERIAL_SPACE - 1}",
            fix="use next_serial()",
        )
    if apex is not None:
        _check_contents(apex, held, servers, label, findings)
    findings.raise_errors()
    seconds = _seconds(ttl)
    lines = [
        f"$ORIGIN {apex}.",
        f"$TTL {seconds}",
        f"{apex}. {seconds} IN SOA {servers[0]}. {mailbox} {serial} {REFRESH} {RETRY} {EXPIRE} {NEGATIVE_TTL}",
        *(f"{apex}. {seconds} IN NS {server}." for server in dict.fromkeys(servers)),
    ]
    return "\n".join(lines) + "\n" + render_records(held)


def next_serial(previous: int | None, today: date) -> int:
    """Return the serial to follow ``previous``: YYYYMMDDnn (RFC 1912 §2.2), always newer by RFC 1982.

    A serial that is already ahead of today, by a hundred changes or by another scheme, is counted on by one. At
    the end of the 32 bits it starts again at 1; 0 is left out, since some servers take it for "none". Raises
    ``ValueError`` for a serial outside 32 bits.
    """
    dated = int(today.strftime("%Y%m%d")) * 100
    if previous is None:
        return dated
    if not 0 <= previous < SERIAL_SPACE:
        raise ValueError(f"serial {previous} is outside 0 to {SERIAL_SPACE - 1} (RFC 1982 §3)")
    # Newer means ahead by less than half of the number space (RFC 1982 §3.2).
    if 0 < (dated - previous) % SERIAL_SPACE < SERIAL_SPACE // 2:
        return dated
    return (previous + 1) % SERIAL_SPACE or 1


def zone_of(name: str, zones: Container[str]) -> str | None:
    """Return the zone that holds a normalised name: the longest one it is in, or None. A set of zones is fastest."""
    return holder(name, zones)


def _seconds(ttl: int) -> int:
    return AUTOMATIC_TTL_SECONDS if ttl == AUTOMATIC_TTL else ttl


def _mailbox(hostmaster: str, label: str, findings: Findings) -> str:
    """Return the SOA form of a mail address: dots of the local part escaped (RFC 1035 §8)."""
    local, _, domain = hostmaster.rpartition("@")
    with contextlib.suppress(NameRuleError):
        name = normalise_name(domain)
        if _MAILBOX.fullmatch(local):
            return f"{local.replace('.', chr(92) + '.')}.{name}."
    findings.error(
        label,
        "zone-hostmaster",
        found=f"{shown(hostmaster)} as hostmaster",
        expected="a plain mail address such as hostmaster@example.com",
        fix="give the address of the person in charge of the zone",
    )
    return ""


def _check_contents(apex: str, records: RecordSet, servers: list[str], label: str, findings: Findings) -> None:
    for record in records:
        if not is_within(record.name, apex):
            findings.error(
                label,
                "zone-scope",
                found=f"{record.name} {record.type}",
                expected=f"only names at or below {apex}",
                fix="select the records with RecordSet.for_zone()",
            )
    for server in servers:
        if is_within(server, apex) and not (records.at(server, "A") or records.at(server, "AAAA")):
            findings.error(
                label,
                "zone-nameserver-address",
                found=f"the name server {server} without an address",
                expected="an A or AAAA record for every name server inside the zone",
                fix="declare it as a host",
            )
