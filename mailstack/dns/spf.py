"""SPF policies: read strictly and merged into one record (RFC 7208)."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from mailstack.dns.addresses import IPAddress
from mailstack.dns.problems import Findings, shown
from mailstack.dns.spf_terms import MODIFIERS, SpfTerm, TermReader, network_text

__all__ = ["HELO_POLICY", "SpfInclude", "SpfPolicy", "SpfRecord", "address_mechanism", "read_policy"]


_DEFAULT_ENDING = "~all"
_ENDINGS = ("?all", "~all", "-all")  # the mildest first


@dataclass(frozen=True, kw_only=True)
class SpfInclude:
    """``include:domain``. ``lookups`` counts this include and everything nested in it; None: not known.

    ``domain`` may have macros (RFC 7208 §7). Nobody can follow it then: it counts as 1 unless ``lookups`` says more.
    """

    domain: str
    lookups: int | None = None


@dataclass(frozen=True, kw_only=True)
class SpfPolicy:
    """Who may send for a domain.

    ``mechanisms`` are single terms as in the record ("ip4:198.51.100.7", "mx", "a:mail.example.com"); they stand
    first, since most of them cost no lookup. ``includes`` are other domains' records whose cost may be known.
    ``redirect`` names the record that decides about everybody else (RFC 7208 §6.1); ``redirect_lookups`` is its cost
    like that of an include. ``all`` says it here: "~all" (softfail), "-all" (fail) or "?all" (neutral, which is
    also what a record without any all means). None is "~all", and nothing with a redirect.
    """

    includes: tuple[SpfInclude, ...] = ()
    mechanisms: tuple[str, ...] = ()
    redirect: str | None = None
    redirect_lookups: int | None = None
    all: str | None = None

    @classmethod
    def merged(cls, *policies: "SpfPolicy") -> "SpfPolicy":
        """Make one policy of several, since a name may have only one SPF record (RFC 7208 §3.2).

        Order is kept and repeated terms are dropped when the record is made. The mildest ``all`` wins: the
        stricter one was written without knowing the other senders. Two redirects, or one beside an ``all`` that was
        asked for, are both kept: reading the policy reports them.
        """
        first = next((policy for policy in policies if policy.redirect is not None), cls())
        others = dict.fromkeys(policy.redirect for policy in policies if policy.redirect not in {None, first.redirect})
        mechanisms = [mechanism for policy in policies for mechanism in policy.mechanisms]
        return cls(
            includes=tuple(include for policy in policies for include in policy.includes),
            mechanisms=(*mechanisms, *(f"redirect={other}" for other in others)),
            redirect=first.redirect,
            redirect_lookups=first.redirect_lookups,
            all=_mildest(policies),
        )

    @property
    def redirects(self) -> bool:
        """Tell whether a redirect is asked for, be it among the mechanisms."""
        return self.redirect is not None or any(
            isinstance(item, str) and item.lower().startswith("redirect") for item in self.mechanisms
        )

    @property
    def ending(self) -> str | None:
        """The all of the record; None with a redirect."""
        return _DEFAULT_ENDING if self.all is None and not self.redirects else self.all


def _mildest(policies: tuple[SpfPolicy, ...]) -> str | None:
    said = {policy.all for policy in policies if policy.all is not None}
    if said:
        said |= {policy.ending for policy in policies if policy.ending is not None}
    # One that is not allowed comes first, so that reading the merged policy reports it.
    wrong = sorted(said.difference(_ENDINGS))
    return next(iter([*wrong, *(ending for ending in _ENDINGS if ending in said)]), None)


HELO_POLICY = SpfPolicy(mechanisms=("a",), all="-all")  # for the name a relay says in EHLO (RFC 7208 §2.3)


@dataclass(frozen=True, kw_only=True)
class SpfRecord:
    """A policy that has been read: the terms that were right, and the text of the record."""

    terms: tuple[SpfTerm, ...]
    all: str | None

    @property
    def text(self) -> str:
        """The record, "v=spf1 ..."; modifiers stand last (RFC 7208 §6)."""
        mechanisms = [term.text for term in self.terms if not term.is_modifier]
        modifiers = [term.text for term in self.terms if term.is_modifier]
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
    return f"ip{network.version}:{network_text(network)}"


def read_policy(policy: SpfPolicy, domain: str, findings: Findings, *, production: bool) -> SpfRecord:
    """Read every term of a domain's policy; terms that break a rule are noted and left out."""
    label = f"{domain} SPF"
    reader = TermReader(label, findings, production=production)
    read = [
        *map(reader.term, policy.mechanisms),
        *(reader.priced("include", include.domain, include.lookups) for include in policy.includes),
    ]
    if policy.redirect is not None:
        read.append(reader.priced("redirect", policy.redirect, policy.redirect_lookups))
    terms = _one_cost_each(term for term in read if term is not None)
    _check_ending(policy, label, findings)
    _check_set(terms, policy, label, findings, wrong_terms=len(findings.errors) > reader.errors_before)
    return SpfRecord(terms=tuple(terms), all=policy.ending)


def _one_cost_each(terms: Iterable[SpfTerm]) -> list[SpfTerm]:
    """Keep one of several equal terms; of an include with and without a stated cost, the stated one."""
    kept: dict[str, SpfTerm] = {}
    for term in terms:
        known = kept.get(term.text)
        if known is None or (term.cost or 0) > (known.cost or 0):
            kept[term.text] = term
    return list(kept.values())


def _check_ending(policy: SpfPolicy, label: str, findings: Findings) -> None:
    if policy.all is None:
        return
    if policy.all not in _ENDINGS:
        findings.error(
            label,
            "spf-all",
            found=f"all set to {shown(policy.all)}",
            expected='"~all" or "-all"; +all and plain all would let anybody send as you',
            fix='set `spf.all` to "~all"',
        )
    elif policy.all == "?all":
        findings.warn(
            label,
            "spf-all",
            found='"?all"',
            expected='"~all" or "-all": neutral says nothing about mail that others send as you',
            fix='set `spf.all` to "~all" once all your senders are listed',
        )
    if policy.redirects:
        findings.error(
            label,
            "spf-redirect",
            found=f"a redirect together with {policy.all}",
            expected="one of the two: receivers ignore redirect when there is an all",
            fix="remove `spf.all`, or name the other record in `spf.include` instead",
        )


def _check_set(terms: list[SpfTerm], policy: SpfPolicy, label: str, findings: Findings, *, wrong_terms: bool) -> None:
    for modifier in MODIFIERS:
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
    passing = [term for term in terms if not term.is_modifier and not term.qualifier]
    if not passing and not wrong_terms and not policy.redirects:
        findings.error(
            label,
            "spf-empty",
            found="no term that lets a server send",
            expected="at least one, since the domain is declared as sending",
            fix="name the upstream in `spf.include`, or the address of the sending host in `spf.mechanisms`",
        )
