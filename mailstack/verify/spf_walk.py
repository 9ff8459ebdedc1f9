"""Follows SPF records through DNS: what they cost a receiver, and what it answers for an address.

By hand, because nothing judges both: checkdmarc stops at the first limit that is passed and names no culprit, pyspf
asks DNS in its own way and is there for tests only. tests/unit/test_verify_agreement.py holds us to both.
"""

import ipaddress
from collections.abc import Callable
from dataclasses import dataclass, field

from mailstack.dns.addresses import IPAddress
from mailstack.verify.answer import Answer
from mailstack.verify.spf_read import Spf, SpfError, Term, expanded, read_spf, spf_records

__all__ = ["MAX_LOOKUPS", "MAX_VOIDS", "Cost", "Costs", "Evaluation", "Lookup", "count"]

MAX_LOOKUPS, MAX_VOIDS, MAX_NAMES = 10, 2, 10  # §4.6.4
RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
DEEPEST = 20  # includes within includes; far more than ten lookups allow
ENOUGH = 10 * MAX_LOOKUPS  # records that are followed: beyond that it is wrong whatever they cost

Lookup = Callable[[str, str], Answer]


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one term costs with everything nested in it. ``trail`` are the records it is in, the outermost first."""

    text: str
    trail: tuple[str, ...]
    lookups: int
    void: bool = False

    def __str__(self) -> str:
        """Name the term and where it stands."""
        return f"{self.text}{'' if len(self.trail) == 1 else f' in {self.trail[-1]}'} ({self.lookups})"


@dataclass(kw_only=True)
class Costs:
    """What a whole record costs. ``terms`` are those of the record itself; ``errors`` make a receiver give up."""

    terms: list[Cost] = field(default_factory=list)
    voids: list[Cost] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    followed: int = 0

    @property
    def lookups(self) -> int:
        """Return the number of lookups in all."""
        return sum(term.lookups for term in self.terms)


def count(domain: str, record: Spf, look: Lookup) -> Costs:
    """Count every term up to ``all`` whatever the sender: the most that a receiver may have to ask (§4.6.4)."""
    costs = Costs()
    costs.terms = _counted(domain, record, look, costs, (domain,))
    return costs


def _counted(domain: str, record: Spf, look: Lookup, costs: Costs, trail: tuple[str, ...]) -> list[Cost]:
    found = [_term_cost(domain, term, look, costs, trail) for term in record.reached if term.costs]
    if record.redirect is not None:
        nested = _nested(f"redirect={record.redirect}", record.redirect, look, costs, trail)
        found.append(Cost(text=f"redirect={record.redirect}", trail=trail, lookups=1 + nested))
    return found


def _term_cost(domain: str, term: Term, look: Lookup, costs: Costs, trail: tuple[str, ...]) -> Cost:
    target = term.target or domain
    if term.kind == "include":
        nested = _nested(term.text, target, look, costs, trail)
        return Cost(text=term.text, trail=trail, lookups=1 + nested)
    cost = Cost(text=term.text, trail=trail, lookups=1)
    if "%" in target or term.kind in {"exists", "ptr"}:
        return cost  # what they ask for depends on the message
    # Of a, a receiver asks for the family of the sender: both being empty is one void lookup, not two.
    answers = [look(target, kind) for kind in (("MX",) if term.kind == "mx" else ("A", "AAAA"))]
    costs.unknown += [f"{term.text}: {answer.why}" for answer in answers if not answer.known]
    if all(answer.void for answer in answers):
        costs.voids.append(cost)
    if term.kind == "mx" and len(answers[0].values) > MAX_NAMES:
        costs.errors.append(f"{term.text} has {len(answers[0].values)} mail hosts, more than {MAX_NAMES}")
    return cost


def _nested(text: str, target: str, look: Lookup, costs: Costs, trail: tuple[str, ...]) -> int:
    """Return what the record costs that an include or redirect leads to."""
    if "%" in target:
        return 0
    if target in trail:
        costs.errors.append(f"a loop: {' -> '.join((*trail, target))}")
        return 0
    if len(trail) > DEEPEST or costs.followed >= ENOUGH:
        return 0
    costs.followed += 1
    answer = look(target, "TXT")
    if not answer.known:
        costs.unknown.append(f"{text}: {answer.why}")
        return 0
    records = spf_records(answer.values)
    if answer.void:
        costs.voids.append(Cost(text=text, trail=trail, lookups=1))
    if len(records) != 1:
        what = "no SPF record" if not records else f"{len(records)} SPF records"
        costs.errors.append(f"{text}{'' if len(trail) == 1 else f' in {trail[-1]}'}: {target} has {what}")
        return 0
    try:
        record = read_spf(records[0])
    except SpfError as error:
        costs.errors.append(f"{text}: the record of {target} is wrong, {error}")
        return 0
    return sum(cost.lookups for cost in _counted(target, record, look, costs, (*trail, target)))


class _PermanentError(Exception):
    """The receiver gives up."""


class _TemporaryError(Exception):
    """DNS did not answer."""


@dataclass(kw_only=True)
class Evaluation:
    """What a receiver answers for one address (§4). ``result`` is as in RFC 7208 §2.6, ``why`` the term or reason."""

    address: IPAddress
    sender: str
    helo: str
    look: Lookup
    result: str = ""
    why: str = ""
    lookups: int = 0
    voids: int = 0

    def run(self, domain: str) -> "Evaluation":
        """Evaluate the record of ``domain``."""
        try:
            self.result, self.why = self._check(domain, 0)
        except _PermanentError as error:
            self.result, self.why = "permerror", str(error)
        except _TemporaryError as error:
            self.result, self.why = "temperror", str(error)
        return self

    def _check(self, domain: str, depth: int) -> tuple[str, str]:
        answer = self._ask(domain, "TXT")
        records = spf_records(answer.values)
        if not records:
            return "none", f"{domain} has no SPF record"
        if len(records) > 1:
            raise _PermanentError(f"{domain} has {len(records)} SPF records")
        try:
            record = read_spf(records[0])
        except SpfError as error:
            raise _PermanentError(str(error)) from error
        if depth > DEEPEST:
            raise _PermanentError("includes without end")
        for term in record.reached:
            if self._matches(term, domain, depth):
                return RESULTS[term.qualifier], f"{term.text} of {domain}"
        if record.redirect is None:
            return "neutral", f"no term of {domain} matches"
        self._spend()
        target = self._expanded(record.redirect, domain)
        result, why = self._check(target, depth + 1)
        if result == "none":
            raise _PermanentError(f"redirect={target}: {why}")
        return result, why

    def _ask(self, name: str, kind: str, *, counts: bool = False) -> Answer:
        answer = self.look(name, kind)
        if not answer.known:
            raise _TemporaryError(f"{name} {kind}: {answer.why}")
        if counts and answer.void:
            self.voids += 1
            if self.voids > MAX_VOIDS:
                raise _PermanentError(f"more than {MAX_VOIDS} lookups that find nothing, the last for {name}")
        return answer

    def _spend(self) -> None:
        self.lookups += 1
        if self.lookups > MAX_LOOKUPS:
            raise _PermanentError(f"more than {MAX_LOOKUPS} DNS lookups")

    def _expanded(self, target: str, domain: str) -> str:
        if "%" not in target:
            return target
        return expanded(target, domain=domain, address=self.address, sender=self.sender, helo=self.helo).lower()

    def _matches(self, term: Term, domain: str, depth: int) -> bool:
        if term.kind == "all":
            return True
        if term.network is not None:
            return term.network.version == self.address.version and self.address in term.network
        self._spend()
        target = self._expanded(term.target or domain, domain)
        family = "A" if self.address.version == 4 else "AAAA"
        match term.kind:
            case "include":
                result, why = self._check(target, depth + 1)
                if result == "none":
                    raise _PermanentError(f"{term.text}: {why}")
                return result == "pass"
            case "exists":
                return bool(self._ask(target, "A", counts=True).values)
            case "a":
                return self._holds(self._ask(target, family, counts=True).values, term)
            case "mx":
                hosts = [value.split()[1] for value in self._ask(target, "MX", counts=True).values]
                if len(hosts) > MAX_NAMES:
                    raise _PermanentError(f"{term.text} has more than {MAX_NAMES} mail hosts")
                return any(self._holds(self._ask(host, family).values, term) for host in hosts if host != ".")
        names = self._ask(self.address.reverse_pointer, "PTR", counts=True).values[:MAX_NAMES]
        return any(
            (name == target or name.endswith(f".{target}")) and str(self.address) in self._ask(name, family).values
            for name in names
        )

    def _holds(self, addresses: tuple[str, ...], term: Term) -> bool:
        length = term.lengths[0 if self.address.version == 4 else 1]
        return any(self.address in ipaddress.ip_network((one, length), strict=False) for one in addresses)
