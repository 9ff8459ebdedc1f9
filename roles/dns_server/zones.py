"""Zone texts and their serial numbers.

The program renders a zone without knowing what the host serves, so the serial field of its SOA is only a
placeholder. The host sets the real one, and only when something else in the zone changed.
"""

import datetime as dt
import re
from typing import Iterable, List, Optional, Sequence, Set, Tuple

__all__ = [
    "SERIAL_MODULUS",
    "ZoneError",
    "is_newer",
    "next_serial",
    "serial_of",
    "with_held",
    "with_serial",
    "without_serial",
]

SERIAL_MODULUS = 2**32

# RFC 1035 section 5.1: SOA, primary server, mailbox, then five numbers, usually in parentheses, the serial first.
_SOA = re.compile(
    r"^(?P<before>[^;\n]*\sSOA\s+\S+\s+\S+(?:\s*\((?:\s|;[^\n]*\n)*|\s+))(?P<serial>[^\s;()]+)",
    re.MULTILINE | re.IGNORECASE,
)


class ZoneError(ValueError):
    """The text is not a zone with one SOA record."""


def _soa(text: str) -> "re.Match[str]":
    found = _SOA.search(text)
    if found is None:
        raise ZoneError("there is no SOA record in the zone (RFC 1035 section 5.2: exactly one is needed)")
    return found


def serial_of(text: str) -> Optional[int]:
    """Return the serial in a zone text; None for a placeholder. Raises ZoneError without an SOA."""
    serial = _soa(text).group("serial")
    return int(serial) if serial.isdigit() and int(serial) < SERIAL_MODULUS else None


def with_serial(text: str, serial: object) -> str:
    """Return the zone text with another serial, all else untouched. Raises ZoneError without an SOA."""
    found = _soa(text)
    return text[: found.start("serial")] + str(serial) + text[found.end("serial") :]


def without_serial(text: str) -> str:
    """Return the zone text for comparison: equal texts mean that nothing but the serial differs."""
    return with_serial(text, "-")


def is_newer(one: int, other: int) -> bool:
    """Compare serials by RFC 1982 section 3.2: they are positions on a circle."""
    return 0 < (one - other) % SERIAL_MODULUS < SERIAL_MODULUS // 2


def next_serial(known: Iterable[int], today: dt.date) -> int:
    """Return a serial that a secondary holding any of ``known`` takes for newer.

    It is YYYYMMDD00 (RFC 1912 section 2.2) or, when that is not newer, the newest known one plus 1.
    """
    newest: Optional[int] = None
    for serial in known:
        if newest is None or is_newer(serial, newest):
            newest = serial
    dated = int(today.strftime("%Y%m%d00"))
    if newest is None or is_newer(dated, newest):
        return dated
    # Zero is left out: some servers take it for "none".
    return (newest + 1) % SERIAL_MODULUS or 1


def with_held(text: str, current: Optional[str], held: Sequence[Tuple[str, str]]) -> str:
    """Return the new text with the RRsets ``held`` (name, type) as ``current`` has them, or without them.

    ``current`` is the zone file on the host, None where there is none. Both are of our own making: one record a line,
    ``name TTL IN type data``, names with their final dot.
    """
    places = {(name.lower().rstrip("."), kind.upper()) for name, kind in held}
    new = _lines_at(text, places)
    old = _lines_at(current or "", places)
    if set(new) == set(old):
        return text  # line for line what was sent, so that its order decides nothing
    rest = [line for line in text.splitlines() if line not in new]
    return "\n".join(rest + old) + "\n"


def _lines_at(text: str, places: Set[Tuple[str, str]]) -> List[str]:
    found = []
    for line in text.splitlines():
        fields = line.split(None, 4)
        if len(fields) == 5 and (fields[0].lower().rstrip("."), fields[3].upper()) in places:
            found.append(line)
    return found
