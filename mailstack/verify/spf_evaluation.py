"""What a receiver answers for one address by SPF records as they stand in DNS (RFC 7208 §4).

What a record costs whatever the sender is ``mailstack.dns.spf_tree``'s; here the first term that matches ends it, and
macros and the sender's address family decide what is asked. By hand, because pyspf asks DNS in its own way and is there
for tests only; tests/verify/test_agreement.py holds us to it.
"""

import ipaddress
import re
from collections.abc import Callable
from dataclasses import dataclass

from mailstack.dns.addresses import IPAddress
from mailstack.dns.spf_read import SpfError, Term, read_spf, spf_records
from mailstack.dns.spf_tree import MAX_LOOKUPS, MAX_MX_HOSTS, MAX_VOIDS
from mailstack.verify.answer import Answer

__all__ = ["Evaluation", "Lookup", "expanded"]

RESULTS = {"+": "pass", "-": "fail", "~": "softfail", "?": "neutral"}
DEEPEST = 20  # includes within includes; far more than ten lookups allow
_MACRO = re.compile(r"%(?:\{([A-Za-z])([0-9]*)([rR]?)([-.+,/_=]*)\}|([%_-]))")

Lookup = Callable[[str, str], Answer]


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
                if len(hosts) > MAX_MX_HOSTS:
                    raise _PermanentError(f"{term.text} has more than {MAX_MX_HOSTS} mail hosts")
                return any(self._holds(self._ask(host, family).values, term) for host in hosts if host != ".")
        names = self._ask(self.address.reverse_pointer, "PTR", counts=True).values[:MAX_MX_HOSTS]
        return any(
            (name == target or name.endswith(f".{target}")) and str(self.address) in self._ask(name, family).values
            for name in names
        )

    def _holds(self, addresses: tuple[str, ...], term: Term) -> bool:
        length = term.lengths[0 if self.address.version == 4 else 1]
        return any(self.address in ipaddress.ip_network((one, length), strict=False) for one in addresses)


def expanded(target: str, *, domain: str, address: IPAddress, sender: str, helo: str) -> str:
    """Expand the macros of a domain-spec (§7.2 to §7.4). ``%{p}`` becomes "unknown", as §7.3 lets it."""
    local, _, sender_domain = sender.rpartition("@")
    dotted = ".".join(address.exploded.replace(":", "")) if address.version == 6 else str(address)
    values = {
        "s": sender,
        "l": local or "postmaster",
        "o": sender_domain,
        "d": domain,
        "i": dotted,
        "p": "unknown",
        "v": "in-addr" if address.version == 4 else "ip6",
        "h": helo,
    }

    def one(match: re.Match[str]) -> str:
        if match[5]:
            return {"%": "%", "_": " ", "-": "%20"}[match[5]]
        parts = re.split(f"[{re.escape(match[4] or '.')}]", values.get(match[1].lower(), ""))
        parts = parts[::-1] if match[3] else parts
        return ".".join(parts[-int(match[2]) :] if match[2] else parts)

    name = _MACRO.sub(one, target)
    while len(name) > 253 and "." in name:  # §7.3: labels are taken from the left until it fits
        name = name.partition(".")[2]
    return name
