"""Two thousand messages on their way while something happens, and what became of them."""

from collections.abc import Callable

from tests.behaviour.place import Load, Place

__all__ = ["COUNT", "begun", "prove"]

COUNT = 2000
BEGUN = 200


def begun(place: Place) -> Load:
    """Start the load and return once it flows."""
    load = place.load(COUNT)
    place.wait(lambda: place.google.counters().messages_accepted >= BEGUN, "the load to begin")
    return load


def prove(place: Place, load: Load, cut_off: int, record_property: Callable[[str, object], None]) -> None:
    """Hold a load's end against what arrived; the figures are kept in the report.

    ``cut_off``: so many deliveries may have been cut off after the upstream took them, and arrive twice.
    """
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
