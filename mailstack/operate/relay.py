"""What an operator does with a running relay, in every placement: its queue, configuration, log, a test message."""

import json
import re
import secrets
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from typing import Any, Literal, TypeVar

from mailstack.operate.ages import ago
from mailstack.plan import Plan
from mailstack.postfix.log_search import LogChoice, LogSearch, Outcome, outcomes
from mailstack.postfix.queue_view import AGES, Choice
from mailstack.postfix.relay import role_settings
from mailstack.reach.operations import RelayAt
from mailstack.reach.place import ContainerPlace, HostPlace, Place, PlaceError, PodPlace, Report
from mailstack.relay_rule.reasons import Cause, explain, reply_in

__all__ = [
    "Act",
    "Operation",
    "QueueView",
    "Tried",
    "act",
    "all_logs",
    "configurations",
    "deliver",
    "logs",
    "queues",
    "seconds_of",
    "trial",
]  # fmt: skip

Answer = TypeVar("Answer")
Operation = Literal["flush", "hold", "release", "delete"]
ROLE = "relay_operations"
# What is said of a queue's messages in one answer; counts are of all of them.
MOST_SHOWN = 1000
PAUSE_SECONDS = 1.0
# Clocks of two machines: a log is asked for from a little before.
CLOCK_SECONDS = 120
CONTAINER_LOG = "/dev/stdout"
AT_ONCE = 8
DURATION = re.compile(r"(?P<number>[0-9]{1,9})(?P<unit>[smhd])\Z")
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(text: str) -> float:
    """Return a duration such as ``90s``, ``15m``, ``6h`` or ``2d`` in seconds. Raises ValueError."""
    found = DURATION.match(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration: write a number and s, m, h or d, such as 90s, 15m, 6h or 2d")
    return float(int(found["number"]) * UNITS[found["unit"]])


def _of_each(places: Sequence[Place], ask: Callable[[Place], Answer]) -> tuple[dict[str, Answer], dict[str, str]]:
    """Ask all places side by side. Return the answers, and why the others could not be asked, in the order given."""

    def one(place: Place) -> tuple[Answer] | str:
        try:
            return (ask(place),)
        except RuntimeError as error:
            return str(error)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        told = [(place.name, answer) for place, answer in zip(places, pool.map(one, places), strict=True)]
    return (
        {name: answer[0] for name, answer in told if not isinstance(answer, str)},
        {name: answer for name, answer in told if isinstance(answer, str)},
    )


# --- queue ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """The queue of each place: ``summaries`` as ``queue_view.summary``, ``messages`` as ``queue_view.shown``.

    ``unseen`` are the places that could not be asked, with the reason; ``asked`` is when the others were, before
    something is done there, by their own clock in seconds since 1970.
    """

    summaries: Mapping[str, Mapping[str, Any]]
    messages: Mapping[str, Sequence[Mapping[str, Any]]]
    unseen: Mapping[str, str] = field(default_factory=dict)
    asked: Mapping[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Return how many messages all places have."""
        return sum(int(one["messages"]) for one in self.summaries.values())

    def total(self) -> dict[str, Any]:
        """Return the summary of all places together."""
        found: dict[str, Any] = {
            "messages": self.count,
            "bytes": sum(int(one["bytes"]) for one in self.summaries.values()),
            "oldest_seconds": max((int(one["oldest_seconds"]) for one in self.summaries.values()), default=0),
        }
        for name in ("by_queue", "by_age", "by_domain", "by_reason"):
            counts: Counter[str] = Counter()
            for one in self.summaries.values():
                counts.update(one[name])
            found[name] = _ordered(name, counts)
        return found

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "total": self.total(),
            "unseen": dict(self.unseen),
            "places": {
                name: {"queue": self.summaries[name], "messages": list(self.messages[name])} for name in self.summaries
            },
        }


def queues(places: Sequence[Place], choice: Choice | None = None, limit: int = MOST_SHOWN) -> QueueView:
    """Return the queue of each place, or what of it ``choice`` means; a place that is away hides no other."""
    asked = None if choice is None or choice.empty else _asked(choice)
    settings = {"operation": "list", "limit": limit, "choice": asked}
    told, unseen = _of_each(places, lambda place: place.run(ROLE, settings, "check"))
    return replace(_view(told.values()), unseen=unseen)


def _view(reports: Iterable[Report]) -> QueueView:
    told = list(reports)
    return QueueView(
        summaries={
            report.place: {name: _ordered(name, value) for name, value in report.facts["queue"].items()}
            for report in told
        },
        messages={report.place: report.facts["messages"] for report in told},
    )


def _ordered(name: str, counts: Any) -> Any:
    """Return counts in the order of people, which JSON does not keep: the largest first, ages from the youngest on."""
    if not isinstance(counts, Mapping):
        return counts
    if name == "by_age":
        return {age: counts[age] for _, age in AGES if age in counts}
    return dict(Counter(counts).most_common())


def _asked(choice: Choice) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in choice._asdict().items()}


