"""A DKIM key's rotation: each step waits for the one before, and a date is never ahead of its day."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mailstack.dns.rotation import KeyDates, Pace, Step, faults, next_step

DAY = date(2026, 11, 1)
PACE = Pace()
FIELDS = {"publish": "published", "sign": "signing", "revoke": "revoked"}


def day(number: int) -> date:
    return DAY + timedelta(days=number)


def key(selector: str = "mail202611", **days: int) -> KeyDates:
    dates: dict[str, Any] = {field: day(number) for field, number in days.items()}
    return KeyDates(selector=selector, group="postal", **dates)


def told(*keys: KeyDates, today: int = 100) -> list[tuple[str, str]]:
    return [(fault.selector, fault.field) for fault in faults(keys, day(today), PACE)]


OLD, NEW = key("old"), key("new", published=0)


def test_a_key_of_before_that_has_no_date_is_no_fault() -> None:
    assert told(OLD) == []
    assert told(OLD, NEW) == []


@pytest.mark.parametrize(
    ("keys", "fault", "rule"),
    [
        ((key("old", retired=5), key("new", published=0, signing=0)), ("new", "signing"), "seen everywhere for a TTL"),
        ((key("old", retired=5), key("new", signing=2)), ("new", "signing"), "stands without `published`"),
        ((key("old", retired=1, revoked=7), key("new", published=0, signing=1)), ("old", "revoked"), "on its way"),
        ((key("old", revoked=9), key("new", published=0, signing=1)), ("old", "revoked"), "without `retired`"),
        ((key("old", retired=1), key("new", published=0)), ("old", "retired"), "go unsigned"),
        ((key("old", retired=1), key("new", published=0, signing=2)), ("old", "retired"), "go unsigned"),
        ((key("old", retired=1),), ("old", "retired"), "go unsigned"),
        ((key("new", published=200),), ("new", "published"), "has not come yet"),
        ((key("a", published=0, signing=1), key("b", published=2, signing=3)), ("a", "signing"), "b signs too"),
        ((key("a", published=5, signing=3), OLD), ("a", "signing"), "is before `published`"),
    ],
)
def test_a_step_out_of_turn_is_told_with_the_key_and_the_field(
    keys: tuple[KeyDates, ...], fault: tuple[str, str], rule: str
) -> None:
    found = list(faults(keys, day(100), PACE))
    assert [(one.selector, one.field) for one in found] == [fault]
    assert rule in found[0].rule


def test_the_first_allowed_day_is_told_and_allowed() -> None:
    early = (key("old", retired=1, revoked=7), key("new", published=0, signing=1))
    (fault,) = faults(early, day(100), PACE)
    assert str(day(8)) in fault.fix
    assert told(key("old", retired=1, revoked=8), key("new", published=0, signing=1)) == []


def test_the_pace_follows_the_ttl_and_the_queue_of_the_stack() -> None:
    assert Pace.of(ttl=3600, queue_hours=48) == Pace(seen_days=1, keep_days=7)
    assert Pace.of(ttl=2 * 86400, queue_hours=24 * 9) == Pace(seen_days=2, keep_days=10)


def step(*keys: KeyDates, today: int = 100) -> Step | None:
    return next_step(keys, "postal", day(today), PACE, "fresh")


def test_the_next_step_is_one_after_the_other_and_ends_before_another_begins() -> None:
    expected = [
        ((OLD,), "publish", "fresh", 100),
        ((OLD, NEW), "sign", "new", 1),
        ((key("old", retired=1), key("new", published=0, signing=1)), "revoke", "old", 8),
        ((key("old", retired=1, revoked=8), key("new", published=0, signing=1)), "remove", "old", 15),
        ((key("new", published=0, signing=1),), "publish", "fresh", 100),
    ]
    for keys, action, selector, earliest in expected:
        found = step(*keys)
        assert found is not None
        assert (found.action, found.selector, found.earliest) == (action, selector, day(earliest))
    signing = step(OLD, NEW)
    assert signing is not None
    assert signing.retires == "old"


def test_another_signers_keys_are_left_alone() -> None:
    assert step(replace(OLD, group="foreign rsa")) is None
    assert told(replace(OLD, group="our ed25519"), key("new", published=0, signing=1)) == []


@settings(max_examples=60, deadline=None)
@given(waits=st.lists(st.integers(0, 12), min_size=1, max_size=25))
def test_steps_taken_when_they_are_allowed_are_never_a_fault_and_a_key_always_signs(waits: list[int]) -> None:
    """Walk through rotations: after some days look what is next, and take it where it is allowed."""
    keys, today, fresh = [key("first")], DAY, 0
    for wait in waits:
        today += timedelta(days=wait)
        fresh += 1
        following = next_step(keys, "postal", today, PACE, f"k{fresh}")
        assert following is not None
        if not following.allowed(today):
            continue
        if following.action == "publish":
            keys.append(KeyDates(selector=following.selector, group="postal", published=today))
        elif following.action == "remove":
            keys = [one for one in keys if one.selector != following.selector]
        else:
            taken: dict[str, Any] = {FIELDS[following.action]: today}
            keys = [replace(one, **taken) if one.selector == following.selector else one for one in keys]
        if following.retires is not None:
            keys = [replace(one, retired=today) if one.selector == following.retires else one for one in keys]
        assert list(faults(keys, today, PACE)) == []
        assert sum(one.in_use for one in keys) == 1, "one key signs at every moment"


def test_every_action_is_walked_through() -> None:
    assert set(get_args(Step.__annotations__["action"])) == {*FIELDS, "remove"}
