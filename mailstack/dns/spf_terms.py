"""Single terms of an SPF record, read strictly (RFC 7208 §5 to §7)."""

import difflib
import ipaddress
import re
from dataclasses import dataclass, replace
from types import MappingProxyType

from mailstack.dns.addresses import IPNetwork, special_purpose
from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.problems import Findings, shown
from mailstack.dns.spf_macros import MacroTarget, read_macros

__all__ = ["LOOKUP_KINDS", "MECHANISMS", "MODIFIERS", "SpfTerm", "TermReader", "network_text"]

# Networks larger than these authorise strangers: most of a provider's customers share them.
_BROADEST_PREFIX = {4: 16, 6: 32}
_ABSURD_PREFIX = {4: 8, 6: 16}  # larger than registries ever gave to one holder

MECHANISMS = ("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists")
MODIFIERS = ("redirect", "exp")
LOOKUP_KINDS = frozenset({"include", "a", "mx", "ptr", "exists", "redirect"})
_SLIPS = MappingProxyType({"ipv4": "ip4", "ipv6": "ip6", "ip": "ip4", "includes": "include", "host": "a", "mx4": "mx"})
_TERM = re.compile(r"(?P<qualifier>[-+~?]?)(?P<kind>[A-Za-z][A-Za-z0-9_.-]*)(?P<rest>.*)", re.DOTALL)
_LENGTH = re.compile(r"0|[1-9][0-9]{0,2}")  # of a prefix, without leading zeros
# A slash in a macro is one of its delimiters.
_MACRO_BRACES = re.compile(r"%\{[^}]*\}")
# Each character has one reading: with two, a record of many macros would take for ever (and others write records, too).
_DUAL_CIDR = re.compile(r"(?P<domain>(?:%\{[^}]*\}|[^/%]|%(?!\{[^}]*\}))*)(?:/(?P<v4>[0-9]+))?(?://(?P<v6>[0-9]+))?")


@dataclass(frozen=True, kw_only=True)
class SpfTerm:
    """One term, read and normalised.

    ``kind`` is "include", "a", "mx", "ptr", "ip4", "ip6", "exists", "redirect", "exp" or "other" (a modifier that
    RFC 7208 does not know); ``qualifier`` is "" (pass), "-", "~" or "?"; ``domain`` the target where one is written
    without macros; ``network`` the range of ip4 and ip6; ``cost`` the stated cost of an include or redirect. ``text``
    is how it stands in the record.
    """

    text: str
    kind: str
    qualifier: str = ""
    domain: str | None = None
    network: IPNetwork | None = None
    cost: int | None = None

    @property
    def is_modifier(self) -> bool:
        """Tell name=value from a mechanism."""
        return self.kind in {*MODIFIERS, "other"}

    def target(self, own: str) -> str | None:
        """Return what a or mx asks for: the written name, else the record's own; None when macros decide."""
        return None if "%" in self.text else self.domain or own


def network_text(network: IPNetwork) -> str:
    """Return a network as ip4 and ip6 write it: a single address has no prefix length."""
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


