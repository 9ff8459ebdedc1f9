"""Where this machine asks: the Internet's resolvers, or those that a rehearsal or a flag names."""

from collections.abc import Mapping, Sequence

from mailstack.verify.around import Around

__all__ = ["RESOLVERS", "around"]

# A rehearsal sets it, and asks nobody outside; the look at existing records reads it too (components/config.py).
RESOLVERS = "MAILSTACK_RESOLVERS"


def around(
    environment: Mapping[str, str],
    *,
    resolvers: Sequence[str] = (),
    own: str | None = None,
    seconds: float | None = None,
) -> Around:
    """Return where questions go. ``resolvers`` and ``own`` win over the environment, ``seconds`` is for one question.

    Resolvers of the environment are asked in place of the system's own one too.
    """
    told = tuple(filter(None, environment.get(RESOLVERS, "").split(",")))
    usual = Around()
    return Around(
        resolvers=tuple(resolvers) or told or usual.resolvers,
        own_resolver=own or (told[0] if told else None),
        seconds=usual.seconds if seconds is None else seconds,
    )
