"""Finds the DMARC record that counts for a name, and the organizational domain of one (RFC 9989 §4.10).

By hand: checkdmarc decides by the Public Suffix List, which RFC 9989 replaced.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mailstack.dns.tags import tags_of
from mailstack.verify.answer import Answer
from mailstack.verify.context import Context

__all__ = ["Walked", "dmarc_records", "organizational_domain", "walk"]

MOST_QUERIES = 8
_RECORD = re.compile(r"v[ \t]*=[ \t]*DMARC1[ \t]*(?:;|\Z)")


def dmarc_records(values: Iterable[str]) -> list[str]:
    """Return those TXT values that are DMARC records (RFC 9989 §4.7)."""
    return [value for value in values if _RECORD.match(value)]


@dataclass(frozen=True, kw_only=True)
class Walked:
    """One step: the name whose ``_dmarc`` was asked for, and its tags, empty where there is no (single) record."""

    name: str
    answer: Answer
    tags: dict[str, str]


def _names(name: str) -> Iterator[str]:
    """Yield the name, then its parents; of a long name the first parent asked has seven labels (§4.10)."""
    yield name
    labels = name.split(".")
    labels = labels[-(MOST_QUERIES - 1) :] if len(labels) > MOST_QUERIES else labels[1:]
    for start in range(len(labels)):
        yield ".".join(labels[start:])


def walk(context: Context, name: str) -> list[Walked]:
    """Ask up the tree, from the name to the top, or to a record that says where to stop (psd)."""
    found: list[Walked] = []
    for step in _names(name):
        # What is above the name is mostly not ours: the resolver knows.
        ask = context.dns.look if step == name else context.dns.follow
        answer = ask(f"_dmarc.{step}", "TXT")
        records = dmarc_records(answer.values)
        tags = (tags_of(records[0]) or {}) if len(records) == 1 else {}
        found.append(Walked(name=step, answer=answer, tags=tags))
        if tags.get("psd", "").lower() == "n" or (tags.get("psd", "").lower() == "y" and step != name):
            break
    return found


def organizational_domain(context: Context, name: str) -> str:
    """Return the organizational domain of a name (§4.10.2); the name itself where nothing tells."""
    walked = [step for step in walk(context, name) if step.tags]
    for step in walked:
        if step.tags.get("psd", "").lower() == "n":
            return step.name
        if step.tags.get("psd", "").lower() == "y" and step.name != name:
            below = name.removesuffix(f".{step.name}").rpartition(".")[2]
            return f"{below}.{step.name}"
    return walked[-1].name if walked else name
