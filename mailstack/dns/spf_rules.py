"""SPF records held against the rest of the declaration: targets that exist, lookups in all (RFC 7208 §4.6.4)."""

from collections.abc import Mapping
from types import MappingProxyType

from mailstack.dns.parts import Parts
from mailstack.dns.records import NULL_MX
from mailstack.dns.spf_cure import cheapest_cure
from mailstack.dns.spf_terms import SpfTerm
from mailstack.dns.spf_tree import (
    MAX_LOOKUPS,
    MAX_MX_HOSTS,
    MAX_VOIDS,
    NOT_ASKED,
    Ask,
    Kind,
    Reply,
    SpfFault,
    SpfTree,
    answered_by,
    expand,
)

__all__ = ["check_spf", "known_here"]


def check_spf(parts: Parts) -> dict[str, int]:
    """Note what is wrong with each record together with the others; return the DNS lookups each costs."""
    ask, stated = _asker(parts), _stated(parts)
    return {name: _check_lookups(parts, name, ask, stated) for name in parts.spf}


def known_here(parts: Parts) -> Ask:
    """Return what answers for the names of this declaration, as they will be."""

    def ask(name: str, kind: Kind) -> Reply:
        domain, host = parts.domains.get(name), parts.hosts.get(name)
        if kind == "TXT" and name in parts.spf:
            return Reply(values=(parts.spf[name].text,))
        if kind == "A" and host is not None:
            return Reply(values=tuple(map(str, host.addresses)))
        if kind == "MX" and domain is not None and domain.exchangers:
            return Reply(values=tuple(f"{mx.preference} {mx.exchange}" for mx in domain.exchangers if mx != NULL_MX))
        return NOT_ASKED

    return ask


def _asker(parts: Parts) -> Ask:
    here, elsewhere = known_here(parts), answered_by(parts.declaration.spf_answers)

    def ask(name: str, kind: Kind) -> Reply:
        reply = here(name, kind)
        return reply if reply.known else elsewhere(name, kind)

    return ask


def _stated(parts: Parts) -> dict[str, int]:
    """Return the stated cost of each include and redirect; the higher one where two are."""
    found: dict[str, int] = {}
    for record in parts.spf.values():
        for term in record.terms:
            if term.cost is not None:
                target = term.domain or term.text.partition("=" if term.is_modifier else ":")[2]
                found[target] = max(term.cost, found.get(target, 0))
    return found


def _check_lookups(parts: Parts, name: str, ask: Ask, stated: Mapping[str, int]) -> int:
    label = f"{name} SPF"
    for term in parts.spf[name].terms:
        _check_target(parts, name, term)
    tree = expand(name, parts.spf[name].text, ask, stated)
    for fault in tree.faults:
        _note_fault(parts, label, fault)
    if any(fault.kind == "loop" for fault in tree.faults):
        return tree.lookups
    if tree.lookups > MAX_LOOKUPS:
        parts.findings.error(
            label,
            "spf-lookups",
            found=f"{tree.lookups} DNS lookups ({tree.listing()})",
            expected=f"at most {MAX_LOOKUPS}, nested ones counted: above that receivers answer permerror",
            fix=cheapest_cure(tree.nodes),
        )
    if parts.declaration.spf_answers:
        _check_voids(parts, label, tree)
        _check_stated(parts, name, tree)
    return tree.lookups


def _check_voids(parts: Parts, label: str, tree: SpfTree) -> None:
    void = [" -> ".join(path) for node in tree.nodes for path in node.empty()]
    if not void:
        return
    (parts.findings.error if tree.voids > MAX_VOIDS else parts.findings.warn)(
        label,
        "spf-void",
        found=f"{tree.voids} terms that DNS has nothing for ({', '.join(void)})",
        expected=f"names that exist: a lookup without answer matches nothing, and after {MAX_VOIDS} it is permerror",
        fix=f"remove {void[0]}, or publish what it names",
    )


def _check_stated(parts: Parts, name: str, tree: SpfTree) -> None:
    costs = {term.text: term for term in parts.spf[name].terms if term.cost is not None}
    for node in tree.nodes:
        term = costs.get(node.term)
        if term is None or term.domain in parts.spf or not node.sure or node.lookups == term.cost:
            continue
        parts.findings.warn(
            f"{name} SPF",
            "spf-stated",
            found=f"{node.term} stated to cost {term.cost}; it costs {node.lookups} now, and that is what counts here",
            expected="the same number, so that a plan without network counts right",
            fix=f"set `spf.lookups` to {node.lookups} for {term.domain}; where it is an upstream's, its preset is out "
            "of date: tell its maintainers",
        )


_FAULTS = MappingProxyType(
    {
        "missing": (
            "spf-include-target",
            "a name with one SPF record: without one receivers answer permerror",
            "remove the term, or ask the sender which name to include now",
        ),
        "two": (
            "spf-single",
            "exactly one: with two, receivers answer permerror",
            "tell whoever keeps that name; leave the term out until then",
        ),
        "loop": ("spf-include-loop", "includes that end", ""),
        "syntax": (
            "spf-syntax",
            "a record that can be read: receivers answer permerror",
            "tell whoever keeps that name; leave the term out until then",
        ),
        "mx-hosts": (
            "spf-mx-hosts",
            f"at most {MAX_MX_HOSTS} behind one mx: above that receivers answer permerror",
            "write the addresses as ip4: and ip6:",
        ),
    }
)


def _note_fault(parts: Parts, label: str, fault: SpfFault) -> None:
    above = {term.partition("=" if term.startswith("redirect=") else ":")[2].lower() for term in fault.path[:-1]}
    if fault.kind == "loop":
        rule, expected, _ = _FAULTS[fault.kind]
        last = fault.detail.rpartition(" -> ")[2]
        found, fix = f"a loop: {fault.detail}", f"remove the include of {last}"
        parts.findings.error(label, rule, found=found, expected=expected, fix=fix)
    elif above & parts.spf.keys():
        return  # said of that record
    elif fault.kind == "unknown":
        if parts.declaration.spf_answers:
            parts.findings.warn(
                label,
                "spf-unknown",
                found=f"no answer about {fault}",
                expected="an answer, so that its lookups can be counted; the stated cost, else 1, is assumed",
                fix="run the preview again; `spf.lookups` says what it costs meanwhile",
            )
    else:
        rule, expected, fix = _FAULTS[fault.kind]
        if not (fault.kind == "syntax" and not fault.path):
            parts.findings.error(label, rule, found=str(fault), expected=expected, fix=fix)


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
    elif not known and term.cost is None and (term.domain, "TXT") not in parts.declaration.spf_answers:
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
