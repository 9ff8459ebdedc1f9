"""What an SPF record costs a receiver, followed through everybody's records (RFC 7208 §4.6.4).

Pure: whoever calls brings the answers of DNS, as a function. Counted is the dearest message, one that matches nothing:
then every term is evaluated. Each term counts once in each place where it is evaluated, as receivers count.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mailstack.dns.names import NameRuleError, normalise_name

__all__ = [
    "MAX_LOOKUPS",
    "MAX_MX_HOSTS",
    "MAX_VOIDS",
    "NOT_ASKED",
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
_TERM = re.compile(r"(?P<qualifier>[-+~?]?)(?P<kind>[A-Za-z][A-Za-z0-9_.-]*)(?P<rest>.*)", re.DOTALL)
_SPF = re.compile(r"v=spf1( |\Z)", re.IGNORECASE)
_PREFIX = re.compile(r"(/\d+)?(//\d+)?\Z")


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
        """Name what costs, in the record's order, with the records below it: "include:a.example 5 (include:b 3)"."""
        return ", ".join(map(_listed, self.nodes))


def answered_by(answers: Answers) -> Ask:
    """Return what answers out of ``answers``; what is not in them was not asked."""
    return lambda name, kind: answers.get((name, kind), NOT_ASKED)


def expand(name: str, text: str, ask: Ask, assumed: Mapping[str, int] | None = None) -> SpfTree:
    """Follow the record ``text`` of ``name``. ``assumed`` are costs of targets that are used where nobody answers."""
    walk = _Walk(ask, assumed or {})
    nodes, networks = walk.record(name, text, (), (name,))
    return SpfTree(name=name, nodes=nodes, faults=tuple(walk.faults), networks=networks)


def _listed(node: SpfNode) -> str:
    inner = [_listed(child) for child in node.children if child.target is not None]
    return f"{node.term} {node.lookups}" + (f" ({'; '.join(inner)})" if inner else "")


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
        nodes: list[SpfNode] = []
        networks: list[str] = []
        redirect: str | None = None
        ends = False
        for item in text.split()[1:]:
            match = _TERM.fullmatch(item)
            kind = match["kind"].lower() if match is not None else ""
            rest = match["rest"] if match is not None else ""
            if match is None or (rest[:1] != "=" and kind not in _READERS):
                self._fault(path, "syntax", f"{name} has the unknown term {item}")
            elif rest[:1] == "=":
                redirect = rest[1:] if kind == "redirect" else redirect
            elif not ends and kind in {"ip4", "ip6"}:
                networks += [rest[1:]] if match["qualifier"] in {"", "+"} else []
            elif not ends and kind == "all":
                ends = True  # what follows is never looked at (§5.1)
            elif not ends:
                node = self._term(name, item, kind, rest, path, trail)
                # What does not pass lets nobody in: it holds no address that would have to be written.
                nodes.append(node if match["qualifier"] in {"", "+"} else _refusing(node))
        if redirect is not None and not ends:
            nodes.append(self._followed(f"redirect={redirect}", redirect, path, trail))
        return tuple(nodes), tuple(networks)

    def _term(
        self, name: str, item: str, kind: str, rest: str, path: tuple[str, ...], trail: tuple[str, ...]
    ) -> SpfNode:
        self.spent += 1
        if kind == "include":
            return self._followed(item, rest[1:], path, trail)
        if "%" in rest or kind in {"ptr", "exists"}:
            return SpfNode(term=item) if "%" in rest or kind == "ptr" else self._exists(item, rest[1:], path)
        prefix = _PREFIX.search(rest)
        length = prefix[0] if prefix is not None else ""
        asked = rest[1 : len(rest) - len(length)] or name
        return self._addressed(item, asked.lower().rstrip("."), kind, length, path)

    def _exists(self, item: str, target: str, path: tuple[str, ...]) -> SpfNode:
        reply = self._asked(target.lower().rstrip("."), "A", (*path, item))
        return SpfNode(term=item, voids=int(reply.known and not reply.values), sure=reply.known)

    def _addressed(self, item: str, asked: str, kind: str, length: str, path: tuple[str, ...]) -> SpfNode:
        """Follow an a or mx term. It is void at most once, however many addresses are asked for."""
        here = (*path, item)
        hosts: tuple[str, ...] = (asked,)
        if kind == "mx":
            reply = self._asked(asked, "MX", here)
            if not reply.known or not reply.values:
                return SpfNode(term=item, voids=int(reply.known), sure=reply.known)
            hosts = tuple(host for value in reply.values if (host := value.split()[-1].lower().rstrip(".")))
            if len(hosts) > MAX_MX_HOSTS:
                self._fault(here, "mx-hosts", f"{asked} has {len(hosts)} exchangers; {MAX_MX_HOSTS} are the limit")
        replies = [self._asked(host, "A", here) for host in hosts]
        sure = all(reply.known for reply in replies)
        found = tuple(value + _length_of(value, length) for reply in replies for value in reply.values)
        return SpfNode(term=item, voids=int(sure and not found), sure=sure, addresses=found if sure else None)

    def _followed(self, item: str, target: str, path: tuple[str, ...], trail: tuple[str, ...]) -> SpfNode:
        here = (*path, item)
        if "%" in target:
            return SpfNode(term=item, lookups=self.assumed.get(target, 1))  # nobody can tell without a message
        try:
            name = normalise_name(target, service=True)
        except NameRuleError as error:
            self._fault(here, "syntax", f"{error.found}, which is no domain name")
            return SpfNode(term=item)
        if name in trail:
            self._fault(here, "loop", " -> ".join((*trail[trail.index(name) :], name)))
            return SpfNode(term=item, target=name)
        if self.spent > ENOUGH or len(trail) > MAX_LOOKUPS:
            return SpfNode(term=item, target=name)
        reply = self._asked(name, "TXT", here)
        if not reply.known:
            return SpfNode(term=item, target=name, lookups=self.assumed.get(name, 1), sure=False)
        records = [value for value in reply.values if _SPF.match(value)]
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


_READERS = frozenset({"all", "include", "a", "mx", "ptr", "exists", "ip4", "ip6"})


def _refusing(node: SpfNode) -> SpfNode:
    return SpfNode(
        term=node.term,
        lookups=node.lookups,
        voids=node.voids,
        sure=node.sure,
        target=node.target,
        children=node.children,
        # An exception ahead of a wider pass cannot be said with addresses alone.
        addresses=None,
    )


def _length_of(address: str, lengths: str) -> str:
    """Return the prefix length for one address of "/24//64"."""
    four, _, six = lengths.partition("//")
    length = six if ":" in address else four.removeprefix("/")
    return f"/{length}" if length else ""
