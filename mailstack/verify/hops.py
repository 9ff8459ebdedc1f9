"""Reads Received headers: who gave a message to whom, when, and whether TLS was between them.

The protocol names are RFC 3848's; what Postfix (``using TLSv1.3 with cipher …``) and Gmail (``version=TLS1_3
cipher=…``) add in comments is read too. A header is as true as the server that wrote it.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

__all__ = ["Hop", "hops"]

COMMENT = re.compile(r"\([^()]*\)")
# RFC 3848 and RFC 6531: an S after SMTP or LMTP says TLS, an A that the client logged in.
SECURE = re.compile(r"^(?:UTF8)?E?(?:SMTP|LMTP)SA?$")
MAIL = re.compile(r"^(?:UTF8)?E?(?:SMTP|LMTP)S?A?$")
POSTFIX_TLS = re.compile(r"using (TLSv[\d.]+) with cipher ([\w-]+)")
GMAIL_TLS = re.compile(r"version=(\S+) cipher=(\S+)")
# Loopback, link-local, and what RFC 1918, RFC 6598 and RFC 4193 leave to everybody.
INSIDE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)
ADDRESS = re.compile(r"\[(?:IPv6:)?([0-9a-fA-F:.]+)\]")


@dataclass(frozen=True, kw_only=True)
class Hop:
    """One hand-over. ``protocol`` as written, ``tls`` version and cipher where they were written down.

    ``secure`` None: it did not go over a network between machines, or not by mail protocols, so that nothing is to
    be demanded. ``seconds`` since the hop before; None for the first, or where a date cannot be read.
    """

    sender: str
    receiver: str
    protocol: str
    tls: str
    secure: bool | None
    at: datetime | None
    seconds: float | None = None

    def __str__(self) -> str:
        """Say it in one line."""
        how = f"{self.protocol or 'no protocol named'}{f', {self.tls}' if self.tls else ''}"
        late = "" if self.seconds is None else f", after {self.seconds:.0f} s"
        return f"{self.sender or 'the same host'} to {self.receiver or '?'}: {how}{late}"


def hops(received: Sequence[str]) -> tuple[Hop, ...]:
    """Read the headers as they stand in a message, newest first; return the hops in the order of time."""
    return tuple(_timed([_hop(header) for header in reversed(received)]))


def _hop(header: str) -> Hop:
    text = " ".join(header.split())
    route, _, date = text.rpartition(";")
    plain = route
    while plain != (shorter := COMMENT.sub(" ", plain)):
        plain = shorter
    sender, receiver, protocol = (_word(name, plain) for name in ("from", "by", "with"))
    tls = POSTFIX_TLS.search(route) or GMAIL_TLS.search(route)
    said_by_comments = tls is not None
    protocol = protocol.upper()
    secure: bool | None = said_by_comments or bool(SECURE.match(protocol))
    if not secure and (not sender or not MAIL.match(protocol) or _inside(route)):
        secure = None
    return Hop(
        sender=sender,
        receiver=receiver,
        protocol=protocol,
        tls=" ".join(tls.groups()) if tls else "",
        secure=secure,
        at=_date(date),
    )


def _word(name: str, plain: str) -> str:
    found = re.search(rf"(?:^|\s){name}\s+(\S+)", plain)
    return found.group(1) if found else ""


def _inside(route: str) -> bool:
    """Tell whether the sender is this machine, or behind the same router."""
    before, _, _ = route.partition(" by ")
    for text in ADDRESS.findall(before):
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            continue
        return any(address in network for network in INSIDE)
    return "localhost" in before


def _date(text: str) -> datetime | None:
    try:
        return parsedate_to_datetime(text.strip())
    except (ValueError, TypeError):
        return None


def _timed(found: Sequence[Hop]) -> Iterator[Hop]:
    before: datetime | None = None
    for hop in found:
        comparable = before is not None and hop.at is not None and (before.tzinfo is None) == (hop.at.tzinfo is None)
        seconds = (hop.at - before).total_seconds() if comparable and hop.at and before else None
        yield Hop(**{**vars(hop), "seconds": seconds})
        before = hop.at or before
