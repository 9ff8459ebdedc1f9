"""The shown form of a plan: for each component a flat mapping of names to texts, which the engine compares.

So a reviewer sees in `pulumi preview --diff` what a change does: one line for each value that differs. A secret is a
value of its own: the engine tells which one changed, never what it is.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mailstack.reach.bundle import code_digest

__all__ = ["Secret", "Seen", "Shown", "flat", "seen_of", "shown_for_all", "shown_run", "versioned"]

# What tells the entries of a list of mappings apart, best first. The rest of an entry is its value.
IDENTITIES = (("name", "type"), ("port", "protocol"), ("address", "port"), ("host", "port"), ("name",))


@dataclass(frozen=True)
class Secret:
    """A text that may only leave the program as a secret.

    The engine hides old and new value alike, so a change of it would not be seen. ``version`` is shown beside it and
    goes up by one with every change; a digest of the value would help those who guess passwords.
    """

    value: str = field(repr=False)
    version: int = 1

    @property
    def digest(self) -> str:
        """Return what tells two values apart. It is kept as a secret, too."""
        return hashlib.sha256(self.value.encode()).hexdigest()


Shown = Mapping[str, str | Secret]
# Name of a secret to its digest and version, as the last update left them.
Seen = Mapping[str, tuple[str, int]]


def versioned(shown: Shown, seen: Seen) -> Shown:
    """Return ``shown`` with the version of each secret: that of ``seen``, one more where the value is another."""

    def one(name: str, secret: Secret) -> Secret:
        digest, version = seen.get(name, (secret.digest, 1))
        return Secret(secret.value, version if digest == secret.digest else version + 1)

    return {name: one(name, text) if isinstance(text, Secret) else text for name, text in shown.items()}


def seen_of(shown: Shown) -> dict[str, list[str | int]]:
    """Return what ``versioned`` has to be given the next time, as plain JSON."""
    return {name: [text.digest, text.version] for name, text in shown.items() if isinstance(text, Secret)}


def shown_run(
    role: str, settings: Mapping[str, Any], secrets: Mapping[str, Any] | None = None, *, prefix: str = ""
) -> dict[str, str | Secret]:
    """Return what a role is told, name to text, and which code it runs."""
    found: dict[str, str | Secret] = dict(flat(settings, prefix))
    found |= {name: Secret(text) for name, text in flat(secrets or {}, prefix)}
    found[f"code of role {role}"] = code_digest(role)
    return found


def shown_for_all(by_host: Mapping[str, Shown]) -> Shown:
    """Return what is shown for several hosts: once what is the same for all, below the host's name what is not.

    Of a text with several lines that differs, the lines that all have are shown once too.
    """
    if len(by_host) < 2:
        return next(iter(by_host.values()), {})
    first = next(iter(by_host.values()))
    same = {name: text for name, text in first.items() if all(shown.get(name) == text for shown in by_host.values())}
    found: dict[str, str | Secret] = dict(same)
    common: dict[str, list[str]] = {}
    for name in first.keys() - same.keys():
        texts = [shown.get(name) for shown in by_host.values()]
        if all(isinstance(text, str) and "\n" in text for text in texts):
            lines = [str(text).splitlines() for text in texts]
            common[name] = [line for line in lines[0] if all(line in other for other in lines)]
    found |= {name: "\n".join(lines) for name, lines in common.items()}
    for host, shown in by_host.items():
        for name in (name for name in shown if name not in same):
            text = shown[name]
            if name in common:
                text = "\n".join(line for line in str(text).splitlines() if line not in common[name])
            found[f"{host}/{name}"] = text
    return found


def flat(value: Any, name: str = "") -> Iterator[tuple[str, str]]:
    """Yield (name, text) for everything in plain JSON data.

    Names are the keys on the way, joined by ``/``. Entries of a list of mappings are named by what identifies them, so
    that one more of them is one more line; a list of texts is one line. What is not set is not shown.
    """
    if value is None or value == []:
        return
    if isinstance(value, Mapping):
        if list(value) == ["platform"]:  # see mailstack.postfix.render.Reference
            yield name, f"({value['platform']} of the host)"
            return
        for key, item in value.items():
            yield from flat(item, _joined(name, str(key)))
    elif isinstance(value, str | int | float):
        yield name, _text(value)
    elif _is_pairs(value):
        for key, item in value:
            yield from flat(item, _joined(name, key))
    elif all(isinstance(item, Mapping) for item in value):
        for identity, item in _identified(value):
            yield from flat(item or "yes", _joined(name, identity))
    else:
        yield name, ", ".join(_text(item) for item in value)


def _joined(name: str, key: str) -> str:
    return f"{name}/{key}" if name else key


def _text(value: Any) -> str:
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
