"""Writes a step of a DKIM rotation into a file of domains (``domains_file``): comments and all else stay as they are.

The file holds no key: a new one stands, encrypted, under ``dkim_keys`` of the stack file, and is named here.
"""

import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from mailstack.dns.names import normalise_name
from mailstack.dns.rotation import Step

__all__ = ["Place", "fresh_key", "place_of", "with_step"]

DATED = re.compile(r"-?20\d{4}[a-z]?\Z")
LETTERS = "bcdefghijklmnopqrstuvwxyz"
# A line that is longer stays one.
WIDTH = 10_000


@dataclass(frozen=True, kw_only=True)
class Place:
    """Whose keys a domain has: its own, or those of ``defaults``, which it shares with ``domains``, itself included."""

    shared: bool
    domains: tuple[str, ...]


def place_of(document: Mapping[str, Any], domain: str) -> Place:
    """Return where the keys of ``domain`` stand in a file of domains that was read. Raises LookupError."""
    entries = {_name(entry): entry for entry in document["domains"]}
    if _own(entries[domain]):
        return Place(shared=False, domains=(domain,))
    return Place(shared=True, domains=tuple(name for name, entry in entries.items() if not _own(entry)))


def _name(entry: Any) -> str:
    return normalise_name(str(entry["name"] if isinstance(entry, Mapping) else entry))


def _own(entry: Any) -> bool:
    return isinstance(entry, Mapping) and "dkim" in entry


def fresh_key(old: str, used: frozenset[str], today: date) -> str:
    """Return the name in ``dkim_keys`` of the key that follows ``old``: with the month, and a letter where it is used.

    Domains whose keys had one name get one again: then only the first of them makes it.
    """
    month = f"{DATED.sub('', old)}-{today:%Y%m}"
    return next(name for name in (month, *(f"{month}{letter}" for letter in LETTERS)) if name not in used)


def with_step(text: str, domain: str, step: Step, today: date, *, key: str | None) -> str:
    """Return the text of the file with the step taken; ``key`` is the name of the key to publish."""
    editor = YAML()
    editor.preserve_quotes, editor.width = True, WIDTH
    document, indent, offset = load_yaml_guess_indent(text, yaml=editor)
    place = place_of(document, domain)
    holder = document["defaults"] if place.shared else next(one for one in document["domains"] if _name(one) == domain)
    keys, day = holder["dkim"], DoubleQuotedScalarString(today.isoformat())
    entries = {str(one["selector"]): one for one in keys if "tenant" not in one}
    if step.action == "publish":
        keys.append({"selector": step.selector, "key": key, "published": day})
    elif step.action == "sign":
        entries[step.selector]["signing"] = day
        if step.retires is not None:
            entries[step.retires]["retired"] = day
    elif step.action == "revoke":
        entries[step.selector]["revoked"] = day
    else:
        keys.remove(entries[step.selector])
    editor.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    made = io.StringIO()
    editor.dump(document, made)
    return made.getvalue()
