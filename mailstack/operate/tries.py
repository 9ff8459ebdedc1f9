"""What the last lines of a relay's log say: whether mail gets out, or a queue is empty because all of it bounces."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mailstack.relay_rule.reasons import reply_in

__all__ = ["Tries", "read_tries", "time_of"]

TRY = re.compile(r": (?P<id>\w+): to=<.*?, dsn=(?P<dsn>\d\.\d+\.\d+), status=(?P<status>\w+) \((?P<why>.*)\)")
# A bounce on its own way back proves nothing of other mail.
NULL_SENDER = re.compile(r": (?P<id>\w+): from=<>,")
# RFC 3463: the address, or the mailbox, is at fault; nobody's mail but that recipient's.
RECIPIENTS_OWN = ("5.1.", "5.2.")
LONGEST_REASON = 100


@dataclass(frozen=True, kw_only=True)
class Tries:
    """The newest tries. ``delivered``: when one last went out; ``deferred``: the last one was put off.

    ``bounced`` is how many have bounced since mail last got out, ``since`` when, for ``reason`` (the newest one's).
    """

    delivered: str | None = None
    deferred: bool = False
    bounced: int = 0
    since: str | None = None
    reason: str = ""


def read_tries(lines: Sequence[str]) -> Tries:
    """Return what ``lines`` of a log say, the oldest first."""
    returns = {found["id"] for line in lines if (found := NULL_SENDER.search(line))}
    tries = [
        (line, found)
        for line in reversed(lines)
        if (found := TRY.search(line)) and found["id"] not in returns and not found["dsn"].startswith(RECIPIENTS_OWN)
    ]
    bounced: list[tuple[str, str]] = []
    for line, found in tries:
        if found["status"] != "bounced":
            break
        bounced.append((time_of(line), reply_in(found["why"]) or found["why"]))
    return Tries(
        delivered=next((time_of(line) for line, found in tries if found["status"] == "sent"), None),
        deferred=bool(tries) and tries[0][1]["status"] == "deferred",
        bounced=len(bounced),
        since=bounced[-1][0] if bounced else None,
        reason=bounced[0][1][:LONGEST_REASON] if bounced else "",
    )


def time_of(line: str) -> str:
    """Return the time at the start of a line of a log: one word of ISO 8601, else syslog's three."""
    words = line.split()
    return words[0] if words and words[0][:1].isdigit() else " ".join(words[:3])
