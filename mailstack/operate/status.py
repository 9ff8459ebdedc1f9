"""The whole stack in one look: every part asked side by side, within one time, and unknown where it did not answer.

What is where comes from the stack's outputs alone. Each part is a function that returns what it saw; one that fails,
or is not back in time, hides no other.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from mailstack.operate.ages import age
from mailstack.operate.postal import LEAST_FREE, Postal, shown_release
from mailstack.operate.postal_health import problems
from mailstack.operate.relay import logs, queues
from mailstack.operate.served import look_at
from mailstack.operate.tries import read_tries
from mailstack.postfix.log_search import LogChoice
from mailstack.reach.entry import Entry
from mailstack.reach.operations import PostalAt
from mailstack.reach.place import Place, PlaceError, StoppedError
from mailstack.settings.stackfile import StackFileError
from mailstack.verify.history import Past
from mailstack.verify.host import HostFacts, read_facts
from mailstack.verify.model import State as Verdict

__all__ = ["Look", "Part", "State", "gather", "looks", "worst"]

State = Literal["ok", "warn", "fail", "unknown"]
ORDER: tuple[State, ...] = ("fail", "unknown", "warn", "ok")
# Mail that waits longer waits for something that does not mend itself.
LATE_SECONDS = 900
LOG_LINES = 500
# One message may be refused for what is in it; so many in a row are lost for a reason of their own.
ALL_BOUNCES = 3
LOOK_SECONDS = 60
RELAY_ROLE, HOST_ROLE = "relay_operations", "host_facts"
Outputs = Mapping[str, Any]
# The keys are opened by the Pulumi CLI, once for all looks.
OPENING = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class Part:
    """What was seen of a part. ``told`` is one sentence for people, ``details`` the same and more for machines."""

    name: str
    state: State
    told: str
    details: Mapping[str, Any] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {"name": self.name, "state": self.state, "told": self.told, "details": dict(self.details)}


Look = Callable[[], Part]


def worst(parts: Sequence[Part]) -> State:
    """Return the worst state; what is unknown is worse than a warning."""
    return min((part.state for part in parts), key=ORDER.index, default="unknown")


def gather(asked: Mapping[str, Look], seconds: float, done: Callable[[str], None] = lambda _name: None) -> list[Part]:
    """Take all looks side by side and return them in their order, after ``seconds`` at the latest.

    A look that is still on its way then is unknown. Nobody waits for it: its thread ends with the program.
    """
    found: dict[str, Part] = {}
    ready = threading.Condition()

    def one(name: str, look: Look) -> None:
        try:
            part = look()
        except (RuntimeError, OSError, StackFileError, ValueError, LookupError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()
            # A heading says nothing without the first line below it.
            told = " ".join(line.strip() for line in reason[: 2 if reason[0].endswith(":") else 1])
            part = Part(name=name, state="unknown", told=told, details={"reason": "\n".join(reason)})
        with ready:
            found[name] = part
            ready.notify()

    for name, look in asked.items():
        threading.Thread(target=one, args=(name, look), daemon=True).start()
    deadline = time.monotonic() + seconds
    told: set[str] = set()
    with ready:
        while len(found) < len(asked) and (left := deadline - time.monotonic()) > 0:
            ready.wait(left)
            for name in [name for name in found if name not in told]:
                told.add(name)
                done(name)
        late = f"no answer within {seconds:.0f} s"
        return [
            found.get(name) or Part(name=name, state="unknown", told=late, details={"reason": late}) for name in asked
        ]


def looks(entry: Entry, outputs: Outputs, last_verify: Past | None, now: datetime) -> dict[str, Look]:
    """Return the looks at everything the stack's outputs tell of, by the name of the part."""
    at = entry.operations
    asked: dict[str, Look] = {"components": lambda: _components(entry, outputs)}
    for name in at.hosts:
        asked[f"host {name}"] = lambda name=name: _host(entry, name)  # type: ignore[misc]
    if at.relay is not None:
        for name in at.relay.hosts:
            asked[f"relay {name}"] = lambda name=name: _relay(entry, f"relay {name}", name)  # type: ignore[misc]
        if not at.relay.hosts:
            asked["relay"] = lambda: _relay(entry, "relay", None)
    if at.postal is not None:
        postal = at.postal
        asked["Postal"] = lambda: _postal(entry, postal, outputs)
    for name, known in (outputs.get("certificates") or {}).items():
        asked[f"certificate {name}"] = lambda name=name, known=known: _certificate(name, known, now)  # type: ignore[misc]
    if "relay_rule_probes" in outputs or "relay_rule_probe" in outputs:
        asked["relay rule"] = lambda: _rule(outputs)
    asked["DNS"] = lambda: _dns(last_verify, outputs, entry.stack, now)
    return asked


