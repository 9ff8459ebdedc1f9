"""Arithmetic of the bench: pure functions on plain numbers, tested without a host."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

__all__ = ["drain_rate", "median", "paired_ratios", "rate", "spread"]

MIN_DRAIN_SECONDS = 0.5
MIN_DRAIN_SHARE = 0.1


def median(values: Sequence[float]) -> float:
    """Middle value (mean of the two middle ones for an even count); ValueError when there is none."""
    if not values:
        raise ValueError("median of no values: a measurement needs at least one repetition")
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """How far runs lie apart: (largest - smallest) / median, 0.0 for a single run."""
    middle = median(values)
    if middle <= 0:
        raise ValueError(f"spread needs positive values, got median {middle}")
    return (max(values) - min(values)) / middle


def rate(count: int, seconds: float) -> float:
    """Messages per second; ValueError for a time that is not positive."""
    if seconds <= 0:
        raise ValueError(f"{count} messages in {seconds} s: the clock went backwards or nothing was timed")
    return count / seconds


def paired_ratios(candidate: Sequence[float], base: Sequence[float]) -> list[float]:
    """Candidate / base, repetition by repetition.

    The two runs of one repetition follow each other directly, so whatever else the machine was doing
    weighs on both; the median of these ratios is steadier than the ratio of the medians.
    """
    if len(candidate) != len(base):
        raise ValueError(f"{len(candidate)} candidate runs and {len(base)} base runs cannot be paired")
    return [rate_of / other for rate_of, other in zip(candidate, base, strict=True)]


def drain_rate(*, total: int, left: int, seconds: float) -> float | None:
    """Messages per second delivered after injection ended, None when there was no backlog to speak of.

    `left` of `total` messages were still to arrive when the last one was injected, and took `seconds`.
    A relay that keeps pace leaves a handful, whose rate says nothing.
    """
    if not 0 <= left <= total:
        raise ValueError(f"{left} of {total} messages left: counts do not fit")
    if left < total * MIN_DRAIN_SHARE or seconds < MIN_DRAIN_SECONDS:
        return None
    return left / seconds
