"""What a risk is, and words that all of them share."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mailstack import words

__all__ = ["LEVELS", "Level", "Risk", "listed", "within"]

Level = Literal["high", "medium", "low"]
LEVELS: dict[Level, str] = {
    "high": "mail can be lost, bounced or refused",
    "medium": "mail can be delayed, or judged otherwise by receivers",
    "low": "worth knowing",
}
NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Risk:
    """``what`` changes, the ``reason`` why that can cost mail, and ``advice`` on how it costs none.

    ``rule`` is the stable name of what found it. ``certain`` False: only where an encrypted value is really another.
    """

    level: Level
    rule: str
    what: str
    reason: str
    advice: str
    certain: bool = True


def listed(names: Iterable[str]) -> str:
    """Return names for a sentence; of many only the first."""
    return words.listed(names, NAMED)


def within(network: str, by: Iterable[str]) -> bool:
    """Tell whether a network (CIDR) is inside one of others."""
    inner = ipaddress.ip_network(network)
    others = [ipaddress.ip_network(one) for one in by]
    # An address of the other version is in no network.
    return any(inner.network_address in one and inner.broadcast_address in one for one in others)
