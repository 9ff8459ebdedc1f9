"""Two thousand messages while something breaks: what was accepted is delivered, and what arrives twice is explained.

SMTP gives no more than at least once: whoever does not get the answer to a message's content sends it again (RFC 5321,
section 4.5.4.1; RFC 1047). So a message may arrive twice where an application lost the relay's answer, and where the
relay was ended between the upstream's answer and its own note of it: as many as it had in hand at that moment.
"""

import time
from collections.abc import Callable

import pytest

from tests.behaviour.load import begun
from tests.behaviour.place import Load, Place

pytestmark = pytest.mark.hosts


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
