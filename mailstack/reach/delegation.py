"""Whom resolvers name: the name servers of a zone as its parent has them, the reverse names of an address."""

import ipaddress
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import dns.exception
import dns.resolver

from mailstack.reach.authority import QUESTION_SECONDS
from mailstack.reach.cloudflare import AT_ONCE
from mailstack.reach.resolvers import resolver_at

__all__ = ["delegations", "reverse_names"]

# Parents of all reverse names (RFC 3596 §2.5): a resolver that denies them knows nothing of the Internet's.
REVERSE_ZONES = {4: "in-addr.arpa", 6: "ip6.arpa"}
Kind = Literal["NS", "PTR"]


def delegations(
    zones: Collection[str], *, seconds: float, resolvers: Sequence[str] | None
) -> dict[str, frozenset[str]]:
    """Return the name servers of each zone, none for one that nobody has; zones without an answer are left out.

    ``resolvers`` as in ``look_by_dns``: None takes the system's, empty means to ask nobody.
    """
    return _named({zone: (zone, "NS") for zone in zones}, seconds, resolvers)


def reverse_names(
    addresses: Collection[str], *, seconds: float, resolvers: Sequence[str] | None
) -> dict[str, frozenset[str]]:
    """Return the reverse names (PTR) of each address, none for one without; those without an answer are left out.

    A resolver of a closed network denies every name outside: what it says is no answer. ``resolvers`` as above.
    """
    parsed = {address: ipaddress.ip_address(address) for address in addresses}
    parents = {REVERSE_ZONES[one.version] for one in parsed.values()}
    questions: dict[str, tuple[str, Kind]] = {text: (one.reverse_pointer, "PTR") for text, one in parsed.items()}
    found = _named({**questions, **{parent: (parent, "NS") for parent in parents}}, seconds, resolvers)
    known = {parent for parent in parents if found.get(parent)}
    return {
        text: found[text]
        for text, one in parsed.items()
        if text in found and (found[text] or REVERSE_ZONES[one.version] in known)
    }


def _named(
    questions: Mapping[str, tuple[str, Kind]], seconds: float, resolvers: Sequence[str] | None
) -> dict[str, frozenset[str]]:
    """Return the targets of NS or PTR records for each question that was answered."""
    if resolvers is not None and not resolvers:
        return {}
    deadline = time.monotonic() + seconds
    try:
        resolver = resolver_at(resolvers)
    except dns.resolver.NoResolverConfiguration:
        return {}

    def one(key: str) -> tuple[str, frozenset[str] | None]:
        name, kind = questions[key]
        left = min(deadline - time.monotonic(), QUESTION_SECONDS)
        if left <= 0:
            return key, None
        try:
            answer = resolver.resolve(name, kind, lifetime=left, search=False)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return key, frozenset()
        except (dns.exception.DNSException, OSError):
            return key, None
        return key, frozenset(str(found.target).rstrip(".").lower() for found in answer)

    with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
        return {key: names for key, names in pool.map(one, questions) if names is not None}
