"""From settings to what a domain has beyond SPF, DKIM and DMARC: profiles, CAA, reports, services, other senders."""

from collections.abc import Iterator
from typing import Any

from mailstack.dns import (
    Bimi,
    CaaPolicy,
    CertificateUse,
    DkimKey,
    DmarcPolicy,
    FurtherRecord,
    MailgunDomain,
    MailService,
    SendGridDomain,
    SendingDomain,
    SesIdentity,
    SpfInclude,
    SpfPolicy,
    TlsaHost,
    TlsReports,
    authority_of,
    decode_content,
)
from mailstack.dns.providers import Provider
from mailstack.dns.rdata import Tlsa
from mailstack.plan.mta_sts import served_policies
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import mailgun_name, provider_region
from mailstack.settings.providers_model import Mailgun, SendGrid
from mailstack.upstreams import PRESETS

__all__ = [
    "certificates",
    "extras",
    "further_records",
    "parked_domain",
    "providers",
    "services",
    "tlsa_hosts",
]

METHODS = {"http": ("http-01",), "dns": ("dns-01",)}  # Caddy's TLS-ALPN challenge is off


def extras(domain: Domain) -> dict[str, Any]:
    """Return the fields of a domain's declaration that have nothing to do with who may send."""
    caa, reports, logo = domain.caa, domain.tls_rpt, domain.bimi
    return {
        "caa": None
        if caa is None
        else CaaPolicy(
            issue=caa.issue,
            computed=caa.issue is None,
            issue_wild=caa.issuewild,
            issue_mail=caa.issuemail,
            iodef=caa.iodef,
            critical=caa.critical,
        ),
        "tls_reports": None if reports is None else TlsReports(destinations=reports.rua),
        "bimi": None if logo is None else Bimi(logo=logo.logo, certificate=logo.certificate, selector=logo.selector),
    }


def parked_domain(domain: Domain) -> SendingDomain:
    """Return a domain without mail: nobody may send, nothing is taken, no key is valid."""
    return SendingDomain(
        name=domain.name,
        mx=None,
        spf=SpfPolicy(all="-all"),
        dmarc=DmarcPolicy(
            policy="reject",
            subdomain_policy="reject",
            aggregate_reports=domain.dmarc.aggregate_reports,
            failure_reports=domain.dmarc.failure_reports,
        ),
        profile="parked",
        **extras(domain),
    )


def certificates(settings: Settings) -> Iterator[CertificateUse]:
    """Yield the certificates that Caddy fetches by ACME, and those that cert-manager makes for Postal on a cluster."""
    caddy = settings.caddy
    if caddy is not None and caddy.certificates == "acme" and caddy.acme is not None:
        authority = caddy.acme.caa_name or authority_of(caddy.acme.directory)
        methods = METHODS[caddy.acme.challenge]
        for name in dict.fromkeys(_certificate_names(settings)):
            yield CertificateUse(name=name, authority=authority, methods=methods)
    yield from _of_cluster(settings)


def _of_cluster(settings: Settings) -> Iterator[CertificateUse]:
    postal = settings.postal
    if postal is None or postal.cluster is None or postal.cluster.issuer is None:
        return
    cluster, issuer = postal.cluster, postal.cluster.issuer
    names = [postal.web_hostname] if cluster.web.kind == "ingress" and cluster.web.tls_secret is None else []
    names += [postal.smtp_hostname] if postal.smtp_tls and cluster.smtp_tls_secret is None else []
    for name in names:
        yield CertificateUse(
            name=name, authority=issuer.caa_name, setting="postal.kubernetes.issuer.caa_name", asked_by="cert-manager"
        )


def _certificate_names(settings: Settings) -> Iterator[str]:
    caddy, postal = settings.caddy, settings.postal
    if caddy is None:
        return
    if postal is not None and postal.placement == "vm":
        yield from (postal.web_hostname, *caddy.extra_names)
        for _, server in postal.mail_servers:
            yield from (f"{tracked.name}.{tracked.domain}" for tracked in server.track_domains)
        if postal.host == caddy.host and postal.smtp_tls:
            yield postal.smtp_hostname
    yield from (f"mta-sts.{policy.domain}" for policy in served_policies(caddy))
    if settings.submission_uses_caddy:
        yield settings.relay.hostname


def services(settings: Settings) -> Iterator[MailService]:
    """Yield the announcements of submission."""
    submission = settings.relay.submission
    if submission is None:
        return
    for domain in submission.srv_domains:
        yield MailService(
            domain=domain,
            host=settings.relay.hostname,
            starttls_port=submission.starttls_port,
            tls_port=submission.tls_port,
        )


def tlsa_hosts(settings: Settings) -> Iterator[TlsaHost]:
    """Yield the TLSA records that can be read; the rules of ``dns`` tell the others."""
    for entry in settings.dns.tlsa:
        read = [decode_content("TLSA", value) for value in entry.values]
        associations = tuple(data for data in read if isinstance(data, Tlsa))
        yield TlsaHost(name=entry.host, port=entry.port, associations=associations)


def further_records(settings: Settings) -> Iterator[FurtherRecord]:
    """Yield the further records, each value in one piece."""
    for index, entry in enumerate(settings.dns.records):
        before = "" if entry.priority is None else f"{entry.priority} "
        yield FurtherRecord(
            place=f"dns.records[{index}]",
            name=entry.name,
            type=entry.type,
            values=tuple(f"{before}{value}" for value in entry.values),
            ttl=entry.ttl,
        )


def providers(settings: Settings) -> Iterator[Provider]:
    """Yield the sending services of all domains."""
    for domain in settings.domains:
        if domain.ses is not None:
            yield SesIdentity(
                domain=domain.name,
                region=provider_region(settings, domain, "ses") or "",
                dkim_tokens=domain.ses.dkim_tokens,
                mail_from=domain.ses.mail_from,
                spf=_include("ses"),
            )
        if domain.sendgrid is not None:
            yield _sendgrid(domain, domain.sendgrid)
        if domain.mailgun is not None:
            yield _mailgun(settings, domain, domain.mailgun)


def _sendgrid(domain: Domain, asked: SendGrid) -> SendGridDomain:
    links = asked.links
    return SendGridDomain(
        domain=domain.name,
        host=asked.host,
        subdomain=asked.subdomain,
        selectors=asked.selectors,
        link_subdomain=None if links is None else links.subdomain,
        link_owner=None if links is None else links.owner,
        link_host="sendgrid.net" if links is None else links.target,
    )


def _mailgun(settings: Settings, domain: Domain, asked: Mailgun) -> MailgunDomain:
    name = mailgun_name(domain, asked)
    return MailgunDomain(
        domain=domain.name,
        name=name,
        region=provider_region(settings, domain, "mailgun") or "us",
        spf=_include("mailgun"),
        keys=tuple(
            # Its record says nothing of i=, so neither does ours.
            DkimKey(selector=key.selector, public_key=key.public_key, strict_identity=False)
            for key in asked.dkim
            if key.public_key is not None
        ),
        dkim_aliases=tuple((key.selector, key.target) for key in asked.dkim if key.target is not None),
        receive=name != domain.name if asked.receive is None else asked.receive,
        tracking=asked.tracking,
    )


def _include(preset: Any) -> SpfInclude:
    source = PRESETS[preset].spf
    if source is None:
        raise ValueError(f"the preset {preset} has no SPF include")
    return SpfInclude(domain=source.domain, lookups=source.lookups)
