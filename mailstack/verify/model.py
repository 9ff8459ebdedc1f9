"""What a check is, and what it finds."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mailstack.verify.context import Context

__all__ = ["CHECKS", "GROUPS", "Check", "Finding", "State", "check", "fail", "not_applicable", "ok", "unknown", "warn"]


class State(Enum):
    """What came out of one look. A question that was not answered in time is ``UNKNOWN``, never ``FAIL``."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    UNKNOWN = "unknown"
    NOT_APPLICABLE = "not applicable"


GROUPS: Mapping[str, str] = {
    "A": "Zone",
    "B": "Identity",
    "C": "Authentication",
    "D": "Receiving and bounces",
    "E": "TLS as served",
    "F": "Policies",
    "G": "Network and host",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What one look at one subject (a domain, a host, an address) found.

    ``found`` is the evidence in one line, ``expected`` and ``fix`` are empty where all is well. ``details`` are further
    lines of evidence, such as what each server said.
    """

    state: State
    subject: str
    found: str
    expected: str = ""
    fix: str = ""
    details: tuple[str, ...] = ()
    check: str = ""


Look = Callable[["Context"], Iterable[Finding]]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One item of the list. ``name`` is stable: people suppress and search by it. ``number`` is the item's, 1 to 45.

    ``source`` is the RFC or page the rule comes from, ``uses`` the library that does the judging, empty for our own.
    """

    number: int
    name: str
    group: str
    title: str
    source: str
    uses: str = ""
    look: Look = field(repr=False)


CHECKS: dict[str, Check] = {}


def check(*, number: int, name: str, group: str, title: str, source: str, uses: str = "") -> Callable[[Look], Look]:
    """Enter a function into the list of checks."""

    def enter(look: Look) -> Look:
        if name in CHECKS or group not in GROUPS:
            raise ValueError(f"check {name!r} exists already, or {group!r} is no group")
        CHECKS[name] = Check(number=number, name=name, group=group, title=title, source=source, uses=uses, look=look)
        return look

    return enter


def ok(subject: str, found: str, *details: str) -> Finding:
    """Return a finding that all is well."""
    return Finding(state=State.OK, subject=subject, found=found, details=details)


def warn(subject: str, found: str, *details: str, expected: str, fix: str) -> Finding:
    """Return a finding that works today and should not stay."""
    return Finding(state=State.WARN, subject=subject, found=found, expected=expected, fix=fix, details=details)


def fail(subject: str, found: str, *details: str, expected: str, fix: str) -> Finding:
    """Return a finding that costs mail, or lets others send."""
    return Finding(state=State.FAIL, subject=subject, found=found, expected=expected, fix=fix, details=details)


def unknown(subject: str, why: str, *details: str) -> Finding:
    """Return that it could not be seen, and why."""
    return Finding(state=State.UNKNOWN, subject=subject, found=why, details=details)


def not_applicable(subject: str, why: str) -> Finding:
    """Return that the question does not arise, and why."""
    return Finding(state=State.NOT_APPLICABLE, subject=subject, found=why)
