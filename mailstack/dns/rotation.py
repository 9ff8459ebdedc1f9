"""Rotation of a DKIM key, step by step: what each date in the settings means, and which step may be taken when.

    published -> signing -> retired -> revoked -> taken away

A date says on which day a step was taken. It is written when it is (by `mailstack rotate dkim`, or by hand), so
records change by a commit and never by the calendar. Pure: today is given.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import pairwise
from typing import Literal

__all__ = ["KEEP_DAYS", "KeyDates", "Pace", "RotationFault", "State", "Step", "faults", "next_step"]

State = Literal["undated", "published", "signing", "retired", "revoked"]
Action = Literal["publish", "sign", "revoke", "remove"]
STEPS = ("published", "signing", "retired", "revoked")
KEEP_DAYS = 7  # mail in queues is verified late: the longest that common senders try, with room


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a step has to wait: ``seen_days`` from publishing to signing, ``keep_days`` after the last signature."""

    seen_days: int = 1
    keep_days: int = KEEP_DAYS

    @classmethod
    def of(cls, *, ttl: int, queue_hours: int) -> "Pace":
        """Return the pace for records with a TTL in seconds and a relay that keeps mail for so many hours."""
        return cls(seen_days=max(1, -(-ttl // 86400)), keep_days=max(KEEP_DAYS, -(-queue_hours // 24) + 1))


@dataclass(frozen=True, kw_only=True)
class KeyDates:
    """One key of ours. Keys of one ``group`` take each other's place: the same signer, the same kind."""

    selector: str
    group: str
    published: date | None = None
    signing: date | None = None
    retired: date | None = None
    revoked: date | None = None

    @property
    def state(self) -> State:
        """The last step that was taken. A key without dates is one of before: in use, as far as we know."""
        if self.revoked is not None:
            return "revoked"
        if self.retired is not None:
            return "retired"
        if self.signing is not None:
            return "signing"
        return "undated" if self.published is None else "published"

    @property
    def in_use(self) -> bool:
        """Tell whether the signer may use it."""
        return self.state in {"undated", "signing"}


@dataclass(frozen=True, kw_only=True)
class RotationFault:
    """A date that cannot be: the key it is of, its field, and in words what is wrong and what to do."""

    selector: str
    field: str
    rule: str
    fix: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """The next legal step: what, with which key, and from which day on. ``why`` says what that day follows from.

    ``retires`` is the key that stops signing with it.
    """

    action: Action
    selector: str
    earliest: date
    why: str
    retires: str | None = None

    def allowed(self, today: date) -> bool:
        """Tell whether it may be taken."""
        return today >= self.earliest


def faults(keys: Sequence[KeyDates], today: date, pace: Pace) -> Iterator[RotationFault]:
    """Yield what is wrong with the dates of one domain's keys."""
    for key in keys:
        yield from _order(key)
        yield from _future(key, today)
        yield from _too_early(key, pace)
        if key.retired is not None and not any(_follows(other, key) for other in keys):
            yield RotationFault(
                selector=key.selector,
                field="retired",
                rule="no other key of its kind had begun to sign by then: the domain's mail would go unsigned",
                fix="give the new key its `signing` date first",
            )
    for group in dict.fromkeys(key.group for key in keys):
        signing = [key for key in keys if key.group == group and key.state == "signing"]
        for key in signing[:-1]:
            yield RotationFault(
                selector=key.selector,
                field="signing",
                rule=f"{signing[-1].selector} signs too, and one signer has one key of a kind",
                fix=f"write `retired`: the day {signing[-1].selector} took over",
            )


def _follows(other: KeyDates, key: KeyDates) -> bool:
    """Tell whether ``other`` signed on the day ``key`` was retired."""
    if other.selector == key.selector or other.group != key.group or key.retired is None:
        return False
    return other.state == "undated" or (other.signing is not None and other.signing <= key.retired)


def _order(key: KeyDates) -> Iterator[RotationFault]:
    for field, needs in (("signing", "published"), ("revoked", "retired")):
        if getattr(key, field) is not None and getattr(key, needs) is None:
            yield RotationFault(
                selector=key.selector,
                field=field,
                rule=f"stands without `{needs}`, the step before it",
                fix=f"write the day of that as `{needs}`",
            )
    dated = [(field, day) for field in STEPS if (day := getattr(key, field)) is not None]
    for (before, earlier), (field, later) in pairwise(dated):
        if later < earlier:
            yield RotationFault(
                selector=key.selector,
                field=field,
                rule=f"{later} is before `{before}`, {earlier}",
                fix="write the day each step was taken",
            )


def _future(key: KeyDates, today: date) -> Iterator[RotationFault]:
    for field in STEPS:
        day = getattr(key, field)
        if day is not None and day > today:
            yield RotationFault(
                selector=key.selector,
                field=field,
                rule=f"{day} has not come yet: a date says when a step was taken, and nothing changes by the calendar",
                fix="write it on that day; `mailstack rotate dkim` does",
            )


def _too_early(key: KeyDates, pace: Pace) -> Iterator[RotationFault]:
    for field, since, days, why in (
        ("signing", key.published, pace.seen_days, "the record must have been seen everywhere for a TTL"),
        ("revoked", key.retired, pace.keep_days, "mail signed with it may still be on its way"),
    ):
        day = getattr(key, field)
        if day is not None and since is not None and since <= day < since + timedelta(days=days):
            yield RotationFault(
                selector=key.selector,
                field=field,
                rule=f"{day} is too early: {why}",
                fix=f"take that step on {since + timedelta(days=days)} or later",
            )


def next_step(keys: Sequence[KeyDates], group: str, today: date, pace: Pace, fresh: str) -> Step | None:
    """Return what comes next for the keys of ``group``; ``fresh`` is the selector of a new key.

    A rotation that has begun is ended before another one begins. None where there is no key to take the place of.
    """
    ours = [key for key in keys if key.group == group]
    for key in ours:
        if key.state == "published" and key.published is not None:
            old = next((other for other in ours if other.in_use), None)
            return Step(
                action="sign",
                selector=key.selector,
                earliest=key.published + timedelta(days=pace.seen_days),
                why=f"it was published on {key.published}, and must have been seen everywhere for a TTL",
                retires=None if old is None else old.selector,
            )
    for key in ours:
        if key.state == "revoked" and key.revoked is not None:
            return Step(
                action="remove",
                selector=key.selector,
                earliest=key.revoked + timedelta(days=pace.keep_days),
                why=f"it was revoked on {key.revoked}; until then a late signature is told to be worthless",
            )
    for key in ours:
        if key.state == "retired" and key.retired is not None:
            return Step(
                action="revoke",
                selector=key.selector,
                earliest=key.retired + timedelta(days=pace.keep_days),
                why=f"it signed until {key.retired}, and such mail may still be on its way",
            )
    if not any(key.in_use for key in ours):
        return None
    return Step(action="publish", selector=fresh, earliest=today, why="no rotation is under way")
