"""What the environment says of where to look: the resolvers, and the folder of the stack files. One meaning each."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

__all__ = ["PROJECT_VARIABLE", "RESOLVERS", "named_resolvers", "resolving"]

# A rehearsal sets it, and asks nobody outside.
RESOLVERS = "MAILSTACK_RESOLVERS"
# Where the stack files are, when that is not the project itself; `mailstack demo` sets it, by what a rehearsal left.
PROJECT_VARIABLE = "MAILSTACK_PROJECT"


def named_resolvers(environment: Mapping[str, str]) -> tuple[str, ...] | None:
    """Return the resolvers of ``MAILSTACK_RESOLVERS``, addresses with commas between them.

    None where it is not set: the usual ones. Empty where it is set to nothing: nobody is asked.
    """
    told = environment.get(RESOLVERS)
    return None if told is None else tuple(filter(None, (one.strip() for one in told.split(","))))


@contextmanager
def resolving(environment: Mapping[str, str]) -> Iterator[None]:
    """Within it, connections by name ask the resolvers of ``MAILSTACK_RESOLVERS``, where it names any."""
    told = named_resolvers(environment)
    if not told:
        yield
        return
    import dns.resolver  # noqa: PLC0415 - slow to load, and few commands come here

    resolver = dns.resolver.Resolver(configure=False)
    resolver.nameservers = list(told)
    dns.resolver.override_system_resolver(resolver)
    try:
        yield
    finally:
        dns.resolver.restore_system_resolver()
