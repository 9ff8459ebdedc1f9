"""From a declaration to the complete record set: one pure function, all rules checked, all problems at once."""

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from mailstack.maildns.dkim import DkimKey, check_dkim, dkim_text
from mailstack.maildns.dmarc import DmarcPolicy, check_dmarc, dmarc_text, external_report_domains
from mailstack.maildns.names import absolute, address_problems, is_below, name_problems
from mailstack.maildns.problems import DnsRuleError, Problem
from mailstack.maildns.records import Address, Data, MailExchanger, Record, Text
from mailstack.maildns.spf import SpfPolicy, check_spf, spf_text

__all__ = ["Declared", "DnsDeclaration", "MailHost", "SendingDomain", "declare"]

# Seconds. Cloudflare's range on every plan; shorter ones also make receivers ask for every message.
TTL_RANGE = (60, 86_400)
NULL_MX = MailExchanger(preference=0, exchange=".")
# A host that greets with this name sends only from its own addresses (RFC 7208 §2.3).
HELO_SPF = "v=spf1 a -all"


@dataclass(frozen=True, kw_only=True)
class MailHost:
    """A host with a public name. ``helo``: it greets others with this name, so the name gets an SPF record."""

    name: str
    ipv4: tuple[str, ...] = ()
    ipv6: tuple[str, ...] = ()
    helo: bool = False


@dataclass(frozen=True, kw_only=True)
class SendingDomain:
    """A domain in From or MAIL FROM. ``mx`` empty: it receives nothing and says so with a null MX (RFC 7505)."""

    name: str
    mx: tuple[MailExchanger, ...] = ()
    spf: SpfPolicy = field(default_factory=SpfPolicy)
    dkim: tuple[DkimKey, ...] = ()
    dmarc: DmarcPolicy = field(default_factory=DmarcPolicy)


@dataclass(frozen=True, kw_only=True)
class DnsDeclaration:
    """Everything records follow from. ``production`` refuses addresses that others cannot reach."""

    domains: tuple[SendingDomain, ...]
    hosts: tuple[MailHost, ...] = ()
    ttl: int = 3600
    production: bool = True


@dataclass(frozen=True, kw_only=True)
class Declared:
    """The records, in zone order without duplicates, and what is legal but unwise."""

    records: tuple[Record, ...]
    warnings: tuple[str, ...]


def declare(declaration: DnsDeclaration) -> Declared:
    """Return the record set of ``declaration``. Raises DnsRuleError with every broken rule."""
    problems: list[Problem] = []
    warnings: list[str] = []
    data: set[tuple[str, Data]] = set()
    if not TTL_RANGE[0] <= declaration.ttl <= TTL_RANGE[1]:
        problems.append(
            Problem(
                record="every record",
                rule="ttl-range",
                source="RFC 2181 §8",
                found=f"TTL {declaration.ttl}",
                expected=f"must be {TTL_RANGE[0]} to {TTL_RANGE[1]} seconds",
                fix="use 3600",
            )
        )
    for host in declaration.hosts:
        problems += _host(host, data, production=declaration.production)
    for domain in declaration.domains:
        found, said = _domain(domain, declaration, data)
        problems += found
        warnings += said
    problems += _clashes(data)
    if problems:
        raise DnsRuleError(problems)
    records = [Record(name=name, ttl=declaration.ttl, data=item) for name, item in data]
    return Declared(records=tuple(sorted(records, key=lambda record: record.sort_key)), warnings=tuple(warnings))


def _host(host: MailHost, data: set[tuple[str, Data]], *, production: bool) -> list[Problem]:
    name = absolute(host.name)
    problems = name_problems(name, f"host {name}", host=True)
    for ip in (*host.ipv4, *host.ipv6):
        found = address_problems(ip, f"address of {name}", production=production)
        problems += found
        if not found:
            data.add((name, Address(ip=_canonical(ip))))
    if host.helo:
        data.add((name, Text(value=HELO_SPF)))
    return problems


