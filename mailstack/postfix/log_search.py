"""Finds the lines of Postfix's log that belong to messages, in one pass: for a log that is there, or that still grows.

A message's sender and recipient stand in different lines; its queue id joins them. So lines of a message that is not
yet known to be meant are kept until it is, or until Postfix is done with it. A role carries this module: Python 3.6.
"""

import json
import re
from collections import OrderedDict
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

from mailstack.postfix.log_lines import delivery, parse

__all__ = ["LogChoice", "LogSearch", "Outcome", "log_choice_of", "outcomes", "plain"]

# More messages than this are not under way at once; beyond it the oldest is forgotten.
KEPT_MESSAGES = 5000
QUEUE_ID = re.compile(r"(?P<id>[0-9A-Za-z]{10,}): ")
SENDER = re.compile(r"\bfrom=<(?P<address>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>")
RECIPIENT = re.compile(r"\b(?:orig_)?to=<(?P<address>(?:\"(?:[^\"\\]|\\.)*\"|[^<>\"])*)>")
REMOVED = re.compile(r": removed\Z")


class LogChoice(NamedTuple):
    """Whose lines: of these messages, from or to these addresses (``@example.com`` for a domain); none given: all."""

    ids: Tuple[str, ...] = ()
    senders: Tuple[str, ...] = ()
    recipients: Tuple[str, ...] = ()

    @property
    def everything(self) -> bool:
        """Tell whether every line is meant."""
        return not (self.ids or self.senders or self.recipients)


class Outcome(NamedTuple):
    """What became of a recipient in one try; ``status`` is sent, deferred, bounced or expired."""

    queue_id: str
    status: str
    dsn: str
    relay: str
    reason: str


def log_choice_of(document: Mapping[str, Any]) -> LogChoice:
    """Return the choice that a role's settings say."""
    return LogChoice(*(tuple(document.get(name) or ()) for name in LogChoice._fields))


def plain(line: str) -> str:
    """Return a line as syslog has it; a container may write JSON, with the same parts (docs/how-to/relay-in-docker.md).

    Of JSON the host's name is not known and the time stays as it is.
    """
    line = line.rstrip("\n")
    if not line.startswith("{"):
        return line
    try:
        found: Dict[str, Any] = json.loads(line)
        text, time = found["message"], found["time"]
    except (ValueError, KeyError, TypeError):
        return line
    queued = f"{found['queue_id']}: " if found.get("queue_id") else ""
    program = f"{found['service']}[{found.get('pid', 0)}]: " if found.get("service") else ""
    return f"{time} {program}{queued}{text}"


class LogSearch:
    """Yields the lines of chosen messages, each message's lines in their order."""

    def __init__(self, choice: LogChoice) -> None:
        """Nothing is read yet."""
        self._choice = choice
        # Queue id to None for a message that is meant, else to its lines up to now.
        self._known: "OrderedDict[str, Optional[List[str]]]" = OrderedDict()

    def feed(self, line: str) -> Iterator[str]:
        """Take a line in any form; yield what is now known to be meant, as ``plain`` has it."""
        text = plain(line)
        if not text.strip():
            return
        if self._choice.everything:
            yield text
            return
        found = QUEUE_ID.match(_message(text))
        if found is None:
            if not self._choice.ids and self._meant(text, None):
                yield text  # refused before it had a queue id
            return
        yield from self._of_message(found.group("id"), text)

    def _of_message(self, identity: str, text: str) -> Iterator[str]:
        kept = self._known.get(identity, [])
        if kept is None:
            yield text
        else:
            kept.append(text)
            if self._meant("\n".join(kept), identity):
                self._known[identity] = None
                yield from kept
            else:
                self._known[identity] = kept
        self._known.move_to_end(identity)
        if REMOVED.search(text):
            del self._known[identity]
        elif len(self._known) > KEPT_MESSAGES:
            self._known.popitem(last=False)

    def _meant(self, text: str, identity: Optional[str]) -> bool:
        choice = self._choice
        if choice.ids and identity not in choice.ids:
            return False
        return _any(SENDER, text, choice.senders) and _any(RECIPIENT, text, choice.recipients)


def _message(text: str) -> str:
    """Return a line from its queue id on: syslog's head ends with ``program[pid]: ``."""
    return text.partition("]: ")[2] or text


def _any(pattern: "re.Pattern[str]", text: str, wanted: Tuple[str, ...]) -> bool:
    """Tell whether one of the addresses in ``text`` is ``wanted``; where none is, whether any will do."""
    if not wanted:
        return True
    found = [match.group("address").lower() for match in pattern.finditer(text)]
    for one in wanted:
        asked = "" if one == "<>" else one.lower()
        if any(address.endswith(asked) if asked.startswith("@") else address == asked for address in found):
            return True
    return False


def outcomes(lines: Iterator[str], queue_id: str) -> Iterator[Outcome]:
    """Yield what became of one message, try by try. ``lines`` as ``plain`` has them."""
    for text in lines:
        if queue_id not in text:
            continue
        line = parse(text) or parse(f"Jan  1 00:00:00 host {text.partition(' ')[2]}")
        found = None if line is None else delivery(line)
        if found is not None and found.queue_id == queue_id:
            yield Outcome(
                queue_id,
                found.status,
                found.dsn,
                found.relay,
                found.reason[:-1] if found.reason.endswith(")") else found.reason,
            )
        elif "status=expired" in text:
            yield Outcome(queue_id, "expired", "", "", text.partition("status=expired")[2].strip(", "))
