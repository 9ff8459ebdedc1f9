"""Whom the world asks about a zone: the name servers its parent names, as resolvers see them."""

import time
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor

import dns.exception
import dns.resolver

from mailstack.reach.authority import QUESTION_SECONDS
from mailstack.reach.cloudflare import AT_ONCE
from mailstack.reach.resolvers import resolver_at

__all__ = ["delegations"]


def delegations(
    zones: Collection[str], *, seconds: float, resolvers: Sequence[str] | None
) -> dict[str, frozenset[str]]:
    """Return the name servers of each zone, none for one that nobody has; zones without an answer are left out.

    ``resolvers`` as in ``look_by_dns``: None takes the system's, empty means to ask nobody.
    """
    if resolvers is not None and not resolvers:
        return {}
    deadline = time.monotonic() + seconds
    resolver = resolver_at(resolvers)

    def one(zone: str) -> tuple[str, frozenset[str] | None]:
        left = min(deadline - time.monotonic(), QUESTION_SECONDS)
        if left <= 0:
            return zone, None
        try:
            answer = resolver.resolve(zone, "NS", lifetime=left, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return zone, frozenset()
        except (dns.exception.DNSException, OSError):
            return zone, None
        return zone, frozenset(str(found.target).rstrip(".").lower() for found in answer)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return {zone: servers for zone, servers in pool.map(one, zones) if servers is not None}
