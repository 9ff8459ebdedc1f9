"""The queue: what is in it, and trying, holding, releasing or deleting some of it (postsuper(1), postqueue(1))."""

import functools
import time
from typing import Dict, List, Sequence

from mailstack.postfix.queue_view import Queued, choice_of, chosen, parse_queue, shown, summary
from rolelib.commands import run
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["act", "listed"]

DEFAULT_SHOWN = 200
# postqueue -i tries one message: more of them by hand take longer than a look through the whole queue.
MOST_ONE_BY_ONE = 200
VERBS: Dict[str, str] = {"flush": "try", "hold": "hold", "release": "release", "delete": "delete"}
OPTIONS: Dict[str, str] = {"hold": "-h", "release": "-H", "delete": "-d"}


def read() -> List[Queued]:
    """Return every message. Raises RoleError where Postfix cannot tell."""
    result = run(["postqueue", "-j"], check=False)
    if not result.ok:
        said = (result.err or result.out).strip().splitlines()
        raise RoleError("queue", f"postqueue cannot read the queue: {said[-1] if said else result.code}")
    return parse_queue(result.out)


def listed(role: Role) -> Plan:
    """Tell the queue: counts, and up to ``limit`` messages of those that ``choice`` means (none: all)."""
    now, messages = time.time(), read()
    document = role.settings.get("choice")
    found = chosen(messages, choice_of(document), now) if document else messages
    _tell(role, found, now)
    return []


def act(role: Role) -> Plan:
    """Do ``operation`` to what ``choice`` means; the summary tells which messages those are, and which are left so."""
    operation, now = str(role.settings["operation"]), time.time()
    try:
        choice = choice_of(role.settings.get("choice") or {})
    except ValueError as error:
        raise RoleError("settings", str(error)) from None
    found = [message for message in chosen(read(), choice, now) if _concerns(operation, message)]
    _tell(role, found, now)
    there = {message.id for message in found}
    # Of what was named: a message that was delivered before we came is not there to be held.
    role.facts["done"], role.facts["not_done"] = 0, [one for one in choice.ids if one not in there]
    if not found:
        return []
    whole = operation == "flush" and choice.everything
    words = f"{VERBS[operation]} {len(found)} messages"
    return [Change(operation, words, functools.partial(_do, role, operation, [one.id for one in found], whole))]


def _concerns(operation: str, message: Queued) -> bool:
    """Tell whether there is anything to do: what is on hold is not tried, and only that is released."""
    held = message.queue == "hold"
    return {"flush": not held, "hold": not held, "release": held}.get(operation, True)


def _tell(role: Role, messages: Sequence[Queued], now: float) -> None:
    limit = int(role.settings.get("limit") or DEFAULT_SHOWN)
    role.facts["now"] = now
    role.facts["queue"] = summary(messages, now)
    role.facts["messages"] = [shown(message, now) for message in messages[:limit]]


def _do(role: Role, operation: str, ids: List[str], whole: bool) -> None:
    if operation == "flush":
        _try(ids, whole)
    else:
        run(["postsuper", OPTIONS[operation], "-"], stdin="".join(f"{one}\n" for one in ids))
    if operation == "release":
        # Otherwise the next try comes when the message's turn comes, which may be in an hour.
        _try(ids, False)
    left = {message.id: message.queue for message in read()}
    done = {
        "hold": [one for one in ids if left.get(one) == "hold"],
        "release": [one for one in ids if left.get(one) != "hold"],
        "delete": [one for one in ids if one not in left],
    }.get(operation, ids)
    role.facts["done"] = len(done)
    role.facts["not_done"] += [one for one in ids if one not in set(done)]


def _try(ids: Sequence[str], whole: bool) -> None:
    if whole or len(ids) > MOST_ONE_BY_ONE:
        run(["postqueue", "-f"])
        return
    for one in ids:
        # One that has just left is no failure.
        run(["postqueue", "-i", one], check=False)
