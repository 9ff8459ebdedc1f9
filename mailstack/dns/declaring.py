"""From a declaration to its record set: one pure function, every rule checked, every problem reported at once."""

from collections.abc import Iterator

from mailstack.dns.declaration import Declared, DnsDeclaration
from mailstack.dns.dmarc import REPORT_PERMISSION, DmarcRecord, report_permission_name
from mailstack.dns.domain_extras import check_issuers, collect_extras
from mailstack.dns.domain_rules import check_domains
from mailstack.dns.further_rules import check_further, read_further
from mailstack.dns.names import read_name
from mailstack.dns.parts import Parts, ReadDomain
from mailstack.dns.problems import Findings
from mailstack.dns.provider_rules import with_providers
from mailstack.dns.records import Address, Alias, Record, RecordData, RecordSet, Text, is_plain_text
from mailstack.dns.spf_rules import check_spf

__all__ = ["declare"]

TEXT_WARN_BYTES = 450  # TXT data at one name that still leaves room for the rest of a 512-byte answer
TEXT_LIMIT_BYTES = 512  # a UDP answer without EDNS (RFC 7208 §3.4)

NamedData = tuple[str, RecordData]


def declare(declaration: DnsDeclaration) -> Declared:
    """Return the records that follow from a declaration. Raises ``DnsRuleError`` with every broken rule."""
    findings = Findings()
    declaration = with_providers(declaration, findings)
    parts = Parts(declaration, findings)
    check_domains(parts)
    lookups = check_spf(parts)
    data = [*_collect(parts), *collect_extras(parts)]
    further = read_further(parts)
    check_further(further, data, parts)
    everything = [*data, *((record.name, record.data) for record in further)]
    _check_names(parts, everything)
    check_issuers(parts, everything)
    findings.raise_errors()
    records = [Record.of(name, declaration.ttl, value) for name, value in data]
    records += [Record.of(record.name, record.ttl, record.data) for record in further]
    return Declared(records=RecordSet.of(records), warnings=tuple(findings.warnings), spf_lookups=lookups)


def _collect(parts: Parts) -> Iterator[NamedData]:
    for host in parts.hosts.values():
        yield from ((host.name, Address(ip=str(address))) for address in host.addresses)
    for name, record in parts.spf.items():
        texts = (record.text, *(parts.domains[name].source.texts if name in parts.domains else ()))
        if _fits(parts, name, record.text, texts):
            yield name, Text(value=record.text)
    yield from ((name, Alias(target=target)) for name, target in parts.cnames.items())
    for domain in parts.domains.values():
        yield from ((domain.name, mx) for mx in domain.exchangers)
        yield from ((domain.name, Text(value=text)) for text in domain.source.texts if is_plain_text(text))
        yield from ((name, Text(value=key.text)) for name, key in domain.keys if key.alias is None)
        if domain.dmarc is not None:
            yield from _collect_dmarc(parts, domain, domain.dmarc)
    for name, sts in parts.mta_sts:
        yield from _text_below("_mta-sts", name, sts.text, parts, f"{name} MTA-STS")


def _collect_dmarc(parts: Parts, domain: ReadDomain, dmarc: DmarcRecord) -> Iterator[NamedData]:
    yield from _text_below("_dmarc", domain.name, dmarc.text, parts, f"{domain.name} DMARC")
    for receiver in dmarc.report_domains:
        permission = report_permission_name(domain.name, receiver, parts.domains)
        if permission is not None and parts.is_ours(receiver):
            label = permission.removesuffix(f".{receiver}")
            yield from _text_below(label, receiver, REPORT_PERMISSION, parts, f"{domain.name} DMARC")


def _text_below(prefix: str, parent: str, text: str, parts: Parts, label: str) -> Iterator[NamedData]:
    name = read_name(f"{prefix}.{parent}", label, parts.findings, service=True)
    if name is not None:
        yield name, Text(value=text)


def _fits(parts: Parts, name: str, spf: str, texts: tuple[str, ...]) -> bool:
    """Check the size of the TXT answer at a name; False when the SPF record alone is too long."""
    if len(spf) > TEXT_LIMIT_BYTES:
        parts.findings.error(
            f"{name} SPF",
            "txt-size",
            found=f"an SPF record of {len(spf)} bytes",
            expected=f"at most {TEXT_LIMIT_BYTES}, better {TEXT_WARN_BYTES}: it must fit into a UDP answer",
            fix="join addresses to ranges, or move senders to a subdomain",
        )
        return False
    total = sum(len(text) for text in texts)
    if total > TEXT_WARN_BYTES:
        over = total > TEXT_LIMIT_BYTES
        parts.findings.warn(
            f"{name} SPF",
            "txt-size",
            found=f"{total} bytes of TXT at {name}, of which SPF has {len(spf)}",
            expected=f"at most {TEXT_WARN_BYTES}: "
            + ("this does not fit" if over else "more may not fit")
            + f" into a UDP answer of {TEXT_LIMIT_BYTES} bytes",
            fix="remove verification texts no longer needed, or shorten the SPF record",
        )
    return True


def _check_names(parts: Parts, records: list[NamedData]) -> None:
    aliases = parts.aliases | {name for name, data in records if isinstance(data, Alias)}
    at_aliases: dict[str, set[RecordData]] = {}
    for name, data in records:
        if name in aliases:
            at_aliases.setdefault(name, set()).add(data)
    taken = [name for name, found in at_aliases.items() if len(found) > 1 or name in parts.aliases]
    for name in sorted(taken):
        parts.findings.error(
            f"{name} records",
            "cname-exclusive",
            found=f"records at {name}, which is a CNAME",
            expected="a CNAME alone at its name",
            fix="remove the CNAME, or use another name",
        )
