"""Reads an SPF record as a receiver does (RFC 7208 §4.6, §5, §6): anything it must refuse is a ``SpfError``.

``spf_terms`` reads what we are about to publish, and is stricter; this is for what stands in DNS, whoever put it there.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from mailstack.dns.addresses import IPNetwork
from mailstack.dns.names import NameRuleError
from mailstack.dns.spf_macros import spf_target
from mailstack.dns.spf_terms import LOOKUP_KINDS, MECHANISMS

__all__ = ["Spf", "SpfError", "Term", "read_spf", "spf_records"]

_MECHANISM = re.compile(
    r"([-+~?]?)([A-Za-z][A-Za-z0-9_.-]*)(?::((?:%\{[^}]*\}|[^/%]|%(?!\{[^}]*\}))*))?((?:/[0-9]+)?(?://[0-9]+)?)"
)
_MODIFIER = re.compile(r"([A-Za-z][A-Za-z0-9_.-]*)=(.*)")


class SpfError(ValueError):
    """The record makes a receiver answer permerror."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """A mechanism. ``target`` is its domain-spec, None where it is the record's own name; ``network`` of ip4 and ip6;
    ``lengths`` are the prefix lengths of a and mx, for IPv4 and IPv6.
    """

    text: str
    qualifier: str
    kind: str
    target: str | None = None
    network: IPNetwork | None = None
    lengths: tuple[int, int] = (32, 128)

    @property
    def costs(self) -> bool:
        """Tell whether it counts as a DNS lookup (§4.6.4)."""
        return self.kind in LOOKUP_KINDS


@dataclass(frozen=True, kw_only=True)
class Spf:
    """A record that was read. ``redirect`` is None where there is none, or where an ``all`` makes it void (§6.1)."""

    text: str
    terms: tuple[Term, ...]
    redirect: str | None
    has_redirect: bool

    @property
    def ending(self) -> str:
        """The qualifier of ``all``, empty where there is none."""
        return next((term.qualifier for term in self.terms if term.kind == "all"), "")

    @property
    def reached(self) -> tuple[Term, ...]:
        """The terms up to ``all``: what stands after it is never looked at (§5.1)."""
        place = next((place for place, term in enumerate(self.terms, 1) if term.kind == "all"), len(self.terms))
        return self.terms[:place]


def spf_records(values: Iterable[str]) -> list[str]:
    """Return those TXT values that a receiver takes for SPF records (§4.5)."""
    return [value for value in values if re.match(r"v=spf1(?: |\Z)", value, re.IGNORECASE)]


def read_spf(text: str) -> Spf:
    """Read a record. Raises ``SpfError`` for what is permerror."""
    if not text.isascii():
        raise SpfError("characters that are not ASCII")
    terms: list[Term] = []
    modifiers: dict[str, str] = {}
    for word in text.split(" ")[1:]:
        if not word:
            continue
        modifier = _MODIFIER.fullmatch(word)
        if modifier is None:
            terms.append(_mechanism(word))
        elif modifier[1].lower() in {"redirect", "exp"}:
            name = modifier[1].lower()
            if name in modifiers:
                raise SpfError(f"{name}= twice")
            modifiers[name] = _target(word, modifier[2])
    redirect = modifiers.get("redirect")
    decided = any(term.kind == "all" for term in terms)
    return Spf(
        text=text,
        terms=tuple(terms),
        redirect=None if decided else redirect,
        has_redirect=redirect is not None,
    )


def _mechanism(word: str) -> Term:
    match = _MECHANISM.fullmatch(word)
    if match is None:
        raise SpfError(f"{word!r} is no term")
    qualifier, kind, value, lengths = match[1] or "+", match[2].lower(), match[3], match[4]
    if kind not in MECHANISMS:
        raise SpfError(f"the unknown mechanism {word!r}")
    if kind == "all":
        if value is not None or lengths:
            raise SpfError(f"{word!r}: all takes nothing")
        return Term(text=word, qualifier=qualifier, kind=kind)
    if kind in {"ip4", "ip6"}:
        return Term(text=word, qualifier=qualifier, kind=kind, network=_network(word, kind))
    if value is None and kind in {"include", "exists"}:
        raise SpfError(f"{word!r} names no domain")
    if lengths and kind not in {"a", "mx"}:
        raise SpfError(f"{word!r}: {kind} takes no prefix length")
    target = None if value is None else _target(word, value)
    return Term(text=word, qualifier=qualifier, kind=kind, target=target, lengths=_lengths(word, lengths))


def _target(word: str, value: str) -> str:
    try:
        return spf_target(value)
    except NameRuleError as error:
        raise SpfError(f"{word!r}: {error.found}") from error


def _lengths(word: str, text: str) -> tuple[int, int]:
    four, _, six = text.partition("//")
    found = (int(four.removeprefix("/") or 32), int(six or 128))
    if found[0] > 32 or found[1] > 128:
        raise SpfError(f"{word!r}: a prefix length is too long")
    return found


def _network(word: str, kind: str) -> IPNetwork:
    address = word.partition(":")[2]
    try:
        network = ipaddress.ip_network(address, strict=False)
    except ValueError as error:
        raise SpfError(f"{word!r} has no address") from error
    if network.version != int(kind[-1]):
        raise SpfError(f"{word!r}: an IPv{network.version} address")
    return network
