"""What a risk is, and words that all of them share."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from mailstack import words
from mailstack.plan import Plan

__all__ = ["LEVELS", "Level", "Risk", "called", "listed", "within"]

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


def called(before: Plan, after: Plan) -> dict[str, str]:
    """Return the hosts that have another name now, old name to new: machines that are reached at the same place."""
    places = {(one.connection.address, one.connection.port): name for name, one in after.hosts.items()}
    found = {
        name: places.get((one.connection.address, one.connection.port))
        for name, one in before.hosts.items()
        if name not in after.hosts
    }
    return {name: new for name, new in found.items() if new is not None and new not in before.hosts}


def within(network: str, by: Iterable[str]) -> bool:
    """Tell whether a network (CIDR) is inside one of others."""
    inner = ipaddress.ip_network(network)
    others = [ipaddress.ip_network(one) for one in by]
    # An address of the other version is in no network.
    return any(inner.network_address in one and inner.broadcast_address in one for one in others)
