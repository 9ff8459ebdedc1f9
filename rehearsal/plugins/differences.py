"""What differs between two sets of inputs, path by path, as a plugin tells the engine."""

from collections.abc import Iterator
from typing import Any

from pulumi.runtime.rpc import is_rpc_secret

from rehearsal.plugins.provider import plain

__all__ = ["differences"]


def differences(old: Any, new: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield (path, change) for every value that differs; ``change`` is add, update or delete.

    A secret is one value: what differs inside is not told. Whether a value is a secret makes no difference.
    """
    if is_rpc_secret(old) or is_rpc_secret(new):
        if plain(old) != plain(new):
            yield path, "update"
    elif isinstance(old, dict) and isinstance(new, dict):
        for key in dict.fromkeys([*old, *new]):
            inner = f"{path}.{key}" if path else key
            if key not in new or new[key] is None:
                if old.get(key) is not None:
                    yield inner, "delete"
            elif key not in old or old[key] is None:
                yield inner, "add"
            else:
                yield from differences(old[key], new[key], inner)
    elif isinstance(old, list) and isinstance(new, list):
        for index in range(max(len(old), len(new))):
            inner = f"{path}[{index}]"
            if index >= len(new):
                yield inner, "delete"
            elif index >= len(old):
                yield inner, "add"
            else:
                yield from differences(old[index], new[index], inner)
    elif old != new:
        yield path, "update"
