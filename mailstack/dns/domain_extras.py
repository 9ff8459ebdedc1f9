"""What a domain may have beyond mail's own records: CAA, reports about TLS, a logo, services, TLSA, revoked keys."""

from collections.abc import Iterator

from mailstack.dns.bimi import read_bimi
from mailstack.dns.caa import CertificateUse, check_certificates, read_caa
from mailstack.dns.names import holder, lineage, read_name
from mailstack.dns.parts import Parts, ReadDomain
from mailstack.dns.rdata import NULL_MX, Caa, RecordData, Text
from mailstack.dns.services import check_srv, read_services
from mailstack.dns.tls_rpt import read_tls_reports
from mailstack.dns.tlsa import read_tlsa

__all__ = ["check_issuers", "collect_extras"]

NamedData = tuple[str, RecordData]

NO_KEYS = "v=DKIM1; p="  # of every selector: all are revoked (RFC 6376 §3.6.1)


def collect_extras(parts: Parts) -> Iterator[NamedData]:
    """Yield the records, and note what is wrong with them."""
    uses = _uses_by_name(parts)
    for domain in parts.domains.values():
        source = domain.source
        if source.caa is not None:
            records = read_caa(source.caa, domain.name, uses.get(domain.name, ()), parts.findings)
            yield from ((domain.name, record) for record in records)
        if source.profile == "parked":
            yield f"*._domainkey.{domain.name}", Text(value=NO_KEYS)
        yield from _reports(parts, domain)
        yield from _logo(parts, domain)
    aliases = parts.aliases | parts.cnames.keys()
    for service in parts.declaration.services:
        for name, record in read_services(service, parts.findings):
            check_srv(name, record, f"{service.domain} SRV", parts.findings, alias=record.target in aliases)
            yield name, record
    yield from _tlsa(parts, aliases)


def check_issuers(parts: Parts, data: list[NamedData]) -> None:
    """Note certificates that the declared CAA records forbid."""
    records: dict[str, list[Caa]] = {}
    for name, value in data:
        if isinstance(value, Caa):
            records.setdefault(name, []).append(value)
    if records:
        check_certificates(parts.declaration.certificates, records, parts.cnames, parts.findings)


def _uses_by_name(parts: Parts) -> dict[str, list[CertificateUse]]:
    """Return the certificates at or below each declared domain."""
    found: dict[str, list[CertificateUse]] = {}
    for use in parts.declaration.certificates:
        for name in lineage(use.name):
            if name in parts.domains:
                found.setdefault(name, []).append(use)
    return found


def _reports(parts: Parts, domain: ReadDomain) -> Iterator[NamedData]:
    if domain.source.tls_reports is None:
        return
    label = f"{domain.name} TLS-RPT"
    record = read_tls_reports(domain.source.tls_reports, domain.name, parts.findings)
    name = read_name(f"_smtp._tls.{domain.name}", label, parts.findings, service=True)
    if domain.exchangers == (NULL_MX,):
        parts.findings.warn(
            label,
            "tls-rpt-no-mail",
            found="reports about mail to a domain with a null MX",
            expected="a domain that takes mail",
            fix="give the domain an `mx`, or remove `tls_rpt`",
        )
    for mailbox in record.mailbox_domains if record is not None else ():
        if mailbox in parts.domains and parts.domains[mailbox].exchangers == (NULL_MX,):
            parts.findings.error(
                label,
                "tls-rpt-mailbox",
                found=f"reports to {mailbox}, which has a null MX",
                expected="a domain that takes mail",
                fix=f"give {mailbox} an `mx`, or send reports elsewhere",
            )
    if record is not None and name is not None:
        yield name, Text(value=record.text)


def _logo(parts: Parts, domain: ReadDomain) -> Iterator[NamedData]:
    bimi = domain.source.bimi
    if bimi is None:
        return
    label = f"{domain.name} BIMI"
    text = read_bimi(bimi, domain.name, parts.findings)
    policy, weakest = _dmarc_of(parts, domain.name)
    if policy == "none" or weakest == "none":
        parts.findings.error(
            label,
            "bimi-policy",
            found="DMARC policy none" if policy == "none" else "DMARC policy none for subdomains",
            expected="quarantine or reject, for subdomains too: without it no logo is shown",
            fix="set `dmarc.policy` to quarantine or reject, and `dmarc.subdomain_policy` not to none",
        )
    name = read_name(f"{bimi.selector}._bimi.{domain.name}", label, parts.findings, service=True)
    if text is not None and name is not None:
        yield name, Text(value=text)


def _dmarc_of(parts: Parts, name: str) -> tuple[str, str]:
    """Return the policy that holds for a domain, and the one for what is below it."""
    for parent in lineage(name):
        policy = parts.domains[parent].source.dmarc if parent in parts.domains else None
        if policy is not None:
            below = policy.subdomain_policy or policy.policy
            return (policy.policy if parent == name else below), below
    return "none", "none"


def _tlsa(parts: Parts, aliases: frozenset[str] | set[str]) -> Iterator[NamedData]:
    signed = frozenset(parts.declaration.signed_zones)
    renewed = {use.name for use in parts.declaration.certificates}
    for host in parts.declaration.tlsa:
        found = read_tlsa(host, holder(host.name, signed) is not None, renewed, aliases, parts.findings)
        if found is not None:
            name, records = found
            yield from ((name, record) for record in records)
