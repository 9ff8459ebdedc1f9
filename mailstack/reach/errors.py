"""Errors that several ways of looking share."""

__all__ = ["DriftError"]


class DriftError(RuntimeError):
    """A look for differences could not be taken; the text names where, and carries the last lines of its output."""
