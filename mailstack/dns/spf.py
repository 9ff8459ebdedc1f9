"""SPF policies: read strictly, merged into one record, DNS lookups counted (RFC 7208)."""

import difflib
import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from mailstack.dns.addresses import IPAddress, IPNetwork, special_purpose
from mailstack.dns.names import NameRuleError, normalise_name
from mailstack.dns.problems import Findings, shown

__all__ = [
    "HELO_POLICY",
    "MAX_LOOKUPS",
    "MAX_MX_HOSTS",
    "SpfInclude",
    "SpfPolicy",
    "SpfRecord",
    "SpfTerm",
    "address_mechanism",
    "lookup_costs",
    "read_policy",
]

MAX_LOOKUPS = 10  # terms that make a receiver ask DNS, in the whole evaluation (RFC 7208 §4.6.4)
MAX_MX_HOSTS = 10  # names behind one "mx" term (RFC 7208 §4.6.4)
# Networks larger than these authorise strangers: most of a provider's customers share them.
_BROADEST_PREFIX = {4: 16, 6: 32}
_ABSURD_PREFIX = {4: 8, 6: 16}  # larger than registries ever gave to one holder

_MECHANISMS = ("all", "include", "a", "mx", "ptr", "ip4", "ip6", "exists")
_MODIFIERS = ("redirect", "exp")
_LOOKUP_KINDS = frozenset({"include", "a", "mx", "exists", "redirect"})
_SLIPS = MappingProxyType({"ipv4": "ip4", "ipv6": "ip6", "ip": "ip4", "includes": "include", "host": "a", "mx4": "mx"})
_TERM = re.compile(r"(?P<qualifier>[-+~?]?)(?P<kind>[A-Za-z][A-Za-z0-9_.-]*)(?P<rest>.*)", re.DOTALL)
_DUAL_CIDR = re.compile(r"(?P<domain>[^/]*)(?:/(?P<v4>[0-9]+))?(?://(?P<v6>[0-9]+))?")
_MACRO = re.compile(r"%(?:\{(?P<letter>[A-Za-z])[0-9]*r?[-.+,/_=]*\}|[%_-])")


@dataclass(frozen=True, kw_only=True)
class SpfInclude:
    """``include:domain``. ``lookups`` counts this include and everything nested in it; None: not known."""

    domain: str
    lookups: int | None = None


@dataclass(frozen=True, kw_only=True)
class SpfPolicy:
    """Who may send for a domain.

    ``mechanisms`` are single terms as in the record ("ip4:198.51.100.7", "mx", "a:mail.example.com"); they stand
    first, since most of them cost no lookup. ``includes`` are other domains' records whose cost may be known; a name
    there may have macros (RFC 7208 §7). ``all`` is what happens to everybody else: "~all" (softfail), "-all" (fail) or
    "?all" (nothing is said). ``redirect`` hands everybody else over to another domain's record instead (§6.1); then
    ``all`` is None.
    """

    includes: tuple[SpfInclude, ...] = ()
    mechanisms: tuple[str, ...] = ()
    all: str | None = "~all"
    redirect: str | None = None

    @classmethod
    def merged(cls, *policies: "SpfPolicy") -> "SpfPolicy":
        """Make one policy of several, since a name may have only one SPF record (RFC 7208 §3.2).

        Order is kept and repeated terms are dropped when the record is made. The mildest ``all`` wins: the
        stricter one was written without knowing the other senders.
        """
        return cls(
            includes=tuple(include for policy in policies for include in policy.includes),
            mechanisms=tuple(mechanism for policy in policies for mechanism in policy.mechanisms),
            all=_mildest({policy.all for policy in policies if policy.all is not None}),
            redirect=next((policy.redirect for policy in policies if policy.redirect is not None), None),
        )


def _mildest(endings: set[str]) -> str | None:
    # One that is not allowed comes first, so that reading the merged policy reports it.
    wrong = sorted(endings - set(ENDINGS))
    return next(iter([*wrong, *(ending for ending in ENDINGS if ending in endings)]), None)


ENDINGS = ("?all", "~all", "-all")  # the mildest first
HELO_POLICY = SpfPolicy(mechanisms=("a",), all="-all")  # for the name a relay says in EHLO (RFC 7208 §2.3)