def _components(entry: Entry, outputs: Outputs) -> Part:
    """Say what the stack is made of, as its outputs tell."""
    at, told = entry.operations, []
    if at.relay is not None:
        where = {"docker": "a container", "kubernetes": "pods"}.get(at.relay.placement) or ", ".join(at.relay.hosts)
        told.append(f"relay on {where} to {at.relay.upstream}")
    if at.postal is not None:
        told.append(f"Postal {shown_release(at.postal.image)} on {at.postal.host or 'pods'}")
    if outputs.get("certificates"):
        told.append(f"Caddy with {len(outputs['certificates'])} certificates")
    if outputs.get("kubernetes_version"):
        told.append(f"Kubernetes {outputs['kubernetes_version']}")
    zones = list(outputs.get("dns_zones") or ())
    told.append(f"zones {', '.join(zones)}" if zones else "no zones")
    details = {"outputs": outputs.get("contract_version"), "zones": zones, "hosts": list(at.hosts)}
    return Part(name="components", state="ok", told="; ".join(told), details=details)


def _opened(entry: Entry) -> Entry:
    """Return the ways in once their keys are open: the first look that needs them opens them."""
    with OPENING:
        if entry.identity is None:
            _ = entry.plan
    return entry


# --- hosts ----------------------------------------------------------------------------------------------------------


def _host(entry: Entry, name: str) -> Part:
    postal = entry.operations.postal
    folder = postal.backups if postal is not None and postal.host == name else None
    report = _opened(entry).host(name).run(HOST_ROLE, {"certificates": {}, "backups": folder}, "check", LOOK_SECONDS)
    facts = read_facts(report.facts)
    faults = list(_faults(facts))
    told = ", ".join([facts.system or "reached", *faults])
    details = {
        "system": facts.system, "disks": dict(facts.disks), "memory": facts.memory, "updates": facts.updates,
        "security_updates": facts.security_updates, "reboot_required": facts.reboot_required,
        "clock_synchronised": facts.clock_synchronised,
    }  # fmt: skip
    return Part(name=f"host {name}", state="warn" if faults else "ok", told=told, details=details)


def _faults(facts: HostFacts) -> Iterator[str]:
    for place, free in facts.disks.items():
        if free < LEAST_FREE:
            yield f"{place} has {free:.0%} free"
    if facts.memory is not None and facts.memory < LEAST_FREE:
        yield f"{facts.memory:.0%} of the memory is free"
    if facts.clock_synchronised is False:
        yield "its clock is not synchronised"
    if facts.reboot_required:
        yield "waits for a reboot"
    if facts.security_updates:
        yield f"{facts.security_updates} security updates"


# --- the relay ------------------------------------------------------------------------------------------------------


