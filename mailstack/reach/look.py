"""Looks at what zones hold: through Cloudflare's API, or by asking their authoritative name servers.

Everything is bounded: one time budget for all, a few questions at once. What could not be looked at is said, zone by
zone; nothing is raised for a network that does not answer.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from mailstack.dns import Record
from mailstack.dns.existing import Existing
from mailstack.reach.cloudflare import AT_ONCE, CloudflareApi, CloudflareError

__all__ = ["Look", "look_at_cloudflare", "look_by_dns"]


@dataclass(frozen=True, kw_only=True)
class Look:
    """What was seen, and why the rest was not: zone to reason."""

    existing: tuple[Existing, ...] = ()
    not_seen: Mapping[str, str] = field(default_factory=dict)


def look_at_cloudflare(api: CloudflareApi, zones: Mapping[str, str]) -> Look:
    """Return all records of ``zones`` (name to ID)."""

    def one(zone: str) -> tuple[str, list[Existing] | str]:
        try:
            return zone, [Existing.at_cloudflare(zone, zones[zone], shown) for shown in api.records(zones[zone])]
        except CloudflareError as error:
            return zone, str(error)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = list(pool.map(one, zones))
    return _look(answers)


def look_by_dns(
    wanted: Mapping[str, Sequence[Record]], *, seconds: float, ours: Collection[str], resolvers: Sequence[str] | None
) -> Look:
    """Return what the zones' authoritative servers answer at the names of ``wanted`` (zone to declared records).

    A zone that is delegated to ``ours`` (our own name servers) holds only what we put there and is left out.
    ``resolvers`` are asked for the delegation, as ``address`` or ``address:port``; None takes the system's, and an
    empty list means to ask nobody.
    """
    if resolvers is not None and not resolvers:
        return Look(not_seen=dict.fromkeys(wanted, "there is no resolver to ask"))
    # Only a stack that looks pays for what this needs.
    from mailstack.reach.authority import Authority  # noqa: PLC0415

    deadline = time.monotonic() + seconds

    def one(zone: str) -> tuple[str, list[Existing] | str]:
        return zone, Authority(zone, deadline, resolvers).records(wanted[zone], frozenset(ours))

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        answers = list(pool.map(one, wanted))
    return _look(answers)


def _look(answers: Sequence[tuple[str, list[Existing] | str]]) -> Look:
    return Look(
        existing=tuple(record for _, seen in answers if not isinstance(seen, str) for record in seen),
        not_seen={zone: seen for zone, seen in answers if isinstance(seen, str)},
    )
