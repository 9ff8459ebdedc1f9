"""Failures that can be switched on at run time.

Kinds, as JSON objects of ``POST /faults``:

``{"kind": "down"}``
    Listeners are closed and open sessions dropped, until the fault is removed.
``{"kind": "slow", "seconds": 0.5}``
    Wait that long before each reply.
``{"kind": "reply", "reply": NAME, "stage": STAGE, "count": N}``
    Give that reply of the table. ``stage`` defaults to the reply's own; without ``count`` it never ends.
    At mail, rcpt, data and end-of-data one use is one transaction, elsewhere one command. A client that uses
    STARTTLS says EHLO twice.
``{"kind": "quota", "scope": "customer" | "user", "count": N}``
    Short for the two daily-limit replies.
``{"kind": "drop", "stage": STAGE, "count": N}``
    Close the connection instead of answering.
``{"kind": "certificate", "certificate": NAME}``
    Serve the certificate of that name from ``tls.faulty`` in new handshakes.
"""

import threading
from dataclasses import replace
from typing import Any

from .records import FaultStatus
from .replies import REPLIES, Stage

__all__ = ["FaultError", "FaultSet", "parse_fault"]

_QUOTA = {"customer": "daily-limit-customer", "user": "daily-limit-user"}
_KEYS = {
    "down": {"kind"},
    "slow": {"kind", "seconds"},
    "reply": {"kind", "reply", "stage", "count"},
    "quota": {"kind", "scope", "stage", "count"},
    "drop": {"kind", "stage", "count"},
    "certificate": {"kind", "certificate"},
}


class FaultError(ValueError):
    """A fault description is not valid."""


def parse_fault(value: object, certificates: frozenset[str]) -> FaultStatus:
    """Check a fault description; the result has id 0.

    Raises:
        FaultError: unknown kind, key, reply, stage or certificate, or a bad number.
    """
    if not isinstance(value, dict) or value.get("kind") not in _KEYS:
        raise FaultError(f"kind: one of {', '.join(sorted(_KEYS))} is needed")
    kind = str(value["kind"])
    unknown = sorted(set(value) - _KEYS[kind])
    if unknown:
        raise FaultError(f"{kind}: unknown key {', '.join(unknown)}")
    if kind == "slow":
        return FaultStatus(id=0, kind=kind, seconds=_seconds(value.get("seconds")))
    if kind == "certificate":
        name = value.get("certificate")
        if name not in certificates:
            raise FaultError(f"certificate: {name!r} is not one of {', '.join(sorted(certificates)) or '(none)'}")
        return FaultStatus(id=0, kind=kind, certificate=str(name))
    if kind == "down":
        return FaultStatus(id=0, kind=kind)
    return _reply_fault(kind, value)


def _reply_fault(kind: str, value: dict[str, Any]) -> FaultStatus:
    reply: str | None = None
    stage = value.get("stage")
    if kind != "drop":
        reply = _QUOTA.get(str(value.get("scope"))) if kind == "quota" else value.get("reply")
        if reply not in REPLIES:
            raise FaultError(f"{kind}: {value.get('scope' if kind == 'quota' else 'reply')!r} is not known")
        if stage is None:
            own = REPLIES[reply].stage
            stage = (Stage.MAIL if own is Stage.ANY else own).value
    allowed = [item.value for item in Stage if item is not Stage.ANY]
    if stage not in allowed:
        raise FaultError(f"stage: {stage!r} is not one of {', '.join(allowed)}")
    return FaultStatus(
        id=0,
        kind="drop" if kind == "drop" else "reply",
        reply=reply,
        stage=str(stage),
        remaining=_count(value.get("count")),
    )


def _seconds(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= 3600:
        return float(value)
    raise FaultError(f"seconds: {value!r} is not a number above 0 and up to 3600")


def _count(value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value > 0:
        return value
    raise FaultError(f"count: {value!r} is not a whole number above 0")


class FaultSet:
    """The active faults, oldest first. Safe for use from several threads."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._faults: dict[int, FaultStatus] = {}
        self._last_id = 0

    def add(self, fault: FaultStatus) -> FaultStatus:
        """Switch a fault on and give it its id."""
        with self._lock:
            self._last_id += 1
            active = replace(fault, id=self._last_id)
            self._faults[active.id] = active
            return active

    def remove(self, fault_id: int) -> bool:
        """Switch one fault off; false when there is none of that id."""
        with self._lock:
            return self._faults.pop(fault_id, None) is not None

    def clear(self) -> None:
        """Switch all faults off."""
        with self._lock:
            self._faults.clear()

    def active(self) -> tuple[FaultStatus, ...]:
        """All faults, those that are used up included."""
        with self._lock:
            return tuple(self._faults.values())

    def take(self, stage: Stage) -> FaultStatus | None:
        """Use the oldest reply or drop fault of this stage once, if there is one left."""
        with self._lock:
            for fault in self._faults.values():
                if fault.stage != stage.value or fault.remaining == 0:
                    continue
                remaining = None if fault.remaining is None else fault.remaining - 1
                used = replace(fault, remaining=remaining, used=fault.used + 1)
                self._faults[fault.id] = used
                return used
            return None

    def is_down(self) -> bool:
        """Whether the listeners must be closed."""
        return any(fault.kind == "down" for fault in self.active())

    def delay_seconds(self) -> float:
        """The wait before each reply: the longest of the active slow faults."""
        return max((fault.seconds or 0.0 for fault in self.active() if fault.kind == "slow"), default=0.0)

    def certificate(self) -> str | None:
        """The name of the faulty certificate to serve; the newest fault wins."""
        names = [fault.certificate for fault in self.active() if fault.kind == "certificate"]
        return names[-1] if names else None