class TermReader:
    """Reads the terms of one policy and notes what is wrong with each."""

    def __init__(self, label: str, findings: Findings, *, production: bool) -> None:
        """Note under ``label``; ``production`` refuses addresses that the Internet cannot reach."""
        self.label = label
        self.findings = findings
        self.production = production
        self.errors_before = len(findings.errors)

    def term(self, item: str) -> SpfTerm | None:
        """Read one item of ``SpfPolicy.mechanisms``; None when it broke a rule."""
        if self._is_no_single_term(item):
            return None
        match = _TERM.fullmatch(item)
        if match is None:
            self._refuse(
                "spf-syntax", shown(item), "a term such as ip4:198.51.100.7 or mx", "correct or remove the term"
            )
            return None
        kind = match["kind"].lower()
        # A plain pass is the default: "+mx" and "mx" are the same term and must merge into one.
        qualifier = match["qualifier"].replace("+", "")
        rest = match["rest"]
        if kind in MODIFIERS:
            return self._modifier(item, kind, match["qualifier"], rest)
        if kind not in MECHANISMS:
            return self._unknown(item, kind, match["qualifier"], rest)
        if rest.startswith("="):
            self._refuse(
                "spf-separator",
                shown(item),
                f'"{kind}:" with a colon; only redirect and exp have "="',
                f"write {kind}:{rest[1:]}",
            )
            return None
        return self._mechanism(item, kind, qualifier, rest)

    def _refuse(self, rule: str, found: str, expected: str, fix: str) -> None:
        self.findings.error(self.label, rule, found=found, expected=expected, fix=fix)

    def _is_no_single_term(self, item: str) -> bool:
        if item.strip().lower().startswith("v=spf"):
            self._refuse(
                "spf-version",
                shown(item),
                "the terms of the record; v=spf1 is added here, once",
                "give each term of that record as an item of its own",
            )
        elif "," in _MACRO_BRACES.sub("", item):
            self._refuse(
                "spf-separator",
                shown(item),
                "one term; SPF has no commas",
                "give the parts as separate terms",
            )
        elif not item or any(character.isspace() for character in item):
            self._refuse(
                "spf-separator",
                f"{shown(item)} as one term",
                "exactly one term without blanks",
                "give each term as an item of its own",
            )
        elif not item.isascii() or not item.isprintable():
            self._refuse("spf-syntax", shown(item), "printable ASCII", "write an IDN target as A-label (xn--...)")
        else:
            return False
        return True

    def _unknown(self, item: str, kind: str, qualifier: str, rest: str) -> SpfTerm | None:
        if rest.startswith("="):
            return self._other_modifier(item, kind, qualifier, rest[1:])
        nearest = _SLIPS.get(kind) or next(iter(difflib.get_close_matches(kind, MECHANISMS, n=1)), None)
        if kind == "ip" and rest.count(":") > 1:
            nearest = "ip6"
        self._refuse(
            "spf-mechanism",
            f"the unknown mechanism {shown(item)}",
            f"one of {', '.join(MECHANISMS)}",
            f"write {nearest}{rest}" if nearest else "remove it, or write the host as a: and the address as ip4:",
        )
        return None

    def _other_modifier(self, item: str, kind: str, qualifier: str, value: str) -> SpfTerm | None:
        """Read name=value: receivers must ignore one they do not know, so a slip in a known one must be found here."""
        meant = next(iter(difflib.get_close_matches(kind, ("redirect", "exp", "include", "exists"), n=1)), None)
        if meant is not None or qualifier:
            self._refuse(
                "spf-modifier",
                shown(item),
                "redirect= or exp=; receivers ignore other modifiers",
                f"write {meant}{'=' if meant in MODIFIERS else ':'}{value}" if meant else f"remove {item}",
            )
            return None
        self.findings.warn(
            self.label,
            "spf-modifier",
            found=f"{shown(item)}",
            expected="redirect= or exp=: receivers ignore a modifier that they do not know",
            fix=f"remove {item}, unless somebody is known to read it",
        )
        return SpfTerm(text=f"{kind}={value}", kind="other")

    def priced(self, kind: str, domain: str, lookups: int | None) -> SpfTerm | None:
        """Read an include or redirect whose cost may be known; None when it broke a rule."""
        term = self._targeted(f"{kind}{_separator(kind)}{domain}", kind, "", domain)
        if lookups is not None and lookups < 1:
            self._refuse(
                "spf-include-cost",
                f"{lookups!r} as the cost of {kind}{_separator(kind)}{domain}",
                "at least 1: the term itself counts",
                "count the term and everything nested in it",
            )
            return None
        return None if term is None else replace(term, cost=lookups)

    def _modifier(self, item: str, kind: str, qualifier: str, rest: str) -> SpfTerm | None:
        if qualifier or not rest.startswith("="):
            self._refuse(
                "spf-separator",
                shown(item),
                f"{kind}=domain, without a sign before it",
                f"write {kind}={rest.lstrip(':=')}",
            )
            return None
        return self._targeted(item, kind, "", rest[1:])

    def _mechanism(self, item: str, kind: str, qualifier: str, rest: str) -> SpfTerm | None:
        if kind == "all":
            self._refuse(
                "spf-all-position",
                f"{shown(item)} among the mechanisms",
                "all only at the end: every term after it is ignored",
                'remove it here and set `spf.all` to "~all" or "-all"',
            )
        elif kind == "ptr":
            return self._ptr(item, qualifier, rest)
        elif kind in {"ip4", "ip6"}:
            return self._network(item, kind, qualifier, rest)
        elif kind in {"a", "mx"}:
            return self._address_term(item, kind, qualifier, rest)
        elif not rest.startswith(":") or rest == ":":
            self._refuse("spf-syntax", shown(item), f"{kind}:domain", f"name the domain after {kind}:")
        else:
            return self._targeted(item, kind, qualifier, rest[1:])
        return None

    def _ptr(self, item: str, qualifier: str, rest: str) -> SpfTerm | None:
        self.findings.warn(
            self.label,
            "spf-ptr",
            found=shown(item),
            expected="no ptr: it is slow, and large receivers ignore it",
            fix="name the sending hosts with ip4:, ip6: or a: in `spf.mechanisms`",
        )
        if not rest:
            return SpfTerm(text=f"{qualifier}ptr", kind="ptr", qualifier=qualifier)
        if not rest.startswith(":") or rest == ":":
            self._refuse("spf-syntax", shown(item), "ptr or ptr:domain", "write ptr, or name the domain")
            return None
        return self._targeted(item, "ptr", qualifier, rest[1:])

    def _network(self, item: str, kind: str, qualifier: str, rest: str) -> SpfTerm | None:
        version = int(kind[-1])
        value = rest.removeprefix(":")
        if "%" in value:
            self._refuse("spf-macro", shown(item), f"an address: {kind} takes no macros", "write the address itself")
            return None
        address_text, slash, prefix_text = value.partition("/")
        try:
            address = ipaddress.ip_address(address_text)
        except ValueError:
            self._refuse(
                "spf-ip",
                shown(item),
                f"{kind}: and an IPv{version} address, with a prefix length if it is a range",
                f"correct the address, or use a: for a host name ({shown(address_text)})",
            )
            return None
        if address.version != version:
            self._refuse(
                "spf-ip-family",
                f"an IPv{address.version} address in {shown(item)}",
                f"IPv{version} after {kind}:",
                f"write ip{address.version}:{value}",
            )
            return None
        longest = address.max_prefixlen
        if slash and not _is_length(prefix_text, longest):
            self._refuse(
                "spf-prefix",
                shown(item),
                f"a prefix length of 0 to {longest} without leading zeros",
                "correct the number after the slash",
            )
            return None
        network = ipaddress.ip_network((address, int(prefix_text) if slash else longest), strict=False)
        if network.network_address != address:
            self.findings.warn(
                self.label,
                "spf-host-bits",
                found=f"{shown(item)}, whose address is inside the range it names",
                expected=f"the first address of the range, {network}",
                fix=f"write {kind}:{network}, or drop the prefix length if only {address} is meant",
            )
        if not self._is_sane_range(item, network, qualifier):
            return None
        return SpfTerm(
            text=f"{qualifier}{kind}:{network_text(network)}", kind=kind, qualifier=qualifier, network=network
        )

    def _is_sane_range(self, item: str, network: IPNetwork, qualifier: str) -> bool:
        meaning = special_purpose(network) if self.production else None
        if meaning is not None and not qualifier:
            self._refuse(
                "spf-address-public",
                f"{shown(item)}, which is {meaning}",
                "an address that receivers can see",
                "write the public address mail leaves from",
            )
            return False
        return self._is_sane_prefix(item, network.version, network.prefixlen, qualifier)

    def _is_sane_prefix(self, item: str, version: int, length: int, qualifier: str) -> bool:
        """Warn about a broad range, refuse one no sender can own. Ranges that do not pass may be as broad as liked."""
        if qualifier or length >= _BROADEST_PREFIX[version]:
            return True
        refused = length < _ABSURD_PREFIX[version]
        (self.findings.error if refused else self.findings.warn)(
            self.label,
            "spf-broad",
            found=f"{shown(item)}, a range of /{length}",
            expected=f"/{_BROADEST_PREFIX[version]} or smaller: everybody in the range may send as you",
            fix="list the addresses that send",
        )
        return not refused

    def _address_term(self, item: str, kind: str, qualifier: str, rest: str) -> SpfTerm | None:
        address = rest.removeprefix(":")
        if self._is_address(address.split("/", 1)[0]) or self._is_address(address):
            version = 6 if ":" in address else 4
            self._refuse(
                "spf-target",
                f"the IP address in {shown(item)}",
                f"a host name after {kind}:",
                f"write ip{version}:{address}",
            )
            return None
        dual = _DUAL_CIDR.fullmatch(rest)
        if dual is None:
            self._refuse("spf-prefix", shown(item), f"{kind}:host/24//64 at most", "correct the prefix lengths")
            return None
        target = dual["domain"]
        suffix = rest[len(target) :]
        if not self._prefixes_fit(item, dual, qualifier):
            return None
        if target and (not target.startswith(":") or target == ":"):
            self._refuse("spf-syntax", shown(item), f"{kind} or {kind}:host", f"write {kind}, or name the host")
            return None
        if not target:
            return SpfTerm(text=f"{qualifier}{kind}{suffix}", kind=kind, qualifier=qualifier)
        term = self._targeted(item, kind, qualifier, target[1:])
        if term is None:
            return None
        return SpfTerm(text=term.text + suffix, kind=kind, qualifier=qualifier, domain=term.domain)

    def _prefixes_fit(self, item: str, dual: re.Match[str], qualifier: str) -> bool:
        for version, longest in ((4, 32), (6, 128)):
            digits = dual[f"v{version}"]
            if digits is None:
                continue
            if not _is_length(digits, longest):
                self._refuse(
                    "spf-prefix",
                    shown(item),
                    f"an IPv{version} prefix length of 0 to {longest} without leading zeros",
                    "correct the number after the slash",
                )
                return False
            if not self._is_sane_prefix(item, version, int(digits), qualifier):
                return False
        return True

    @staticmethod
    def _is_address(text: str) -> bool:
        try:
            ipaddress.ip_address(text.strip("[]"))
        except ValueError:
            return False
        return True

    def _targeted(self, item: str, kind: str, qualifier: str, target: str) -> SpfTerm | None:
        """Read the domain-spec of a term (RFC 7208 §7.1)."""
        start = f"{qualifier}{kind}{_separator(kind)}"
        if "%" not in target and self._is_address(target.split("/", 1)[0]):
            version = 6 if ":" in target else 4
            self._refuse(
                "spf-target",
                f"the IP address in {shown(item)}",
                f"a domain name after {kind}{_separator(kind)}",
                f"write ip{version}:{target}",
            )
            return None
        try:
            if "%" in target:
                return self._expanded(item, SpfTerm(text=start, kind=kind, qualifier=qualifier), read_macros(target))
            domain = normalise_name(target, service=True)
        except NameRuleError as error:
            rule = error.rule if error.rule.startswith("spf-") else "spf-target"
            found = error.found.replace(shown(target), shown(item))
            where = "" if shown(item) in found else f" in {shown(item)}"
            self._refuse(rule, f"{found}{where}", error.expected, error.fix)
            return None
        return SpfTerm(text=f"{start}{domain}", kind=kind, qualifier=qualifier, domain=domain)

    def _expanded(self, item: str, start: SpfTerm, target: MacroTarget) -> SpfTerm:
        if target.has_validated_name:
            self.findings.warn(
                self.label,
                "spf-macro",
                found=f"the macro %{{p}} in {shown(item)}",
                expected="no %{p}: it needs a reverse lookup and must not be relied on",
                fix="use %{i} or %{d}",
            )
        return replace(start, text=start.text + target.text)


def _separator(kind: str) -> str:
    return "=" if kind in MODIFIERS else ":"


def _is_length(text: str, longest: int) -> bool:
    return _LENGTH.fullmatch(text) is not None and int(text) <= longest
