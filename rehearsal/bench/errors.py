"""The one error that callers of the bench have to know."""

from __future__ import annotations

__all__ = ["BenchError"]


class BenchError(Exception):
    """Something could not be measured; the message says what was seen and what to do."""