@dataclass(frozen=True, kw_only=True)
class SpfTerm:
    """One term, read and normalised.

    ``kind`` is "include", "a", "mx", "ip4", "ip6", "exists", "redirect" or "exp"; ``qualifier`` is "" (pass),
    "-", "~" or "?"; ``domain`` the target where one is written; ``network`` the range of ip4 and ip6;
    ``cost`` the stated cost of an include. ``text`` is how it stands in the record.
    """

    text: str
    kind: str
    qualifier: str = ""
    domain: str | None = None
    network: IPNetwork | None = None
    cost: int | None = None

    def target(self, own: str) -> str | None:
        """Return what a or mx asks for: the written name, else the record's own; None when macros decide."""
        return None if "%" in self.text else self.domain or own


@dataclass(frozen=True, kw_only=True)
class SpfRecord:
    """A policy that has been read: the terms that were right, and the text of the record."""

    terms: tuple[SpfTerm, ...]
    all: str | None

    @property
    def text(self) -> str:
        """The record, "v=spf1 ..."; modifiers stand last (RFC 7208 §6)."""
        mechanisms = [term.text for term in self.terms if term.kind not in _MODIFIERS]
        modifiers = [term.text for term in self.terms if term.kind in _MODIFIERS]
        return " ".join(["v=spf1", *mechanisms, *([self.all] if self.all else []), *modifiers])

    def covers(self, address: IPAddress) -> bool:
        """Tell whether an ip4 or ip6 term lets this address pass."""
        return any(
            term.network is not None and term.network.version == address.version and address in term.network
            for term in self.terms
            if not term.qualifier
        )


def address_mechanism(address: str) -> str:
    """Return the term for one address or network: "ip4:198.51.100.7", "ip6:2001:db8::/48".

    Raises ``ValueError`` when it is neither.
    """
    network = ipaddress.ip_network(address)
    return f"ip{network.version}:{_network_text(network)}"


def read_policy(policy: SpfPolicy, domain: str, findings: Findings, *, production: bool) -> SpfRecord:
    """Read every term of a domain's policy; terms that break a rule are noted and left out."""
    label = f"{domain} SPF"
    reader = _Reader(domain, label, findings, production=production)
    read = [*map(reader.term, policy.mechanisms), *map(reader.priced_include, policy.includes)]
    if policy.redirect is not None:
        read.append(reader.term(f"redirect={policy.redirect}"))
    terms = _one_cost_each(term for term in read if term is not None)
    _check_ending(policy, label, findings)
    _check_set(terms, policy, label, findings, wrong_terms=len(findings.errors) > reader.errors_before)
    return SpfRecord(terms=tuple(terms), all=policy.all)


