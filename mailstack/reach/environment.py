"""Which resolvers the environment names. One meaning, for whoever asks DNS."""

from collections.abc import Mapping

__all__ = ["RESOLVERS", "named_resolvers"]

# A rehearsal sets it, and asks nobody outside.
RESOLVERS = "MAILSTACK_RESOLVERS"


def named_resolvers(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the resolvers of ``MAILSTACK_RESOLVERS``, addresses with commas between them.

    None where it is not set: the usual ones. Empty where it is set to nothing: nobody is asked.
    """
    told = environment.get(RESOLVERS)
    return None if told is None else tuple(filter(None, (one.strip() for one in told.split(","))))
