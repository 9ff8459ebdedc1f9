"""MTA-STS policies of a stack: which are served, and how one goes without mail being lost (RFC 8461 §8.3)."""

from collections.abc import Collection, Iterable, Iterator

from mailstack.caddy.definition import MtaStsPolicy
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.model import Settings
from mailstack.settings.problems import Problem

__all__ = ["abandoned_policies", "served_policies"]

PREFIX = "_mta-sts."


def served_policies(caddy: Caddy) -> Iterator[MtaStsPolicy]:
    """Yield the policies that are served and told of."""
    for declared in caddy.mta_sts:
        if declared.mode != "removed":
            yield MtaStsPolicy(domain=declared.domain, mode=declared.mode, mx=declared.mx, max_age=declared.max_age)


def abandoned_policies(before: Iterable[str], now: Collection[str], settings: Settings) -> Iterator[Problem]:
    """Yield policies whose record was there (``before``: record names) and is not in ``now``, without the way out.

    A domain that is not declared any more is somebody else's, its policy too.
    """
    policies = () if settings.caddy is None else settings.caddy.mta_sts
    left = {policy.domain for policy in policies if policy.mode == "removed"}
    kept = {domain.name for domain in settings.domains} - left
    for name in sorted(set(before) - set(now)):
        domain = name.removeprefix(PREFIX)
        if name.startswith(PREFIX) and domain in kept:
            yield Problem(
                field="caddy.mta_sts",
                value=domain,
                rule="was published, and its entry is gone: senders that know the policy go by it for its max_age, and "
                "defer mail once it matches no more",
                fix=f"put the entry of {domain} back with mode none and `none_since`, the day of that update; after "
                "max_age set mode removed; after that update take the entry away",
            )
