"""Sending services joined to the declaration: their records, and whether their mail is aligned with From (DMARC)."""

from dataclasses import replace

from mailstack.dns.declaration import DnsDeclaration
from mailstack.dns.problems import Findings
from mailstack.dns.providers import MailgunDomain, Provider
from mailstack.dns.sending import SendingDomain

__all__ = ["with_providers"]


def with_providers(declaration: DnsDeclaration, findings: Findings) -> DnsDeclaration:
    """Return the declaration with what its sending services ask for; what is wrong is noted."""
    if not declaration.providers:
        return declaration
    domains = {domain.name: domain for domain in declaration.domains}
    own: list[SendingDomain] = []
    aliases: list[tuple[str, str]] = []
    for provider in declaration.providers:
        provider.check(findings)
        domain = domains[provider.domain]
        _check_exchangers(provider, domain, findings)
        _check_alignment(provider, domain, findings)
        below = provider.own_domain()
        if below is not None and below.name in domains:
            _note_declared(provider, below.name, findings)
        elif below is not None:
            own.append(below)
            domains[below.name] = below
        aliases += provider.aliases()
        domains[domain.name] = replace(
            provider.applied(domain), bounces_elsewhere=domain.bounces_elsewhere or _elsewhere(provider)
        )
    changed = tuple(domains[domain.name] for domain in declaration.domains)
    return replace(declaration, domains=(*changed, *own), cnames=(*declaration.cnames, *aliases))


def _elsewhere(provider: Provider) -> bool:
    return provider.bounces_to not in {None, provider.domain}


def _check_exchangers(provider: Provider, domain: SendingDomain, findings: Findings) -> None:
    if not (isinstance(provider, MailgunDomain) and provider.name == domain.name and provider.receive and domain.mx):
        return
    findings.error(
        f"{domain.name} Mailgun",
        "provider-mx",
        found=f"exchangers of the domain ({', '.join(mx.exchange for mx in domain.mx)}) beside Mailgun's",
        expected="one place that takes the domain's mail",
        fix="set `mailgun.receive` to false, or give Mailgun a domain below in `mailgun.domain`",
    )


def _note_declared(provider: Provider, name: str, findings: Findings) -> None:
    findings.error(
        f"{provider.domain} {provider.title}",
        "provider-domain",
        found=f"{name}, which has records of its own already",
        expected="a name for this service alone: it has one SPF record and one place for bounces",
        fix="choose another name below the domain, or declare the service with that one of `domains`",
    )


def _check_alignment(provider: Provider, domain: SendingDomain, findings: Findings) -> None:
    """Hold what its mail is signed as, and where it bounces to, against the From domain."""
    if domain.dmarc is None:
        return
    signed, bounces = provider.signs_as, provider.bounces_to
    by_dkim = signed is not None and (signed == domain.name or domain.dmarc.dkim_alignment == "relaxed")
    by_spf = bounces is not None and (bounces == domain.name or domain.dmarc.spf_alignment == "relaxed")
    label = f"{domain.name} {provider.title}"
    if not by_dkim and not by_spf:
        note = findings.warn if domain.dmarc.policy == "none" else findings.error
        note(
            label,
            "provider-alignment",
            found=f"mail signed as {signed or 'the service'} that bounces to {bounces or 'the service'}",
            expected=f"one of them aligned with From {domain.name}: else all mail of the service fails DMARC",
            fix="give its DKIM values or its domain for MAIL FROM, or make `dmarc.dkim_alignment` relaxed",
        )
    elif not by_dkim or (not by_spf and bounces is not None):
        what, setting = ("DKIM", "dkim_alignment") if not by_dkim else ("SPF", "spf_alignment")
        findings.warn(
            label,
            "provider-alignment",
            found=f"mail signed as {signed or 'the service'} that bounces to {bounces}, aligned by one alone",
            expected=f"both aligned with From {domain.name}: {what} does not count for this service",
            fix=f"make `dmarc.{setting}` relaxed"
            if signed is not None
            else "give the DKIM values that the service shows: without them forwarded mail fails DMARC",
        )
