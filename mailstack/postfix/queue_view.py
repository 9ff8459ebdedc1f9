"""The mail queue for an operator: which messages wait, for how long and why, and which of them a choice means.

From ``postqueue -j`` (postqueue(1)), which also reads the queue while Postfix is stopped when root asks. A role carries
this module, so it keeps to Python 3.6 and the standard library.
"""

import json
import re
from typing import Any, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

__all__ = ["AGES", "Choice", "Queued", "choice_of", "chosen", "parse_queue", "shown", "summary"]

# What showq writes for the null sender of a bounce.
NULL_SENDER = "MAILER-DAEMON"
# Upper bound in seconds, name; the last one has no bound.
AGES: Tuple[Tuple[float, str], ...] = (
    (300, "under 5 min"),
    (3600, "5 min to 1 h"),
    (6 * 3600, "1 h to 6 h"),
    (24 * 3600, "6 h to 1 day"),
    (float("inf"), "over 1 day"),
)
NO_REASON = "not tried yet"
LONGEST_REASON = 160
# What differs between two messages that wait for the same thing: addresses, numbers of connections, queue ids.
BRACKETS = re.compile(r"\[[0-9A-Fa-f.:]+\]")
MAIL_ADDRESS = re.compile(r"<[^<>\s]*>")
IN_REPLY = re.compile(r" \(in reply to .*\)\Z")
TRANSACTION = re.compile(r" [0-9A-Za-z.-]{16,}( - gsmtp)?\Z")


class Queued(NamedTuple):
    """A message. ``arrival`` in seconds since 1970, ``recipients`` those it still has to reach, each with the reason
    why it has not ("" for none yet). ``sender`` "" is that of a bounce."""

    id: str
    queue: str
    sender: str
    size: int
    arrival: float
    recipients: Tuple[Tuple[str, str], ...]


class Choice(NamedTuple):
    """Which messages are meant: those that fit every part that is given. ``everything`` says that no part need be.

    An address may be ``@example.com`` for a whole domain; ``older_than`` is in seconds. ``before``, in seconds since
    1970: not what has come since then.
    """

    ids: Tuple[str, ...] = ()
    senders: Tuple[str, ...] = ()
    recipients: Tuple[str, ...] = ()
    older_than: Optional[float] = None
    everything: bool = False
    before: Optional[float] = None

    @property
    def empty(self) -> bool:
        """Tell whether nobody is meant."""
        given = self.ids or self.senders or self.recipients or self.older_than is not None
        return not (given or self.everything)


def choice_of(document: Mapping[str, Any]) -> Choice:
    """Return the choice that a role's settings say. Raises ValueError where they say none."""
    older, before = document.get("older_than"), document.get("before")
    choice = Choice(
        ids=tuple(document.get("ids") or ()),
        senders=tuple(document.get("senders") or ()),
        recipients=tuple(document.get("recipients") or ()),
        older_than=None if older is None else float(older),
        everything=bool(document.get("everything")),
        before=None if before is None else float(before),
    )
    if choice.empty:
        raise ValueError("no message is chosen: give ids, senders, recipients, older_than or everything")
    return choice


def parse_queue(text: str) -> List[Queued]:
    """Return the messages that ``postqueue -j`` prints, the oldest first.

    Not what has no recipient yet: the rest of a session that was broken off.
    """
    found = []
    for line in text.splitlines():
        if not line.strip():
            continue
        entry = json.loads(line)
        recipients = tuple((one["address"], one.get("delay_reason", "")) for one in entry.get("recipients") or ())
        if not recipients:
            continue
        sender = entry.get("sender") or ""
        found.append(
            Queued(
                id=entry["queue_id"],
                queue=entry["queue_name"],
                sender="" if sender == NULL_SENDER else sender,
                size=int(entry.get("message_size") or 0),
                arrival=float(entry["arrival_time"]),
                recipients=recipients,
            )
        )
    return sorted(found, key=lambda message: message.arrival)


def chosen(messages: Iterable[Queued], choice: Choice, now: float) -> List[Queued]:
    """Return the messages that ``choice`` means; ``now`` in seconds since 1970."""
    return [message for message in messages if _fits(message, choice, now)]


def _fits(message: Queued, choice: Choice, now: float) -> bool:
    if choice.ids and message.id not in choice.ids:
        return False
    if choice.senders and not any(_matches(message.sender, wanted) for wanted in choice.senders):
        return False
    addresses = [address for address, _ in message.recipients]
    if choice.recipients and not any(_matches(one, wanted) for one in addresses for wanted in choice.recipients):
        return False
    # Postfix tells whole seconds: what came within that of the look may have come after it.
    if choice.before is not None and message.arrival >= int(choice.before):
        return False
    return choice.older_than is None or now - message.arrival >= choice.older_than


def _matches(address: str, wanted: str) -> bool:
    """Compare without regard to case: the same mailbox in all of the world's practice. ``<>`` is the null sender."""
    held, asked = address.lower(), wanted.lower()
    if asked in ("<>", ""):
        return not held
    return held.endswith(asked) if asked.startswith("@") else held == asked


def summary(messages: Sequence[Queued], now: float) -> Dict[str, Any]:
    """Return counts: messages, bytes, the greatest age in seconds, and by queue, age, recipient's domain and reason.

    A message counts once for each of its domains and reasons; the largest numbers come first.
    """
    queues: Dict[str, int] = {}
    ages: Dict[str, int] = {}
    domains: Dict[str, int] = {}
    reasons: Dict[str, int] = {}
    for message in messages:
        _count(queues, message.queue)
        _count(ages, _age_name(now - message.arrival))
        for domain in {address.rpartition("@")[2].lower() for address, _ in message.recipients}:
            _count(domains, domain)
        for reason in set(_reasons(message)):
            _count(reasons, reason)
    return {
        "messages": len(messages),
        "bytes": sum(message.size for message in messages),
        "oldest_seconds": int(max((now - message.arrival for message in messages), default=0.0)),
        "by_queue": _sorted(queues),
        "by_age": {name: ages[name] for _, name in AGES if name in ages},
        "by_domain": _sorted(domains),
        "by_reason": _sorted(reasons),
    }


def _reasons(message: Queued) -> Iterator[str]:
    for _, reason in message.recipients:
        yield common_reason(reason) if reason else ("on hold" if message.queue == "hold" else NO_REASON)


def common_reason(reason: str) -> str:
    """Return a reason without what is different for each message, so that equal causes count together."""
    text = IN_REPLY.sub("", " ".join(reason.split()))
    text = TRANSACTION.sub("", MAIL_ADDRESS.sub("<…>", BRACKETS.sub("", text)))
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"


def shown(message: Queued, now: float) -> Dict[str, Any]:
    """Return a message as JSON has it."""
    return {
        "id": message.id,
        "queue": message.queue,
        "age_seconds": max(0, int(now - message.arrival)),
        "bytes": message.size,
        "sender": message.sender,
        "recipients": [{"address": address, "reason": reason} for address, reason in message.recipients],
    }


def _age_name(age: float) -> str:
    return next(name for bound, name in AGES if age < bound)


def _count(counts: Dict[str, int], name: str) -> None:
    counts[name] = counts.get(name, 0) + 1


def _sorted(counts: Dict[str, int]) -> Dict[str, int]:
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
