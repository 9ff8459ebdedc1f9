"""What an SPF record costs a receiver, followed through everybody's records (RFC 7208 §4.6.4).

Pure: whoever calls brings the answers of DNS, as a function. Counted is the dearest message, one that matches nothing:
then every term is evaluated. Each term counts once in each place where it is evaluated, as receivers count.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

from mailstack.dns.spf_read import SpfError, Term, read_spf, spf_records
from mailstack.dns.spf_terms import network_text

__all__ = [
    "MAX_LOOKUPS",
    "MAX_MX_HOSTS",
    "MAX_VOIDS",
    "NOT_ASKED",
    "TYPES",
    "Answers",
    "Ask",
    "Kind",
    "Question",
    "Reply",
    "SpfFault",
    "SpfNode",
    "SpfTree",
    "answered_by",
    "expand",
]

MAX_LOOKUPS = 10  # terms that make a receiver ask DNS (RFC 7208 §4.6.4)
MAX_VOIDS = 2  # of these, terms whose answer is empty (same place)
MAX_MX_HOSTS = 10  # names behind one "mx" term (same place)
# Beyond this nothing is followed: the record is refused whatever the rest costs.
ENOUGH = 10 * MAX_LOOKUPS

Kind = Literal["TXT", "A", "MX"]
Question = tuple[str, Kind]  # "A" stands for both kinds of address
TYPES: Mapping[Kind, tuple[str, ...]] = MappingProxyType({"TXT": ("TXT",), "A": ("A", "AAAA"), "MX": ("MX",)})
_FOUR, _SIX = 32, 128  # bits of an address


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What DNS said: the texts of all TXT records, addresses, or "preference host" of MX; empty where there are none.

    ``why`` is the reason that nothing is known: nobody was asked, or nobody answered.
    """

    values: tuple[str, ...] = ()
    why: str = ""

    @property
    def known(self) -> bool:
        """Tell an empty answer from none."""
        return not self.why


NOT_ASKED = Reply(why="nobody was asked")
Answers = Mapping[Question, Reply]
Ask = Callable[[str, Kind], Reply]


@dataclass(frozen=True, kw_only=True)
class SpfFault:
    """Something in the tree that receivers answer with permerror, or that nobody could look at.

    ``path`` are the terms that lead to it, from the domain's own record on. ``kind``: "missing" (no SPF record),
    "two" (several), "loop", "syntax", "mx-hosts" or "unknown".
    """

    path: tuple[str, ...]
    kind: Literal["missing", "two", "loop", "syntax", "mx-hosts", "unknown"]
    detail: str

    def __str__(self) -> str:
        """Say where and what."""
        return f"{' -> '.join(self.path)}: {self.detail}"