@dataclass(frozen=True, kw_only=True)
class Act:
    """What was done: to how many messages of each place, and which were not there any more.

    ``failed`` are the places where it went wrong, with the reason: what was done elsewhere stays done.
    """

    operation: Operation
    done: Mapping[str, int]
    not_done: Mapping[str, Sequence[str]]
    failed: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "operation": self.operation,
            "done": sum(self.done.values()),
            "failed": dict(self.failed),
            "places": {name: {"done": self.done[name], "not_done": list(self.not_done[name])} for name in self.done},
        }


def trial(places: Sequence[Place], operation: Operation, choice: Choice) -> QueueView:
    """Return exactly what ``act`` would do something to. Changes nothing. A place that is away is an error."""
    settings = {"operation": operation, "choice": _asked(choice), "limit": MOST_SHOWN}
    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        told = list(pool.map(lambda place: place.run(ROLE, settings, "check"), places))
    return replace(_view(told), asked={report.place: float(report.facts["now"]) for report in told})


def act(places: Sequence[Place], operation: Operation, choice: Choice, agreed: QueueView | None = None) -> Act:
    """Do ``operation``. With ``agreed``, to nothing that is not in it: a person has agreed to those and no others."""
    reports: list[Report] = []
    failed: dict[str, str] = {}
    for place in places:
        wanted = choice
        if agreed is not None:
            ids = tuple(str(message["id"]) for message in agreed.messages[place.name])
            if not ids:
                continue
            whole = int(agreed.summaries[place.name]["messages"]) == len(ids)
            # Of more than are named, those that were there then: nobody has agreed to what came meanwhile.
            wanted = Choice(ids=ids) if whole else choice._replace(before=agreed.asked[place.name])
        try:
            reports.append(place.run(ROLE, {"operation": operation, "choice": _asked(wanted), "limit": 1}))
        except RuntimeError as error:
            failed[place.name] = str(error)
    return Act(
        operation=operation,
        done={report.place: int(report.facts["done"]) for report in reports},
        not_done={report.place: report.facts["not_done"] for report in reports},
        failed=failed,
    )


# --- configuration --------------------------------------------------------------------------------------------------


def configurations(places: Sequence[Place], plan: Plan | None) -> list[dict[str, Any]]:
    """Return for each place what Postfix runs by, and with ``plan`` each parameter that is not as declared.

    A place that cannot be asked has the reason as ``error``, and hides no other.
    """

    def ask(place: Place) -> dict[str, Any]:
        settings: dict[str, Any] = {"operation": "configuration"}
        if plan is not None:
            settings["declared"] = _declared(plan, place.name)
            settings["log_file"] = CONTAINER_LOG if isinstance(place, ContainerPlace | PodPlace) else None
        try:
            facts = place.run(ROLE, settings, "check").facts
        except RuntimeError as error:
            unknown = dict.fromkeys(("postfix", "configuration", "differences"))
            return {"place": place.name, **unknown, "error": str(error)}
        return {
            "place": place.name,
            "postfix": facts["version"],
            "configuration": facts["configuration"],
            "differences": facts.get("differences"),
            "error": None,
        }

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return list(pool.map(ask, places))


def _declared(plan: Plan, place: str) -> Mapping[str, Any]:
    of_host = {run.host: run.settings for run in plan.relay.runs}
    if place in of_host:
        return of_host[place]
    if plan.relay.docker is not None:
        told: dict[str, Any] = json.loads(plan.relay.docker.files["relay.json"])
        return told
    return role_settings(plan.relay.definition)


# --- log ------------------------------------------------------------------------------------------------------------


def logs(place: Place, choice: LogChoice, *, since: float | None, limit: int) -> list[str]:
    """Return the last ``limit`` lines that ``choice`` means. ``since`` is in seconds before now."""
    if not isinstance(place, ContainerPlace | PodPlace):
        settings = {"operation": "log", "choice": choice._asdict(), "limit": limit, "since": _from(since)}
        lines: list[str] = list(place.run(ROLE, settings, "check").facts["lines"])
        return lines
    finder = LogSearch(choice)
    everything = place.log(_from(since), limit if choice.everything and since is None else None)
    return [found for line in everything for found in finder.feed(line)][-limit:]


