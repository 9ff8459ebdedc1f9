"""Postfix's log lines as data: the one parser, for counts on a host, metrics and the container's log.

Shapes: smtp(8), smtpd(8), qmgr(8); the lines in the tests are of Postfix 3.5 to 3.10. A role and the container image
carry this module, so it keeps to Python 3.6 and the standard library.
"""

import re
from typing import NamedTuple, Optional, Tuple

__all__ = ["PROBE_ADDRESS", "QUOTA_MARK", "Delivery", "Line", "TlsSession", "delivery", "parse", "tls_session"]

# Stands in the log and in `postqueue -p` beside a 5xx reply that is treated as temporary.
QUOTA_MARK = "(limit of the upstream: mailstack tries again)"
# Our own checks come from this address: what Postfix says of it is no mail's.
PROBE_ADDRESS = "127.0.0.8"

LINE = re.compile(r"\w{3} [ \d]\d \d\d:\d\d:\d\d \S+ (?P<service>[^\s\[]+)\[(?P<pid>\d+)\]: (?P<text>.*)\Z")
LEVEL = re.compile(r"(?:[0-9A-Za-z]{10,}: )?(warning|error|fatal|panic): ")  # the id with enable_long_queue_ids
# A quoted local part may hold anything, also what looks like the rest of a line.
ADDRESS = r'<(?:"(?:[^"\\]|\\.)*"|[^<>"])*>'
DELIVERY = re.compile(
    r"(?P<id>\w+): to=" + ADDRESS + r", (?:orig_to=" + ADDRESS + r", )?relay=(?P<relay>\S+), "
    r"(?:conn_use=(?P<use>\d+), )?delay=(?P<delay>[\d.]+), delays=(?P<delays>[\d.]+(?:/[\d.]+){3}), "
    r"dsn=(?P<dsn>\d\.\d+\.\d+), status=(?P<status>\w+) \((?P<reason>.*)"
)
# Mail that only asks whether it would be taken (address verification) is none.
ASKED = ("deliverable", "undeliverable")
DELIVERING = ("smtp", "error", "local", "lmtp", "pipe", "virtual", "discard")
TLS = re.compile(
    r"(?P<trust>Verified|Trusted|Untrusted|Anonymous) TLS connection (?P<what>established|reused) (?P<side>to|from) "
    r"(?P<peer>.+): (?P<protocol>\S+)(?: with cipher (?P<cipher>\S+) \((?P<secret>\d+)/(?P<all>\d+) bits\))?"
)


class Line(NamedTuple):
    """A line of one of Postfix's programs. ``level`` is warning, error, fatal, panic, or info for all others."""

    service: str
    pid: int
    level: str
    text: str

    @property
    def program(self) -> str:
        """Return the program's name: ``smtpd`` of service ``postfix/submission/smtpd``."""
        return self.service.rpartition("/")[2]


class Delivery(NamedTuple):
    """What became of one recipient in one try.

    ``status`` is sent, deferred or bounced; ``dsn`` a code of RFC 3463; ``delay`` seconds since the message came in,
    ``stages`` its four parts (before the queue manager, in it, connecting, sending); ``connection_use`` the how
    manieth use of the connection this was.
    """

    program: str
    queue_id: str
    relay: str
    connection_use: int
    delay: float
    stages: Tuple[float, ...]
    dsn: str
    status: str
    reason: str


class TlsSession(NamedTuple):
    """A TLS session with the upstream or (``incoming``) a client; ``reused`` for one that was there already."""

    trust: str
    reused: bool
    incoming: bool
    peer: str
    protocol: str
    cipher: str
    secret_bits: str
    algorithm_bits: str


def parse(line: str) -> Optional[Line]:
    """Return a line's parts, None for one that is not in the form of syslog."""
    found = LINE.match(line.rstrip("\n"))
    if found is None:
        return None
    level = LEVEL.match(found.group("text"))
    return Line(
        found.group("service"), int(found.group("pid")), level.group(1) if level else "info", found.group("text")
    )


def delivery(line: Line) -> Optional[Delivery]:
    """Return the delivery a line tells of, None for any other line."""
    found = DELIVERY.match(line.text) if line.program in DELIVERING else None
    if found is None or found["status"] in ASKED:
        return None
    return Delivery(
        program=line.program,
        queue_id=found["id"],
        relay=found["relay"],
        connection_use=int(found["use"] or 1),
        delay=float(found["delay"]),
        stages=tuple(float(part) for part in found["delays"].split("/")),
        dsn=found["dsn"],
        status=found["status"],
        reason=found["reason"],
    )


def tls_session(line: Line) -> Optional[TlsSession]:
    """Return the session that smtp or smtpd tells of. tlsproxy tells of the same ones: those lines do not count."""
    found = TLS.match(line.text) if line.program in ("smtp", "smtpd") else None
    if found is None:
        return None
    return TlsSession(
        trust=found["trust"],
        reused=found["what"] == "reused",
        incoming=found["side"] == "from",
        peer=found["peer"],
        protocol=found["protocol"],
        cipher=found["cipher"] or "",
        secret_bits=found["secret"] or "",
        algorithm_bits=found["all"] or "",
    )
