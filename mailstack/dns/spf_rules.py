"""SPF records held against the rest of the declaration: targets that exist, lookups in all (RFC 7208 §4.6.4)."""

from collections.abc import Mapping

from mailstack.dns.parts import Parts
from mailstack.dns.records import NULL_MX
from mailstack.dns.spf import SpfRecord
from mailstack.dns.spf_terms import LOOKUP_KINDS, SpfTerm

__all__ = ["check_spf"]

MAX_LOOKUPS = 10  # terms that make a receiver ask DNS, in the whole evaluation (RFC 7208 §4.6.4)
ENOUGH = 10 * MAX_LOOKUPS  # includes beyond this are not followed: the record is refused whatever they cost
MAX_MX_HOSTS = 10  # names behind one "mx" term (RFC 7208 §4.6.4)


def check_spf(parts: Parts) -> dict[str, int]:
    """Note what is wrong with each record together with the others; return the DNS lookups each costs."""
    return {name: _check_lookups(parts, name) for name in parts.spf}


def _lookup_costs(
    domain: str, records: Mapping[str, SpfRecord], trail: tuple[str, ...] = ()
) -> tuple[tuple[tuple[str, int], ...], tuple[str, ...] | None]:
    """Count the DNS lookups a receiver spends on a domain's record.

    Returns the cost of each term (text and number, nested ones counted), and the loop of names when includes
    lead back to where they came from. ``records`` are the records of this declaration: a target among them
    is counted by its terms, any other by its stated cost, or as 1.
    """
    costs: list[tuple[str, int]] = []
    trail = (*trail, domain)
    for term in records[domain].terms:
        if term.kind not in LOOKUP_KINDS:
            continue
        cost = term.cost or 1
        if term.kind in {"include", "redirect"} and term.domain is not None:
            if term.domain in trail:
                return tuple(costs), (*trail[trail.index(term.domain) :], term.domain)
            followed = len(trail) <= MAX_LOOKUPS and sum(number for _, number in costs) <= ENOUGH
            if term.domain in records and followed:
                nested, loop = _lookup_costs(term.domain, records, trail)
                if loop is not None:
                    return tuple(costs), loop
                cost = 1 + sum(number for _, number in nested)
        costs.append((term.text, cost))
    return tuple(costs), None


def _check_lookups(parts: Parts, name: str) -> int:
    label = f"{name} SPF"
    for term in parts.spf[name].terms:
        _check_target(parts, name, term)
    costs, loop = _lookup_costs(name, parts.spf)
    if loop is not None:
        parts.findings.error(
            label,
            "spf-include-loop",
            found=f"a loop: {' -> '.join(loop)}",
            expected="includes that end",
            fix=f"remove the include of {loop[-1]}",
        )
        return len(costs)
    total = sum(number for _, number in costs)
    if total > MAX_LOOKUPS:
        listed = ", ".join(f"{text} {number}" for text, number in costs)
        parts.findings.error(
            label,
            "spf-lookups",
            found=f"{total} DNS lookups ({listed})",
            expected=f"at most {MAX_LOOKUPS}, nested ones counted: above that receivers answer permerror",
            fix="remove senders no longer used, write own hosts as ip4:/ip6:, or move a sender to a subdomain",
        )
    return total


def _check_target(parts: Parts, name: str, term: SpfTerm) -> None:
    label = f"{name} SPF"
    if term.kind == "mx":
        _check_mx_term(parts, name, term)
    if term.kind == "a":
        _check_a_term(parts, name, term)
    if term.kind not in {"include", "redirect"} or term.domain is None:
        return
    known = term.domain in parts.spf
    is_host = term.domain in parts.hosts and term.domain not in parts.domains
    if is_host or (not known and parts.is_missing(term.domain)):
        parts.findings.error(
            label,
            "spf-include-target",
            found=f"{term.text}, which " + ("is a host" if is_host else "has no SPF record in its zone"),
            expected="a name with an SPF record for other domains: without one receivers answer permerror",
            fix=f"write a:{term.domain} in `spf.mechanisms`"
            if is_host
            else f"remove {term.text}, or add {term.domain} to `domains`",
        )
    elif not known and term.cost is None:
        parts.findings.warn(
            label,
            "spf-include-cost",
            found=f"{term.text}, whose own lookups are not known",
            expected=f"its cost, so that the {MAX_LOOKUPS} lookups can be counted; 1 is assumed",
            fix="name it in `spf.include`, count with an SPF checker, and give the number in `spf.lookups`"
            if term.kind == "include"
            else "count them with an SPF checker, and give the number in `spf.lookups`",
        )


def _note_void(parts: Parts, label: str, term: SpfTerm, why: str) -> None:
    parts.findings.error(
        label,
        "spf-void",
        found=f"{term.text}, but {why} in its zone",
        expected="names that exist: a lookup without answer matches nothing, and a third one is permerror",
        fix=f"remove {term.text}",
    )


def _check_a_term(parts: Parts, name: str, term: SpfTerm) -> None:
    asked = term.target(name)
    if asked is not None and asked not in parts.hosts and parts.is_missing(asked):
        _note_void(parts, f"{name} SPF", term, f"{asked} has no address")


def _check_mx_term(parts: Parts, name: str, term: SpfTerm) -> None:
    asked = term.target(name)
    target = parts.domains.get(asked or "")
    if target is None:
        if asked is not None and parts.is_missing(asked):
            _note_void(parts, f"{name} SPF", term, f"{asked} has no MX")
        return
    if target.exchangers == (NULL_MX,):
        parts.findings.error(
            f"{name} SPF",
            "spf-mx-empty",
            found=f"{term.text}, but {target.name} has a null MX",
            expected="mx only where there are exchangers: it costs a lookup and matches nothing",
            fix=f"remove {term.text}",
        )
    elif len(target.exchangers) > MAX_MX_HOSTS:
        parts.findings.error(
            f"{name} SPF",
            "spf-mx-hosts",
            found=f"{term.text}, but {target.name} has {len(target.exchangers)} exchangers",
            expected=f"at most {MAX_MX_HOSTS} behind one mx: above that receivers answer permerror",
            fix="write the addresses as ip4: and ip6:",
        )
