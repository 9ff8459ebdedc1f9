"""Where this machine asks: the Internet's resolvers, or those that a rehearsal or a flag names."""

from collections.abc import Mapping, Sequence

from mailstack.reach.environment import named_resolvers
from mailstack.verify.around import Around
from mailstack.verify.own_name import own_name

__all__ = ["around"]


def around(
    environment: Mapping[str, str],
    *,
    resolvers: Sequence[str] = (),
    own: str | None = None,
    seconds: float | None = None,
    helo: str | None = None,
) -> Around:
    """Return where questions go. ``resolvers`` and ``own`` win over the environment, ``seconds`` is for one question.

    Resolvers of the environment are asked in place of the system's own one too; where it names none on purpose, only
    those that a flag names are asked, or nobody. ``helo`` is what we say in EHLO; None: this machine's name.
    """
    told, usual = named_resolvers(environment), Around()
    closed = told == ()
    first = next(iter((*(told or ()), *(resolvers if closed else ()))), None)
    chosen = tuple(resolvers) or told or ((own,) if closed and own else usual.resolvers)
    return Around(
        resolvers=chosen,
        own_resolver=own or first,
        asks_nobody=closed and not resolvers and own is None,
        seconds=usual.seconds if seconds is None else seconds,
        helo=own_name() if helo is None else helo,
    )
