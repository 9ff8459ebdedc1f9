"""SPF records (RFC 7208): one per name, merged from all senders, within ten look-ups."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal

from mailstack.maildns.names import absolute, name_problems
from mailstack.maildns.problems import Problem

__all__ = ["SpfInclude", "SpfPolicy", "check_spf", "spf_text"]

# RFC 7208 §4.6.4
LOOKUP_LIMIT = 10
LOOKUP_MECHANISMS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
# A network wider than this names a whole provider as our sender.
WIDEST = {4: 16, 6: 32}
# Larger answers do not fit a 512-byte UDP reply with the rest of the message (RFC 7208 §3.4).
WARN_BYTES = 450
MACRO = re.compile(r"%(\{[slodiphcrtvSLODIPHCRTV]\d*r?[.\-+,/_=]*\}|%|_|-)")
MECHANISM = re.compile(r"([+\-~?]?)([a-z0-9]+)(?:([:=/])(.*))?", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class SpfInclude:
    """Another domain's record, by ``include:``. ``lookups`` counts itself and everything nested in it."""

    domain: str
    lookups: int = 1


@dataclass(frozen=True, kw_only=True)
class SpfPolicy:
    """What may send for a name. ``mechanisms`` are further terms as text; ``all`` ends the record."""

    includes: tuple[SpfInclude, ...] = ()
    mechanisms: tuple[str, ...] = ()
    all: Literal["~all", "-all"] = "~all"


def spf_text(policy: SpfPolicy) -> str:
    """Return the one record of the policy. Mechanisms come first: they cost less than includes."""
    terms = [*policy.mechanisms, *(f"include:{absolute(include.domain)}" for include in policy.includes)]
    return " ".join(["v=spf1", *dict.fromkeys(terms), policy.all])


def check_spf(name: str, policy: SpfPolicy) -> tuple[list[Problem], list[str]]:
    """Return the broken rules and the warnings for the SPF record of ``name``."""
    problems: list[Problem] = []
    record = f"SPF of {name}"
    lookups = 0
    for include in policy.includes:
        problems += name_problems(absolute(include.domain), record, host=False)
        lookups += include.lookups
        if absolute(include.domain) == name:
            problems.append(_problem(record, "spf-loop", "5.2", f"include:{name}", "includes itself", "remove it"))
    for term in policy.mechanisms:
        found = _check_term(record, term)
        problems += found
        match = MECHANISM.fullmatch(term)
        if match and match[2].lower() in LOOKUP_MECHANISMS:
            lookups += 1
    if lookups > LOOKUP_LIMIT:
        problems.append(
            _problem(
                record, "spf-lookups", "4.6.4", f"{lookups} DNS look-ups",
                "must be 10 at most, nested ones counted: receivers answer permerror above that",
                "replace includes of your own hosts by ip4/ip6, or move a sender to a subdomain",
            )
        )  # fmt: skip
    text = spf_text(policy)
    warnings = []
    if len(text) > WARN_BYTES:
        warnings.append(
            f"{record} has {len(text)} bytes; above {WARN_BYTES} it may not fit a UDP answer (RFC 7208 §3.4)"
        )
    return problems, warnings


def _problem(record: str, rule: str, section: str, found: str, expected: str, fix: str) -> Problem:
    return Problem(record=record, rule=rule, source=f"RFC 7208 §{section}", found=found, expected=expected, fix=fix)


