"""How long something lasts already, in a person's words, and when it began: one way for every command."""

import time

__all__ = ["age", "ago"]

DAY = 86400


def age(seconds: float) -> str:
    """Return a time that has passed as a person says it: 42 s, 5 min, 3 h, 2 days; below two days in hours."""
    for size, unit in ((DAY, "days"), (3600, "h"), (60, "min")):
        if seconds >= (2 * size if size == DAY else size):
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def ago(seconds: float) -> float:
    """Return when that was, in seconds since 1970. Logs are asked for by these, and none is older."""
    return max(0.0, time.time() - seconds)