def _relay(entry: Entry, name: str, host: str | None) -> Part:
    at = entry.operations.relay
    assert at is not None  # noqa: S101 - the caller has looked
    if at.container is None or not at.container.endpoint.startswith("unix://"):
        _opened(entry)
    seen: list[dict[str, Any]] = []
    unseen: dict[str, str] = {}
    stopped: dict[str, str] = {}
    try:
        places = entry.relay(host=host)
    except StoppedError as error:
        return Part(name=name, state="fail", told=str(error), details={"placement": at.placement, "places": []})
    for place in places:
        try:
            seen.append(_place(place, at.listen.get(place.name, at.listen.get("", ()))))
        except StoppedError as error:
            stopped[place.name] = str(error).splitlines()[0]
        except (RuntimeError, OSError) as error:
            unseen[place.name] = str(error).splitlines()[0]
    late = [one for one in seen if _waits(one)]
    bad = [one for one in seen if one["greeting"] is None or one["bounced"] >= ALL_BOUNCES]
    late += [one for one in seen if one["bounced"]]
    state: State = "fail" if bad or stopped else "unknown" if unseen else "warn" if late else "ok"
    alone = len(places) == 1
    said = [_told(one, alone=alone) for one in seen]
    said += [*stopped.values()]  # they name the place
    said += [reason if alone else f"{place}: {reason}" for place, reason in unseen.items()]
    return Part(
        name=name, state=state, told="; ".join(said),
        details={
            "placement": at.placement, "upstream": at.upstream, "places": seen, "unseen": unseen, "stopped": stopped,
        },
    )  # fmt: skip


def _place(place: Place, listen: Sequence[tuple[str, int]]) -> dict[str, Any]:
    asked = {"operation": "greeting", "listen": [list(one) for one in listen]}
    answer = place.run(RELAY_ROLE, asked, "check", LOOK_SECONDS).facts
    version = place.run(RELAY_ROLE, {"operation": "configuration"}, "check", LOOK_SECONDS).facts["version"]
    view = queues([place], limit=1)
    if place.name in view.unseen:
        raise PlaceError(view.unseen[place.name])
    queue = view.summaries[place.name]
    lines = logs(place, LogChoice(), since=None, limit=LOG_LINES)
    tries = read_tries(lines)
    return {
        "place": place.name,
        "postfix": version,
        "greeting": answer["greeting"],
        "reason": answer["reason"],
        "queue": {key: queue[key] for key in ("messages", "oldest_seconds", "by_queue", "by_reason")},
        # As the log writes the time: of its own clock, and often without the year.
        "last_try_deferred": tries.deferred,
        "last_delivery": tries.delivered,
        "bounced": tries.bounced,
        "bounced_since": tries.since,
        "bounced_reason": tries.reason,
    }


def _waits(one: Mapping[str, Any]) -> bool:
    """Tell whether mail does not get out: it waits for long, or the last try of all was put off and something waits."""
    queue = one["queue"]
    return queue["oldest_seconds"] >= LATE_SECONDS or bool(
        one["last_try_deferred"] and queue["by_queue"].get("deferred")
    )


def _told(one: Mapping[str, Any], *, alone: bool) -> str:
    queue = one["queue"]
    answers = "answers" if one["greeting"] is not None else f"does not answer ({one['reason']})"
    answers = f"Postfix {one['postfix']} {answers}"
    waiting = ", ".join(f"{count} {name}" for name, count in queue["by_queue"].items())
    held = f"queue: {waiting}, oldest {age(queue['oldest_seconds'])}" if queue["messages"] else "queue empty"
    last = (
        f"last delivery {one['last_delivery']}" if one["last_delivery"] else "no delivery in the last lines of its log"
    )
    reasons = queue["by_reason"]
    reason = max(reasons, key=reasons.__getitem__, default=None) if _waits(one) else None
    head = "" if alone else f"{one['place']}: "
    returned = ""
    if one["bounced"]:
        count = "the last try" if one["bounced"] == 1 else f"the last {one['bounced']} tries"
        returned = f"{count} bounced, since {one['bounced_since']} ({one['bounced_reason']}), "
    return f"{head}{answers}, {held}{f' ({reason})' if reason else ''}, {returned}{last}"


