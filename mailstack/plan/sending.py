"""What is declared for one sending domain: who takes its mail decides about SPF and MX."""

from mailstack.dns import DmarcPolicy, MailExchanger, SendingDomain, SpfInclude, SpfPolicy, address_mechanism
from mailstack.plan.dkim_keys import published_keys
from mailstack.plan.dns_extras import extras, parked_domain
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import spf_include
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["sending_domain", "upstream_spf"]


def upstream_spf(settings: Settings, *upstreams: UpstreamSettings) -> tuple[list[SpfInclude], tuple[str, ...]]:
    """Return what SPF says of the way mail leaves: includes of upstreams and fallback, else our own addresses."""
    chosen = upstreams if settings.fallback is None else (*upstreams, settings.fallback)
    includes = {source.domain: source for source in (one.spf_source for one in chosen) if source is not None}
    own = any(one.spf_source is None for one in chosen)
    return [SpfInclude(domain=source.domain, lookups=source.lookups) for source in includes.values()], tuple(
        address_mechanism(address) for address in settings.egress_addresses if own
    )


def sending_domain(settings: Settings, domain: Domain) -> SendingDomain:
    """Return what is declared for a domain."""
    if not domain.sends:
        return parked_domain(domain)
    upstream, postal = settings.upstream_of(domain), settings.postal
    includes, own = upstream_spf(settings, upstream)
    by_postal = postal is not None and domain.name in postal.sending_domains
    if not includes and postal is not None and by_postal and upstream is settings.relay.upstream:
        # Postal looks for an include. The record it names holds our addresses.
        includes, own = [SpfInclude(domain=spf_include(settings, postal), lookups=1)], ()
    known = {include.domain for include in includes}
    includes += [
        SpfInclude(domain=name, lookups=domain.spf.lookups.get(name))
        for name in domain.spf.include
        if name not in known
    ]
    here = upstream.provider.mx if domain.profile == "sending" else ()
    declared_mx = here if domain.mx is None else domain.mx
    exchangers = tuple(MailExchanger(preference=mx.preference, exchange=mx.exchange) for mx in declared_mx)
    return SendingDomain(
        name=domain.name,
        # No word about MX and an upstream without mailboxes: the domain's MX records are somebody else's.
        mx=exchangers if exchangers or (domain.mx is None and domain.profile == "sending") else None,
        spf=SpfPolicy(
            includes=tuple(includes),
            mechanisms=(*own, *domain.spf.mechanisms),
            redirect=domain.spf.redirect,
            redirect_lookups=domain.spf.lookups.get(domain.spf.redirect or ""),
            all=domain.spf.all,
        ),
        dkim=published_keys(settings, domain),
        dmarc=DmarcPolicy(
            policy=domain.dmarc.stage,
            subdomain_policy=domain.dmarc.subdomain_policy,
            nonexistent_policy=domain.dmarc.nonexistent_policy,
            aggregate_reports=domain.dmarc.aggregate_reports,
            failure_reports=domain.dmarc.failure_reports,
            dkim_alignment=domain.dmarc.dkim_alignment,
            spf_alignment=domain.dmarc.spf_alignment,
            psd=domain.dmarc.psd,
        ),
        # Postal puts a return path of its own into MAIL FROM.
        bounces_elsewhere=by_postal and domain.profile == "send-only",
        profile=domain.profile,
        **extras(domain),
    )