def lookup_costs(
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
        if term.kind not in _LOOKUP_KINDS:
            continue
        # Where macros decide what is asked for, the stated cost is all there is to go by.
        cost = 1 if term.cost is None or term.domain is not None else term.cost
        if term.kind in {"include", "redirect"} and term.domain is not None:
            if term.domain in trail:
                return tuple(costs), (*trail[trail.index(term.domain) :], term.domain)
            if term.domain in records:
                nested, loop = lookup_costs(term.domain, records, trail)
                if loop is not None:
                    return tuple(costs), loop
                cost += sum(number for _, number in nested)
            elif term.cost is not None:
                cost = term.cost
        costs.append((term.text, cost))
    return tuple(costs), None


def _network_text(network: IPNetwork) -> str:
    if network.prefixlen == network.max_prefixlen:
        return str(network.network_address)
    return str(network)


def _one_cost_each(terms: Iterable[SpfTerm]) -> list[SpfTerm]:
    """Keep one of several equal terms; of an include with and without a stated cost, the stated one."""
    kept: dict[str, SpfTerm] = {}
    for term in terms:
        known = kept.get(term.text)
        if known is None or (term.cost or 0) > (known.cost or 0):
            kept[term.text] = term
    return list(kept.values())


def _check_ending(policy: SpfPolicy, label: str, findings: Findings) -> None:
    listed = any(isinstance(item, str) and item.lower().startswith("redirect") for item in policy.mechanisms)
    if listed:
        findings.error(
            label,
            "spf-redirect",
            found="redirect= among the mechanisms",
            expected="redirect on its own: it takes the place of all",
            fix="give its domain as spf.redirect, and leave spf.all out",
        )
    elif policy.redirect is not None and policy.all is not None:
        findings.error(
            label,
            "spf-redirect",
            found=f"a redirect together with {policy.all}",
            expected="one of the two: receivers ignore redirect when there is an all",
            fix="leave spf.all out, or write the redirect's domain into spf.include",
        )
    elif policy.redirect is None and policy.all is None:
        findings.error(
            label,
            "spf-all",
            found="no all and no redirect",
            expected="~all or -all: without it everybody else is neutral",
            fix='set all to "~all", or to "-all" once reports show that all your senders are listed',
        )
    elif policy.all is not None and policy.all not in ENDINGS:
        findings.error(
            label,
            "spf-all",
            found=f"all set to {shown(policy.all)}",
            expected='"~all", "-all" or "?all": +all and plain all let anybody send as you',
            fix='set all to "~all"',
        )
    elif policy.all == "?all":
        findings.warn(
            label,
            "spf-all",
            found='all set to "?all"',
            expected='"~all" or "-all": "?all" says nothing about mail that others send in your name',
            fix='set all to "~all" once reports show that all your senders are listed',
        )


def _check_set(terms: list[SpfTerm], policy: SpfPolicy, label: str, findings: Findings, *, wrong_terms: bool) -> None:
    for modifier in _MODIFIERS:
        repeated = [term.text for term in terms if term.kind == modifier]
        if len(repeated) > 1:
            findings.error(
                label,
                "spf-repeated-modifier",
                found=f"{len(repeated)} {modifier} terms: {', '.join(repeated)}",
                expected=f"at most one {modifier}",
                fix=f"keep one {modifier}=",
            )
    bare: dict[str, SpfTerm] = {}
    for term in terms:
        key = term.text.removeprefix(term.qualifier) if term.qualifier else term.text
        other = bare.setdefault(key, term)
        if other is not term:
            findings.error(
                label,
                "spf-conflict",
                found=f"{other.text} and {term.text}",
                expected="one result for one sender: only the first of the two ever counts",
                fix=f"keep either {other.text} or {term.text}",
            )
    passing = [term for term in terms if term.kind != "exp" and not term.qualifier]
    if not passing and not wrong_terms and policy.all is not None:
        findings.error(
            label,
            "spf-empty",
            found="no term that lets a server send",
            expected="at least one, since the domain is declared as sending",
            fix="add the upstream's include or the address of the sending host",
        )


class _Reader:
    """Reads the terms of one policy and notes what is wrong with each."""

    def __init__(self, domain: str, label: str, findings: Findings, *, production: bool) -> None:
        self.domain = domain
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
        if kind in _MODIFIERS:
            return self._modifier(item, kind, match["qualifier"], rest)
        if kind not in _MECHANISMS:
            self._unknown(item, kind, rest)
            return None
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
        elif "," in item and "%{" not in item:
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

    def _unknown(self, item: str, kind: str, rest: str) -> None:
        if rest.startswith("="):
            self._refuse(
                "spf-modifier",
                shown(item),
                "redirect= or exp=; receivers ignore other modifiers",
                f"remove {item}",
            )
            return
        nearest = _SLIPS.get(kind) or next(iter(difflib.get_close_matches(kind, _MECHANISMS, n=1)), None)
        if kind == "ip" and rest.count(":") > 1:
            nearest = "ip6"
        self._refuse(
            "spf-mechanism",
            f"the unknown mechanism {shown(item)}",
            f"one of {', '.join(_MECHANISMS)}",
            f"write {nearest}{rest}" if nearest else "remove it, or write the host as a: and the address as ip4:",
        )

    def priced_include(self, item: SpfInclude) -> SpfTerm | None:
        """Read one item of ``SpfPolicy.includes``; None when it broke a rule."""
        term = self.term(f"include:{item.domain}")
        if item.lookups is not None and item.lookups < 1:
            self._refuse(
                "spf-include-cost",
                f"{item.lookups!r} as the cost of include:{item.domain}",
                "at least 1: the include itself counts",
                "count the include and everything nested in it",
            )
            return None
        if term is None:
            return None
        return SpfTerm(text=term.text, kind="include", domain=term.domain, cost=item.lookups)

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
                'remove it here and set the field all to "~all" or "-all"',
            )
        elif kind == "ptr":
            self._refuse(
                "spf-ptr",
                shown(item),
                "no ptr: it is slow, and large receivers ignore it",
                "name the sending hosts with ip4:, ip6: or a:",
            )
        elif kind in {"ip4", "ip6"}:
            return self._network(item, kind, qualifier, rest)
        elif kind in {"a", "mx"}:
            return self._address_term(item, kind, qualifier, rest)
        elif not rest.startswith(":") or rest == ":":
            self._refuse("spf-syntax", shown(item), f"{kind}:domain", f"name the domain after {kind}:")
        else:
            return self._targeted(item, kind, qualifier, rest[1:])
        return None

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
        if slash and not (
            prefix_text.isdigit() and str(int(prefix_text)) == prefix_text and int(prefix_text) <= longest
        ):
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
            text=f"{qualifier}{kind}:{_network_text(network)}", kind=kind, qualifier=qualifier, network=network
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
        # A macro may have slashes as delimiters; only what follows the domain is a prefix length.
        dual = _DUAL_CIDR.fullmatch(rest) if "%" not in rest else None
        if dual is None and "%" not in rest:
            self._refuse("spf-prefix", shown(item), f"{kind}:host/24//64 at most", "correct the prefix lengths")
            return None
        target = rest if dual is None else dual["domain"]
        suffix = "" if dual is None else rest[len(target) :]
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

    def _prefixes_fit(self, item: str, dual: re.Match[str] | None, qualifier: str) -> bool:
        if dual is None:
            return True
        for version, longest in ((4, 32), (6, 128)):
            digits = dual[f"v{version}"]
            if digits is None:
                continue
            if int(digits) > longest or str(int(digits)) != digits:
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
        separator = "=" if kind in _MODIFIERS else ":"
        if "%" in target:
            if not self._macros_fit(item, target):
                return None
            return SpfTerm(text=f"{qualifier}{kind}{separator}{target}", kind=kind, qualifier=qualifier)
        if self._is_address(target.split("/", 1)[0]):
            version = 6 if ":" in target else 4
            self._refuse(
                "spf-target",
                f"the IP address in {shown(item)}",
                f"a domain name after {kind}{separator}",
                f"write ip{version}:{target}",
            )
            return None
        try:
            domain = normalise_name(target, service=True)
        except NameRuleError as error:
            self._refuse(
                "spf-target", f"{error.found} in {shown(item)}", error.expected, f"{error.fix}, in {kind}{separator}"
            )
            return None
        return SpfTerm(text=f"{qualifier}{kind}{separator}{domain}", kind=kind, qualifier=qualifier, domain=domain)

    def _macros_fit(self, item: str, target: str) -> bool:
        letters = [match["letter"].lower() for match in _MACRO.finditer(target) if match["letter"]]
        wrong = sorted({letter for letter in letters if letter not in "slodiphv"})
        last = target.rsplit(".", 1)[-1].rsplit("}", 1)[-1]
        if "%" in _MACRO.sub("", target) or wrong:
            what = f"the macro letter {', '.join(wrong)} in {shown(item)}" if wrong else shown(item)
            self._refuse(
                "spf-macro",
                what,
                "macros such as %{i}, with one of the letters s l o d i p h v; %% for a percent sign",
                "correct the macro",
            )
            return False
        if "p" in letters:
            self.findings.warn(
                self.label,
                "spf-macro",
                found=f"the macro %{{p}} in {shown(item)}",
                expected="no %{p}: it needs a reverse lookup and must not be relied on",
                fix="use %{i} or %{d}",
            )
        if last.isdigit() or (last == "" and not target.endswith("}")):
            self._refuse(
                "spf-macro", shown(item), "a domain name after the last macro", "end the target with your domain"
            )
            return False
        return True