def _check_term(record: str, term: str) -> list[Problem]:
    match = MECHANISM.fullmatch(term)
    if match is None or " " in term or "," in term:
        return [
            _problem(
                record, "spf-syntax", "4.6.1", term, "is not one mechanism",
                "write one mechanism per list entry, such as ip4:192.0.2.1; there are no commas in SPF",
            )
        ]  # fmt: skip
    qualifier, word, separator, value = match[1], match[2].lower(), match[3] or "", match[4] or ""
    if word == "all":
        return [
            _problem(
                record, "spf-all", "5.1", term, "`all` ends the record and is set by its own field",
                "remove it and set spf.all to ~all or -all",
            )
        ]  # fmt: skip
    if word in {"redirect", "exp"}:
        return [
            _problem(
                record, f"spf-{word}", "6", term, f"{word} has no effect beside `all`, which every record here has",
                "use include: instead" if word == "redirect" else "remove it",
            )
        ]  # fmt: skip
    if word in {"ipv4", "ipv6", "ip"}:
        kind = "ip6" if ":" in value else "ip4"
        return [_problem(record, "spf-word", "5.6", term, f"there is no mechanism {word}", f"write {kind}:{value}")]
    if word == "ptr":
        return [
            _problem(record, "spf-ptr", "5.5", term, "ptr must not be used: slow and unreliable", "use ip4: or ip6:")
        ]
    if word not in {"ip4", "ip6", "a", "mx", "include", "exists"}:
        return [
            _problem(
                record, "spf-word", "4.6.1", term, f"there is no mechanism {word}",
                "use ip4, ip6, a, mx, include or exists",
            )
        ]  # fmt: skip
    if qualifier not in {"", "+"}:
        return [
            _problem(
                record, "spf-qualifier", "4.6.2", term, "names a sender and marks it as not allowed",
                f"write {term[1:]}",
            )
        ]  # fmt: skip
    if separator == "=":
        return [_problem(record, "spf-syntax", "4.6.1", term, "= belongs to modifiers only", f"write {word}:{value}")]
    if word in {"ip4", "ip6"}:
        return _check_network(record, term, word, value)
    return _check_domain(record, term, word, f"/{value}" if separator == "/" else value)


def _check_network(record: str, term: str, word: str, value: str) -> list[Problem]:
    version = 4 if word == "ip4" else 6
    try:
        network = ipaddress.ip_network(value)
    except ValueError as error:
        if "host bits" in str(error):
            fix = f"write {word}:{ipaddress.ip_network(value, strict=False)}"
            return [_problem(record, "spf-host-bits", "5.6", term, "has address bits outside its mask", fix)]
        fix = f"write {word}:{'192.0.2.1' if version == 4 else '2001:db8::1'}, with /mask where needed"
        return [_problem(record, "spf-network", "5.6", term, f"is not an IPv{version} network", fix)]
    if network.version != version:
        fix = f"write ip{network.version}:{value}"
        return [_problem(record, "spf-swapped", "5.6", term, f"{word} takes IPv{version} only", fix)]
    if network.prefixlen < WIDEST[version]:
        fix = "list the addresses that really send"
        return [_problem(record, "spf-broad", "11.4", term, f"is wider than /{WIDEST[version]}", fix)]
    return []


def _check_domain(record: str, term: str, word: str, value: str) -> list[Problem]:
    domain, _, mask = value.partition("/")
    if word in {"include", "exists"} and not domain:
        return [_problem(record, "spf-syntax", "5.2", term, f"{word} needs a domain", f"write {word}:spf.example.net")]
    try:
        address = ipaddress.ip_address(domain)
    except ValueError:
        pass
    else:
        fix = f"write ip{address.version}:{value}"
        return [_problem(record, "spf-address", "5.3", term, f"{word} takes a name, not an address", fix)]
    if mask and (word not in {"a", "mx"} or not re.fullmatch(r"(\d{1,2})?(//?\d{1,3})?", mask)):
        fix = f"write {word}:{domain or 'example.com'}/24 at most with a and mx"
        return [_problem(record, "spf-mask", "5.3", term, "has a mask that is not one", fix)]
    if "%" in domain:
        if "%" in MACRO.sub("", domain):
            fix = "write macros as %{i}, a percent sign as %%"
            return [_problem(record, "spf-macro", "7.1", term, "has a broken macro", fix)]
        return []
    if not domain:
        return []
    return name_problems(absolute(domain), f"{record}, {term}", host=False)