@dataclass(frozen=True, kw_only=True)
class SpfNode:
    """One term that costs a lookup. ``lookups`` and ``voids`` hold those below it; ``sure``: all of it was seen.

    ``addresses`` are the networks that pass by it, where all of it can be written as addresses; else None.
    """

    term: str
    lookups: int = 1
    voids: int = 0
    sure: bool = True
    target: str | None = None
    children: tuple["SpfNode", ...] = ()
    addresses: tuple[str, ...] | None = None

    def __str__(self) -> str:
        """Say what it costs, with the records below it: "include:a.example 5 (include:b.example 3)"."""
        inner = [str(child) for child in self.children if child.target is not None]
        return f"{self.term} {self.lookups}" + (f" ({'; '.join(inner)})" if inner else "")

    def empty(self, above: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
        """Yield the ways to the terms whose own answer is empty."""
        path = (*above, self.term)
        if self.voids > sum(child.voids for child in self.children):
            yield path
        for child in self.children:
            yield from child.empty(path)

    def targets(self) -> Iterator[str]:
        """Yield the names of all records this term leads to."""
        if self.target is not None:
            yield self.target
        for child in self.children:
            yield from child.targets()


@dataclass(frozen=True, kw_only=True)
class SpfTree:
    """A record and all it leads to."""

    name: str
    nodes: tuple[SpfNode, ...]
    faults: tuple[SpfFault, ...]
    networks: tuple[str, ...] = ()

    @property
    def lookups(self) -> int:
        """Lookups of the whole record; its own TXT record is free."""
        return sum(node.lookups for node in self.nodes)

    @property
    def voids(self) -> int:
        """Terms whose answer is empty."""
        return sum(node.voids for node in self.nodes)

    @property
    def sure(self) -> bool:
        """Tell whether everything was seen."""
        return all(node.sure for node in self.nodes)

    @property
    def addresses(self) -> tuple[str, ...] | None:
        """The networks that pass, where the whole record can be written so; else None."""
        return _joined(self.networks, self.nodes)

    def listing(self) -> str:
        """Name what costs, in the record's order."""
        return ", ".join(map(str, self.nodes))


def answered_by(answers: Answers) -> Ask:
    """Return what answers out of ``answers``; what is not in them was not asked."""
    return lambda name, kind: answers.get((name, kind), NOT_ASKED)


def expand(name: str, text: str, ask: Ask, assumed: Mapping[str, int] | None = None) -> SpfTree:
    """Follow the record ``text`` of ``name``. ``assumed`` are costs of targets that are used where nobody answers."""
    walk = _Walk(ask, assumed or {})
    nodes, networks = walk.record(name, text, (), (name,))
    return SpfTree(name=name, nodes=nodes, faults=tuple(walk.faults), networks=networks)


def _joined(networks: Sequence[str], nodes: Sequence[SpfNode]) -> tuple[str, ...] | None:
    found = list(networks)
    for node in nodes:
        if node.addresses is None:
            return None
        found += node.addresses
    return tuple(found)


class _Walk:
    """One evaluation: what it meets is collected on the way."""

    def __init__(self, ask: Ask, assumed: Mapping[str, int]) -> None:
        self.ask = ask
        self.assumed = assumed
        self.faults: list[SpfFault] = []
        self.spent = 0

    def record(
        self, name: str, text: str, path: tuple[str, ...], trail: tuple[str, ...]
    ) -> tuple[tuple[SpfNode, ...], tuple[str, ...]]:
        """Return the terms that cost, and the networks the record itself names with a pass."""
        try:
            record = read_spf(text)
        except SpfError as error:
            self._fault(path, "syntax", f"the record of {name} is wrong: {error}")
            return (), ()
        nodes: list[SpfNode] = []
        networks: list[str] = []
        for term in record.reached:
            passes = term.qualifier == "+"
            if term.network is not None:
                networks += [network_text(term.network)] if passes else []
            elif term.costs:
                node = self._term(name, term, path, trail)
                # What does not pass lets nobody in: it holds no address that would have to be written. And an exception
                # ahead of a wider pass cannot be said with addresses alone.
                nodes.append(node if passes else replace(node, addresses=None))
        if record.redirect is not None:
            nodes.append(self._followed(f"redirect={record.redirect}", record.redirect, path, trail))
        return tuple(nodes), tuple(networks)

    def _term(self, name: str, term: Term, path: tuple[str, ...], trail: tuple[str, ...]) -> SpfNode:
        self.spent += 1
        target = term.target or name
        if term.kind == "include":
            return self._followed(term.text, target, path, trail)
        if "%" in target or term.kind == "ptr" or self.spent > ENOUGH:
            return SpfNode(term=term.text)
        if term.kind == "exists":
            reply = self._asked(target, "A", (*path, term.text))
            return SpfNode(term=term.text, voids=int(reply.known and not reply.values), sure=reply.known)
        return self._addressed(term, target, (*path, term.text))

    def _addressed(self, term: Term, asked: str, here: tuple[str, ...]) -> SpfNode:
        """Follow an a or mx term. It is void at most once, however many addresses are asked for."""
        hosts: tuple[str, ...] = (asked,)
        if term.kind == "mx":
            reply = self._asked(asked, "MX", here)
            if not reply.known or not reply.values:
                return SpfNode(term=term.text, voids=int(reply.known), sure=reply.known)
            hosts = tuple(host for value in reply.values if (host := value.split()[-1].lower().rstrip(".")))
            if len(hosts) > MAX_MX_HOSTS:
                self._fault(here, "mx-hosts", f"{asked} has {len(hosts)} exchangers; {MAX_MX_HOSTS} are the limit")
        replies = [self._asked(host, "A", here) for host in hosts[: MAX_MX_HOSTS + 1]]
        sure = all(reply.known for reply in replies)
        found = tuple(value + _length_of(value, term.lengths) for reply in replies for value in reply.values)
        return SpfNode(term=term.text, voids=int(sure and not found), sure=sure, addresses=found if sure else None)

    def _followed(self, item: str, name: str, path: tuple[str, ...], trail: tuple[str, ...]) -> SpfNode:
        here = (*path, item)
        if "%" in name:
            return SpfNode(term=item, lookups=self.assumed.get(name, 1))  # nobody can tell without a message
        if name in trail:
            self._fault(here, "loop", " -> ".join((*trail[trail.index(name) :], name)))
            return SpfNode(term=item, target=name)
        if self.spent > ENOUGH or len(trail) > MAX_LOOKUPS:
            return SpfNode(term=item, target=name)
        reply = self._asked(name, "TXT", here)
        if not reply.known:
            return SpfNode(term=item, target=name, lookups=self.assumed.get(name, 1), sure=False)
        records = spf_records(reply.values)
        if len(records) != 1:
            what = f"{name} has {len(records)} SPF records" if records else f"{name} has no SPF record"
            self._fault(here, "two" if records else "missing", what)
            return SpfNode(term=item, target=name, voids=int(not reply.values))
        children, networks = self.record(name, records[0], here, (*trail, name))
        return SpfNode(
            term=item,
            target=name,
            lookups=1 + sum(child.lookups for child in children),
            voids=sum(child.voids for child in children),
            sure=all(child.sure for child in children),
            children=children,
            addresses=_joined(networks, children),
        )

    def _asked(self, name: str, kind: Kind, path: tuple[str, ...]) -> Reply:
        reply = self.ask(name, kind)
        if not reply.known:
            self._fault(path, "unknown", f"{name} {kind}: {reply.why}")
        return reply

    def _fault(
        self,
        path: tuple[str, ...],
        kind: Literal["missing", "two", "loop", "syntax", "mx-hosts", "unknown"],
        detail: str,
    ) -> None:
        self.faults.append(SpfFault(path=path, kind=kind, detail=detail))


def _length_of(address: str, lengths: tuple[int, int]) -> str:
    """Return the prefix length for one address, nothing where it is the whole of it."""
    length, whole = (lengths[1], _SIX) if ":" in address else (lengths[0], _FOUR)
    return "" if length == whole else f"/{length}"
