"""The one error type of the rehearsal ground."""

__all__ = ["GroundError"]


class GroundError(RuntimeError):
    """Something on the rehearsal ground did not work.

    The message says what was tried, what the tool answered and what to do about it.
    """