def all_logs(
    places: Sequence[Place], choice: LogChoice, *, since: float | None, limit: int
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the lines of each place, and the places that could not be asked with the reason."""
    return _of_each(places, lambda place: logs(place, choice, since=since, limit=limit))


def follow(place: Place, choice: LogChoice, on_line: Callable[[str], None], *, since: float | None) -> None:
    """Give each line that ``choice`` means, of the last ``since`` seconds and then as it comes, until interrupted."""
    if isinstance(place, HostPlace):
        place.follow(ROLE, {"choice": choice._asdict(), "since": ago(since or 0.0)}, on_line)
        return
    if not isinstance(place, ContainerPlace | PodPlace):
        place.run(ROLE, {"operation": "log"}, "check")  # it does not run, and says why
        return
    finder = LogSearch(choice)

    def tell(line: str) -> None:
        for found in finder.feed(line):
            on_line(found)

    place.follow(ago(since or 0.0), tell)


def _from(since: float | None) -> float | None:
    return None if since is None else ago(since)


# --- a test message -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What became of a test message through one place.

    ``state``: sent, deferred, bounced or expired; refused by the relay itself; unknown when the relay took it and the
    deadline passed first; unreachable when the place itself was not reached. ``reply`` is what the upstream (or, where
    refused, the relay) said, or why nothing was; ``lines`` are the log's.
    """

    place: str
    state: Literal["sent", "deferred", "bounced", "expired", "refused", "unknown", "unreachable"]
    message_id: str
    seconds: float
    queue_id: str | None = None
    relay: str = ""
    reply: str = ""
    cause: Cause | None = None
    lines: Sequence[str] = field(default_factory=tuple)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        why = self.cause
        return {
            "place": self.place, "state": self.state, "message_id": self.message_id, "queue_id": self.queue_id,
            "seconds": round(self.seconds, 1), "relay": self.relay, "reply": self.reply,
            "cause": None if why is None else {
                "name": why.name, "cause": why.cause, "fix": why.fix, "curable": why.curable,
            },
            "log": list(self.lines),
        }  # fmt: skip


def deliver(
    place: Place,
    at: RelayAt,
    *,
    sender: str,
    recipient: str,
    seconds: float,
    content: str | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Tried:
    """Hand a message to the relay beside it and follow it in the log to its first outcome, at most for ``seconds``.

    ``content`` is a whole message instead of our own. A place that cannot be asked is an outcome, too.
    """
    try:
        return _delivered(place, at, sender, recipient, seconds, content, say)
    except RuntimeError as error:
        return Tried(place=place.name, state="unreachable", message_id="", seconds=0.0, reply=str(error))


def _delivered(
    place: Place,
    at: RelayAt,
    sender: str,
    recipient: str,
    seconds: float,
    content: str | None,
    say: Callable[[str], None],
) -> Tried:
    started = time.monotonic()
    message, identity = _message(sender, recipient) if content is None else (content, "")
    listen = [list(one) for one in at.listen.get(place.name, at.listen.get("", ()))]
    settings = {
        "operation": "submit", "listen": listen, "sender": sender, "recipient": recipient, "message": message,
    }  # fmt: skip
    facts = place.run(ROLE, settings).facts
    if not facts["accepted"]:
        return Tried(
            place=place.name, state="refused", message_id=identity, seconds=time.monotonic() - started,
            reply=facts["reply"], cause=explain(facts["reply"], google=False),
        )  # fmt: skip
    queue_id = facts["queue_id"]
    if queue_id is None:
        raise PlaceError(f"{place.name}: the relay took the message and named no queue id: {facts['reply']}")
    say(f"{place.name}: accepted as {queue_id}, following it in the log")
    deadline = started + seconds
    lines: list[str] = []
    while True:
        since, unread = time.monotonic() - started + CLOCK_SECONDS, ""
        try:
            lines = logs(place, LogChoice(ids=(queue_id,)), since=since, limit=100)
        except RuntimeError as error:  # the relay has the message by now: a question that fails is put again
            unread = f"its log cannot be read: {error}"
        last = _last(outcomes(iter(lines), queue_id))
        taken = time.monotonic() - started
        if last is not None:
            return _outcome(place.name, last, identity, taken, lines, google=at.google)
        if time.monotonic() >= deadline:
            return Tried(
                place=place.name, state="unknown", message_id=identity, queue_id=queue_id, seconds=taken,
                reply=unread, lines=lines,
            )  # fmt: skip
        time.sleep(PAUSE_SECONDS)


def _last(found: Iterable[Outcome]) -> Outcome | None:
    return next(reversed(list(found)), None)


def _outcome(place: str, last: Outcome, identity: str, seconds: float, lines: Sequence[str], *, google: bool) -> Tried:
    state = last.status if last.status in {"sent", "deferred", "bounced", "expired"} else "unknown"
    return Tried(
        place=place,
        state=state,  # type: ignore[arg-type] # one of them, says the line before
        message_id=identity,
        queue_id=last.queue_id,
        seconds=seconds,
        relay=last.relay,
        reply=reply_in(last.reason) or last.reason,
        cause=None if state == "sent" else explain(last.reason, google=google),
        lines=tuple(lines),
    )


def _message(sender: str, recipient: str) -> tuple[str, str]:
    message = EmailMessage(policy=SMTP)
    token = f"mailstack-test-{secrets.token_hex(8)}"
    identity = f"<{token}@{sender.rpartition('@')[2] or 'localhost'}>"
    message["From"], message["To"], message["Subject"] = (
        sender or "MAILER-DAEMON",
        recipient,
        f"Test of the relay, {token}",
    )
    message["Date"], message["Message-ID"] = formatdate(), identity
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: nobody's holiday notice is to come back
    message.set_content("mailstack relay test sent this message. You may delete it.\n")
    return message.as_string(), identity
