"""The sizes a relay in a container comes in."""

from dataclasses import dataclass

__all__ = ["TIERS", "Tier", "tier_for", "tier_within"]


@dataclass(frozen=True, kw_only=True)
class Tier:
    """Memory for up to so many messages a day, and how many processes of a kind fit into it.

    Measured (docs/benchmarks.md): 13 MB at rest, and about 3 MB for each client served at the same time, with what
    delivers its mail. Further clients wait for their turn, instead of a process being killed for lack of memory.
    """

    messages: int | None
    megabytes: int
    processes: int


TIERS = (
    Tier(messages=100, megabytes=128, processes=10),
    Tier(messages=1000, megabytes=256, processes=30),
    Tier(messages=None, megabytes=512, processes=80),
)


def tier_for(messages_per_day: int) -> Tier:
    """Return the smallest tier for ``messages_per_day``."""
    return next(tier for tier in TIERS if tier.messages is None or messages_per_day <= tier.messages)


def tier_within(megabytes: float) -> Tier:
    """Return the greatest tier that needs no more memory than this, of 1024 kB each; the smallest where none does."""
    return next((tier for tier in reversed(TIERS) if tier.megabytes <= megabytes), TIERS[0])
