"""Words that sentences for people share."""

from collections.abc import Iterable

__all__ = ["listed"]


def listed(names: Iterable[str], most: int) -> str:
    """Return names for a sentence; of more than ``most`` only the first, and how many more."""
    found = list(names)
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
