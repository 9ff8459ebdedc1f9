"""Addresses behind SPF includes, kept in a file: a plan writes them into records without asking anybody.

{"spf.newsletter.example": {"seen": "2026-11-29", "networks": ["198.51.100.0/25", "2001:db8::/48"]}}
"""

import ipaddress
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from mailstack.dns.addresses import IPNetwork

__all__ = ["OLD_AFTER", "SPF_LOCK", "Flattened", "SpfLockError", "merged_networks", "read_lock", "split", "write_lock"]

SPF_LOCK = "spf.lock.json"
OLD_AFTER = timedelta(days=14)
SPLIT_BYTES = 450  # of a record: room for other TXT data in a 512-byte answer (RFC 7208 §3.4)
_FRAME_BYTES = len("v=spf1  ~all")


class SpfLockError(ValueError):
    """The file of addresses cannot be used; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Flattened:
    """What stood behind one include on a day: networks, merged and sorted."""

    seen: date
    networks: tuple[str, ...]

    @property
    def mechanisms(self) -> tuple[str, ...]:
        """The terms to write instead of the include."""
        found = (ipaddress.ip_network(text) for text in self.networks)
        return tuple(
            f"ip{network.version}:"
            + (str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network))
            for network in found
        )

    def missing_of(self, networks: Iterable[str]) -> tuple[str, ...]:
        """Return which of ``networks`` are in none of these: mail from there would fail."""
        held = [ipaddress.ip_network(text) for text in self.networks]
        return tuple(
            str(network)
            for network in map(_network, merged_networks(networks))
            if not any(_in(network, h) for h in held)
        )


def _network(text: str) -> IPNetwork:
    return ipaddress.ip_network(text, strict=False)


def _in(inner: IPNetwork, outer: IPNetwork) -> bool:
    if isinstance(inner, ipaddress.IPv4Network):
        return isinstance(outer, ipaddress.IPv4Network) and inner.subnet_of(outer)
    return isinstance(outer, ipaddress.IPv6Network) and inner.subnet_of(outer)


def merged_networks(networks: Iterable[str]) -> tuple[str, ...]:
    """Return networks in the fewest pieces that hold exactly the same addresses, IPv4 first. Raises ValueError."""
    found = [_network(text) for text in networks]
    four = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(one for one in found if isinstance(one, ipaddress.IPv6Network))
    return (*map(str, four), *map(str, six))


def split(mechanisms: Iterable[str], room: int = SPLIT_BYTES) -> tuple[tuple[str, ...], ...]:
    """Return the terms in groups, each a record of at most ``room`` bytes."""
    groups: list[list[str]] = []
    size = room
    for term in mechanisms:
        if size + 1 + len(term) > room:
            groups.append([])
            size = _FRAME_BYTES
        groups[-1].append(term)
        size += 1 + len(term)
    return tuple(map(tuple, groups))


def read_lock(text: str) -> dict[str, Flattened]:
    """Return include name to addresses. Raises SpfLockError for a text that ``write_lock`` did not write."""
    try:
        document: Any = json.loads(text)
        return {
            str(name): Flattened(seen=date.fromisoformat(entry["seen"]), networks=merged_networks(entry["networks"]))
            for name, entry in document.items()
        }
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise SpfLockError(f"is not a file that `mailstack dns flatten` wrote ({why})") from None


def write_lock(entries: Mapping[str, Flattened]) -> str:
    """Return the file: sorted, one address a line, so that a review shows what changed."""
    document = {
        name: {"seen": entry.seen.isoformat(), "networks": list(entry.networks)}
        for name, entry in sorted(entries.items())
    }
    return json.dumps(document, indent=2) + "\n"
