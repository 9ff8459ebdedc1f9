"""``mailstack drift``: each way of looking in its turn, and what all of them found."""

import json
from collections.abc import Callable, Mapping

from cli.common import say, tell
from mailstack.settings.stackfile import StackFileError

__all__ = ["EXIT_DRIFT", "show_drift"]

# The exit code of a role's --check too.
EXIT_DRIFT = 2
NAMES = {"engine": "the engine's preview with a refresh", "hosts": "hosts, containers, objects and records"}


def show_drift(stack: str, looks: Mapping[str, Callable[[], list[str]]], *, as_json: bool) -> int:
    """Take every look, and tell people or machines. A look that fails does not keep the others from being taken.

    Returns 2 where something differs, else 1 where something was not seen, else 0.
    """
    found: dict[str, list[str]] = {}
    not_seen: dict[str, str] = {}
    for source, look in looks.items():
        tell(f"looking: {NAMES[source]}")
        try:
            found[source] = look()
        except (RuntimeError, StackFileError) as error:  # each says what could not be looked at, and why
            not_seen[source] = str(error)
    count = sum(map(len, found.values()))
    if as_json:
        differences = [
            {"source": source, "resource": resource if what else None, "what": what or resource}
            for source, sentences in found.items()
            for resource, _, what in (sentence.partition(": ") for sentence in sentences)
        ]
        looked = {source: source in found for source in NAMES}
        say(json.dumps({"stack": stack, "looked": looked, "not_seen": not_seen, "differences": differences}, indent=2))
    else:
        for sentence in (sentence for sentences in found.values() for sentence in sentences):
            say(f"drift: {sentence}")
        for source, why in not_seen.items():
            say(f"not seen: {NAMES[source]}: {why}")
        if count or not not_seen:
            say(f"{count} differences" if count else "hosts, objects and records are as declared")
    return EXIT_DRIFT if count else int(bool(not_seen))