# --- Postal ---------------------------------------------------------------------------------------------------------


def _postal(entry: Entry, at: PostalAt, outputs: Outputs) -> Part:
    try:
        facts = Postal(entry=_opened(entry)).status()
    except (RuntimeError, OSError, StackFileError) as error:
        known = outputs.get("postal_health") or {}
        before = ", ".join(f"{process} {health}" for process, health in known.items())
        told = f"{str(error).splitlines()[0]}{f' (at the last update: {before})' if before else ''}"
        return Part(name="Postal", state="unknown", told=told, details={"reason": str(error), "at_last_update": known})
    wrong = problems(facts, entry.stack, at)
    servers = facts["servers"] or []
    waiting, held = sum(one["waiting"] for one in servers), sum(one["held"] for one in servers)
    oldest = max((one["oldest_seconds"] for one in servers), default=0)
    state: State = "warn" if wrong or oldest >= LATE_SECONDS else "ok"
    if any(one.state == "fail" for one in wrong):
        state = "fail"
    said = [one.what for one in wrong] or [f"{len(facts['processes'])} processes"]
    if facts["servers"] is not None:
        said.append(f"{waiting} waiting, {held} held" + (f", oldest {age(oldest)}" if oldest else ""))
    made = (facts.get("backup") or {}).get("age_seconds")
    if made is not None and not any("backup" in one.what for one in wrong):
        said.append(f"last backup {age(made)} ago")
    return Part(name="Postal", state=state, told=", ".join(said), details=facts)


# --- what is seen from here -----------------------------------------------------------------------------------------


def _certificate(name: str, known: Mapping[str, Any], now: datetime) -> Part:
    """Look at what is served now: Caddy renews by itself, so an output may be old."""
    try:
        served = look_at(name, now)
    except OSError as error:
        told = f"{name} did not answer on port 443: {error} (at the last update valid to {known['not_after']})"
        return Part(name=f"certificate {name}", state="unknown", told=told, details={"at_last_update": dict(known)})
    seconds = served.left.total_seconds()
    state: State = "fail" if seconds <= 0 else "warn" if served.late else "ok"
    told = f"{age(seconds)} left" if seconds > 0 else "has expired"
    details = {"days_left": served.left.days, "seconds_left": int(seconds), "seen": "served"}
    return Part(name=f"certificate {name}", state=state, told=told, details=details)


def _rule(outputs: Outputs) -> Part:
    probes = outputs.get("relay_rule_probes") or {"": outputs["relay_rule_probe"]}
    failed = {host: probe["failure"] for host, probe in probes.items() if not probe["ok"]}
    if not failed:
        return Part(name="relay rule", state="ok", told="accepted at the last update", details={"probes": probes})
    host, failure = next(iter(failed.items()))
    told = f"at the last update refused{f' from {host}' if host else ''}: {failure['text']}"
    return Part(name="relay rule", state="fail", told=told, details={"probes": probes})


def _dns(last: Past | None, outputs: Outputs, stack: str, now: datetime) -> Part:
    bad = {place: one["errors"] for place, one in (outputs.get("postal_domains") or {}).items() if one.get("errors")}
    if last is None:
        told = f"not looked at from here yet: mailstack verify --stack {stack}"
        return Part(name="DNS", state="warn", told=told, details={"postal_domains": bad})
    ages = age((now - last.started.astimezone(UTC)).total_seconds())
    counts = {state.value: count for state, count in last.counts.items() if count}
    state: State = "fail" if last.counts.get(Verdict.FAIL) else "warn" if last.counts.get(Verdict.WARN) else "ok"
    told = f"mailstack verify, {ages} ago: {', '.join(f'{count} {name}' for name, count in counts.items())}"
    details = {"verified": last.started.isoformat(), "counts": counts, "postal_domains": bad}
    return Part(name="DNS", state=state, told=told, details=details)
