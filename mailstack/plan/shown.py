"""The shown form of a plan: for each component a flat mapping of names to texts, which the engine compares.

So a reviewer sees in `pulumi preview --diff` what a change does: one line for each value that differs. A secret is a
value of its own: the engine tells which one changed, never what it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailstack.reach.bundle import code_digest

__all__ = ["Secret", "Shown", "flat", "shown_run"]

# What tells the entries of a list of mappings apart, best first. The rest of an entry is its value.
IDENTITIES = (("name", "type"), ("port", "protocol"), ("address", "port"), ("host", "port"), ("name",))


@dataclass(frozen=True)
class Secret:
    """A text that may only leave the program as a secret."""

    value: str = field(repr=False)


Shown = Mapping[str, str | Secret]


def shown_run(
    role: str, settings: Mapping[str, Any], secrets: Mapping[str, Any] | None = None, *, prefix: str = ""
) -> dict[str, str | Secret]:
    """Return what a role is told, name to text, and which code it runs."""
    found: dict[str, str | Secret] = dict(flat(settings, prefix))
    found |= {name: Secret(text) for name, text in flat(secrets or {}, prefix)}
    found[f"code of role {role}"] = code_digest(role)
    return found


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, text) for everything in plain JSON data.

    Names are the keys on the way, joined by ``/``. Entries of a list of mappings are named by what identifies them, so
    that one more of them is one more line; a list of texts is one line.
    """
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from flat(item, _joined(name, str(key)))
    elif isinstance(value, str | int | float) or value is None:
        yield name, _text(value)
    elif _is_pairs(value):
        for key, item in value:
            yield from flat(item, _joined(name, key))
    elif value and all(isinstance(item, Mapping) for item in value):
        for identity, item in _identified(value):
            yield from flat(item or "yes", _joined(name, identity))
    else:
        yield name, ", ".join(_text(item) for item in value)


def _joined(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _is_pairs(value: Sequence[Any]) -> bool:
    """Tell whether ``value`` is a mapping written as a list, because its order counts."""
    pairs = [item for item in value if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str)]
    return bool(value) and len(pairs) == len(value) and len({key for key, _ in pairs}) == len(pairs)


def _identified(entries: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for keys in IDENTITIES:
        if all(key in entry for entry in entries for key in keys):
            names = [" ".join(str(entry[key]) for key in keys) for entry in entries]
            if len(set(names)) == len(names):
                for name, entry in zip(names, entries, strict=True):
                    yield name, {key: item for key, item in entry.items() if key not in keys}
                return
    yield from ((str(number), entry) for number, entry in enumerate(entries))
