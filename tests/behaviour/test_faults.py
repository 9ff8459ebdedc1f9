"""Two thousand messages while something breaks: what was accepted is delivered, and what arrives twice is explained.

SMTP gives no more than at least once: whoever does not get the answer to a message's content sends it again (RFC 5321,
section 4.5.4.1; RFC 1047). So a message may arrive twice where an application lost the relay's answer, and where the
relay was ended between the upstream's answer and its own note of it: as many as it had in hand at that moment.
"""

import time
from collections.abc import Callable

import pytest

from tests.behaviour.place import Load, Place

pytestmark = pytest.mark.hosts

COUNT = 2000
BEGUN = 200


@pytest.fixture
def proven(place: Place, record_property: Callable[[str, object], None]) -> Callable[[Load, int], None]:
    """Return what holds a load's end against what arrived; the figures are kept in the report."""

    def prove(load: Load, cut_off: int) -> None:
        sent = load.sent()
        assert len(sent) == COUNT
        assert {one.outcome for one in sent} == {"accepted"}, [one for one in sent if one.outcome != "accepted"][:3]
        place.retry_now()
        place.wait(lambda: len(place.arrived()) >= COUNT, "all accepted mail", 180)
        arrived = place.arrived()
        assert set(arrived) == {one.subject for one in sent}
        unsure = {one.subject for one in sent if one.unsure}
        doubled = {subject for subject, times in arrived.items() if times > 1}
        for name, number in (
            ("accepted", len(sent)),
            ("delivered", len(arrived)),
            ("twice, the application's", len(doubled & unsure)),
            ("twice, the relay's", len(doubled - unsure)),
        ):
            record_property(name, number)
        assert len(doubled - unsure) <= cut_off, doubled - unsure
        place.wait(lambda: not place.queued(), "the queue to empty")

    return prove


def begun(place: Place) -> Load:
    """Start the load and return once it flows."""
    load = place.load(COUNT)
    place.wait(lambda: place.google.counters().messages_accepted >= BEGUN, "the load to begin")
    return load


def test_the_upstream_is_away_for_a_minute(place: Place, proven: Callable[[Load, int], None]) -> None:
    load = begun(place)
    place.google.take_down()
    time.sleep(60)
    place.google.clear_faults()
    # Sessions that were cut after the content, before the answer: at most all there were.
    proven(load, place.sessions)


def test_the_relay_is_restarted_in_order(place: Place, proven: Callable[[Load, int], None]) -> None:
    load = begun(place)
    place.stop()
    place.start()
    proven(load, place.cut_off_by_stop)


def test_the_relay_is_killed(place: Place, proven: Callable[[Load, int], None]) -> None:
    load = begun(place)
    place.kill()
    place.start()
    proven(load, place.sessions)


def test_a_changed_definition_is_brought_out(place: Place, proven: Callable[[Load, int], None]) -> None:
    load = begun(place)
    place.apply(message_size_mb=5)
    proven(load, place.cut_off_by_change)