def _canonical(ip: str) -> str:

    return str(ipaddress.ip_address(ip))


def _domain(
    domain: SendingDomain, declaration: DnsDeclaration, data: set[tuple[str, Data]]
) -> tuple[list[Problem], list[str]]:
    name = absolute(domain.name)
    problems = name_problems(name, f"domain {name}", host=True)
    problems += _mail_exchangers(name, domain.mx, declaration)
    warnings: list[str] = []
    for found, said in (
        check_spf(name, domain.spf),
        check_dkim(name, domain.dkim),
        check_dmarc(name, domain.dmarc),
    ):
        problems += found
        warnings += said
    exchangers = [MailExchanger(preference=mx.preference, exchange=absolute(mx.exchange) or ".") for mx in domain.mx]
    data.update((name, mx) for mx in exchangers or [NULL_MX])
    data.add((name, Text(value=spf_text(domain.spf))))
    data.update((f"{absolute(key.selector)}._domainkey.{name}", Text(value=dkim_text(key))) for key in domain.dkim)
    data.add((f"_dmarc.{name}", Text(value=dmarc_text(domain.dmarc))))
    managed = [absolute(other.name) for other in declaration.domains]
    for receiver in external_report_domains(name, domain.dmarc):
        permission = f"{name}._report._dmarc.{receiver}"
        if any(is_below(receiver, other) for other in managed):
            data.add((permission, Text(value="v=DMARC1;")))
        else:
            warnings.append(
                f"DMARC of {name} sends reports to {receiver}, which must publish TXT {permission} "
                '"v=DMARC1;" or receivers send none (RFC 9990)'
            )
    return problems, warnings


def _mail_exchangers(
    name: str, exchangers: tuple[MailExchanger, ...], declaration: DnsDeclaration
) -> Iterator[Problem]:
    def problem(rule: str, source: str, found: str, expected: str, fix: str) -> Problem:
        return Problem(record=f"MX of {name}", rule=rule, source=source, found=found, expected=expected, fix=fix)

    seen: set[str] = set()
    known = {absolute(host.name): host for host in declaration.hosts}
    inside = [absolute(domain.name) for domain in declaration.domains]
    for mx in exchangers:
        target = absolute(mx.exchange)
        if not target:
            if len(exchangers) > 1:
                yield problem(
                    "mx-null", "RFC 7505 §3", '"." beside others', "a null MX stands alone", "remove it or the others"
                )
            continue
        if not 0 <= mx.preference <= 65_535:
            yield problem("mx-preference", "RFC 1035 §3.3.9", str(mx.preference), "must be 0 to 65535", "use 10")
        if target.replace(".", "").isdigit() or ":" in target:
            yield problem("mx-address", "RFC 5321 §5.1", target, "must be a host name", "give the address a name")
        else:
            yield from name_problems(target, f"MX of {name}", host=True)
        if target in seen:
            yield problem("mx-duplicate", "RFC 5321 §5.1", target, "stands twice", "keep one preference")
        seen.add(target)
        host = known.get(target)
        if any(is_below(target, zone) for zone in inside) and (host is None or not (host.ipv4 or host.ipv6)):
            yield problem(
                "mx-target",
                "RFC 5321 §5.1",
                target,
                "is inside a declared domain and has no address there",
                "declare the host with its address, or name another exchanger",
            )


def _clashes(data: set[tuple[str, Data]]) -> Iterator[Problem]:
    """Yield names that would get two SPF records: a greeting host must not share its name with a domain."""
    spf: dict[str, list[str]] = defaultdict(list)
    for name, item in data:
        if isinstance(item, Text) and item.value.startswith("v=spf1"):
            spf[name].append(item.value)
    for name, values in sorted(spf.items()):
        if len(values) > 1:
            yield Problem(
                record=f"SPF of {name}",
                rule="spf-one-record",
                source="RFC 7208 §4.5",
                found=f"{len(values)} records",
                expected="a name has exactly one",
                fix="let the host greet with a name of its own, below the domain",
            )
