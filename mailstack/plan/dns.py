"""From settings to DNS: which records follow from the stack, in which zone, and what is wrong with them."""

from collections.abc import Collection, Iterator, Mapping
from functools import cache
from typing import Any

from mailstack.caddy.definition import MtaStsPolicy
from mailstack.dns import (
    Declared,
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    DnsRuleError,
    MailExchanger,
    MtaStsRecord,
    Record,
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    address_mechanism,
    declare,
    mta_sts_id,
    public_key_of,
    rdata_text,
    render_records,
    render_zone,
    resource_name,
    sentences,
    zone_of,
)
from mailstack.dns.records import RecordType
from mailstack.plan.dns_extras import (
    certificates,
    extras,
    further_records,
    parked_domain,
    providers,
    services,
    tlsa_hosts,
)
from mailstack.plan.dns_hosts import mail_hosts
from mailstack.plan.model import CloudflarePlan, DnsPlan, RoleRun
from mailstack.plan.shown import Secret, Shown, shown_run
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.dns_model import DnsServer
from mailstack.settings.domains_model import DkimKey as DeclaredKey
from mailstack.settings.domains_model import Domain
from mailstack.settings.model import Settings
from mailstack.settings.names import (
    bounce_domains,
    return_path_domain,
    route_domain,
    spf_include,
    track_domain,
    zone_names,
)
from mailstack.settings.postal_model import Postal
from mailstack.settings.problems import Problem, SettingsError
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["key_problems", "plan_dns"]


# The key of a domain that a record's description ends with.
KEYS = {
    "CAA": ".caa",
    "certificate": ".caa",
    "TLS-RPT": ".tls_rpt",
    "BIMI": ".bimi",
    "SES": ".ses",
    "SendGrid": ".sendgrid",
    "Mailgun": ".mailgun",
}


def plan_dns(settings: Settings) -> DnsPlan | None:
    """Return all records of the stack and the way they are published.

    None where the settings are too far off to tell: what is wrong has been said elsewhere. Raises SettingsError with
    everything the DNS rules say, under the settings' own field names.
    """
    if not _keys_are_usable(settings) or any(name not in settings.hosts for name in settings.relay.host_names):
        return None
    try:
        found = declare(_declaration(settings))
        zones = _by_zone(found, zone_names(settings))
        return _published(settings, found, zones)
    except DnsRuleError as error:
        raise SettingsError(_as_problem(settings, problem) for problem in error.problems) from None


def _published(settings: Settings, found: Declared, zones: Mapping[str, tuple[Record, ...]]) -> DnsPlan:
    places = frozenset(_last_places(settings))
    last = frozenset(record for record in found.records if (record.name, record.type) in places)
    name = settings.relay.client_name
    clients = frozenset(record for record in found.records if record.name == name)
    cloudflare, server = settings.dns.cloudflare, settings.dns.server
    names_run, clients_run, mail_run = (None, None, None) if server is None else _server_runs(settings, server, zones)
    return DnsPlan(
        zones=zones,
        last=last,
        clients=clients,
        texts={zone: render_records(records) for zone, records in zones.items()},
        warnings=sentences(found.warnings),
        spf_lookups=found.spf_lookups,
        cloudflare=None
        if cloudflare is None
        else CloudflarePlan(
            api_token=Secret(cloudflare.api_token.get_secret_value()),
            zone_ids={zone: cloudflare.zones.get(zone) for zone in zones},
            calls=cloudflare.rate_limit.calls,
            seconds=cloudflare.rate_limit.seconds,
        ),
        names_run=names_run,
        clients_run=clients_run,
        mail_run=mail_run,
        shown=_shown(settings, zones, mail_run),
    )


def _last_places(settings: Settings) -> Iterator[tuple[str, RecordType]]:
    """Yield names and types that send a live domain's mail another way: they wait for hosts and relay."""
    for domain in settings.domains:
        yield domain.name, "MX"
        yield f"_dmarc.{domain.name}", "TXT"
        yield f"_mta-sts.{domain.name}", "TXT"
    for name in () if settings.relay.submission is None else settings.relay.submission.srv_domains:
        yield f"_submission._tcp.{name}", "SRV"
        yield f"_submissions._tcp.{name}", "SRV"


def _by_zone(found: Declared, zones: Collection[str]) -> dict[str, tuple[Record, ...]]:
    """Sort the records into their zones. A record that no zone holds is somebody else's mistake, said elsewhere."""
    sorted_in: dict[str, list[Record]] = {zone: [] for zone in zones}
    for record in found.records:
        zone = zone_of(record.name, sorted_in)
        if zone is not None:
            sorted_in[zone].append(record)
    return {zone: tuple(records) for zone, records in sorted_in.items()}


def _server_runs(
    settings: Settings, server: DnsServer, zones: Mapping[str, tuple[Record, ...]]
) -> tuple[RoleRun, RoleRun | None, RoleRun]:
    """Return the run that comes first, the one after the relay and the one that ends it.

    The first two hold MX and DMARC of live domains as they are, the first one the relay's addresses for applications
    too; where there is no name for those, there is no second run.
    """
    texts = [
        {
            "name": zone,
            "text": render_zone(
                zone, records, nameservers=server.nameservers, hostmaster=server.hostmaster, ttl=settings.dns.ttl
            ),
        }
        for zone, records in zones.items()
    ]
    told = {"server": "auto", "listen": list(server.listen_addresses), "port": server.port, "zones": texts}
    held = [list(place) for place in _last_places(settings)]
    name = settings.relay.client_name
    clients = [] if name is None else [[name, "A"], [name, "AAAA"]]
    first = RoleRun(
        name="dns-server",
        host=server.host,
        role="dns_server",
        settings={**told, "hold": held + clients},
        on_destroy="remove",
    )
    second = RoleRun(name="dns-server-clients", host=server.host, role="dns_server", settings={**told, "hold": held})
    return (
        first,
        second if clients else None,
        RoleRun(name="dns-server-mail", host=server.host, role="dns_server", settings=told),
    )


def _shown(settings: Settings, zones: Mapping[str, tuple[Record, ...]], run: RoleRun | None) -> Shown:
    """Return the records one a line; those at Cloudflare are resources of their own, shown there."""
    found: dict[str, str | Secret] = {"provider": settings.dns.provider, "zones": ", ".join(zones)}
    if settings.dns.cloudflare is not None:
        found["api_token"] = Secret(settings.dns.cloudflare.api_token.get_secret_value())
        return found
    for records in zones.values():
        found |= {f"record/{resource_name(record)}": f"{record.ttl} {rdata_text(record)}" for record in records}
    if run is not None:
        told = {key: value for key, value in run.settings.items() if key != "zones"}
        found |= {"host": run.host, **shown_run(run.role, told)}
    return found


def key_problems(settings: Settings) -> Iterator[Problem]:
    """Yield the private DKIM keys that no public key can be taken from."""
    held = {
        f"domains[{number}].dkim[{index}].private_key": key.private_key
        for number, domain in enumerate(settings.domains)
        for index, key in enumerate(domain.dkim)
    }
    held |= {_shared_field(name): shared.private_key for name, shared in settings.dkim_keys.items()}
    for field, private in held.items():
        if private is None:
            continue
        try:
            _public_half(private.get_secret_value())
        except ValueError as error:
            yield Problem(
                field=field,
                value="[secret]",
                rule=str(error),
                fix="remove it and run `mailstack init`, which makes a 2048-bit RSA key",
            )


# A shared key stands behind a thousand domains: its public half is worked out once.
_public_half = cache(public_key_of)


def _as_problem(settings: Settings, problem: Any) -> Problem:
    field = _field(settings, problem.record)
    return Problem(
        field=field,
        # What is wrong with a key that many domains share is said once, not for the record of each.
        value=problem.found if field.startswith("dkim_keys.") else f"{problem.record}: {problem.found}",
        rule=f"expected {problem.expected} ({problem.rule}, {problem.source})",
        fix=problem.fix,
    )


def _keys_are_usable(settings: Settings) -> bool:
    keys = (key for domain in settings.domains for key in domain.dkim)
    known = all(key.public_key or settings.private_dkim_key(key) for key in keys)
    return known and not any(key_problems(settings)) and _signing_key_is_usable(settings)


def _signing_key_is_usable(settings: Settings) -> bool:
    """Tell whether Postal's own key can be published; the rules of ``postal`` say what is wrong with it."""
    if settings.postal is None:
        return True
    try:
        public_key_of(settings.postal.signing_key.get_secret_value())
    except ValueError:
        return False
    return True


def _field(settings: Settings, record: str) -> str:
    """Return the settings field a record follows from: its DKIM key, or the longest domain its description names."""
    if record.startswith("dns.records["):
        return record.partition(" ")[0]
    for number, domain in enumerate(settings.domains):
        for index, key in enumerate(domain.dkim):
            if record.startswith(f"{key.selector}._domainkey.{domain.name} "):
                kind = "public_key" if key.private_key is None else "private_key"
                return f"domains[{number}].dkim[{index}].{kind}" if key.key is None else _shared_field(key.key)
    names = [(len(domain.name), number) for number, domain in enumerate(settings.domains) if domain.name in record]
    about = record.rpartition(" ")[2]
    if about == "TLSA":
        return "dns.tlsa"
    return f"domains[{max(names)[1]}]{KEYS.get(about, '')}" if names else "dns"


def _shared_field(name: str) -> str:
    return f"dkim_keys.{name}.private_key"


def _declaration(settings: Settings) -> DnsDeclaration:
    domains = tuple(_sending_domain(settings, domain) for domain in settings.domains)
    postal = settings.postal
    return DnsDeclaration(
        domains=domains if postal is None else (*domains, *_postal_domains(settings, postal)),
        hosts=mail_hosts(settings),
        cnames=() if postal is None else tuple(_postal_aliases(settings, postal)),
        mta_sts=() if settings.caddy is None else tuple(_mta_sts_records(settings.caddy)),
        ttl=settings.dns.ttl,
        production=settings.environment == "prod",
        # A server of ours serves nothing but what is declared; elsewhere a zone may hold more than we know.
        complete=settings.dns.provider == "server",
        certificates=tuple(certificates(settings)),
        services=tuple(services(settings)),
        tlsa=tuple(tlsa_hosts(settings)),
        signed_zones=settings.dns.signed_zones,
        providers=tuple(providers(settings)),
        further=tuple(further_records(settings)),
    )


def _mta_sts_records(caddy: Caddy) -> Iterator[MtaStsRecord]:
    for declared in caddy.mta_sts:
        policy = MtaStsPolicy(domain=declared.domain, mode=declared.mode, mx=declared.mx, max_age=declared.max_age)
        yield MtaStsRecord(domain=policy.domain, policy_id=mta_sts_id(policy.text), mode=policy.mode, mx=policy.mx)


def _postal_domains(settings: Settings, postal: Postal) -> Iterator[SendingDomain]:
    """Yield the domains of Postal's own: the return path, route addresses, and the SPF record it may need."""
    here = MailExchanger(preference=10, exchange=postal.smtp_hostname)
    declared_names = {domain.name for domain in settings.domains}
    includes, own = _upstream_spf(settings, *_postal_upstreams(settings, postal))
    policy = SpfPolicy(includes=tuple(includes), mechanisms=own, all="~all")
    name = return_path_domain(settings, postal)
    if name not in declared_names:
        yield SendingDomain(
            name=name,
            mx=(here,),
            spf=policy,
            dkim=(
                DkimKey(
                    selector=postal.dkim_identifier, public_key=public_key_of(postal.signing_key.get_secret_value())
                ),
            ),
            dmarc=None,
        )
    name = route_domain(settings, postal)
    if any(server.routes for _, server in postal.mail_servers) and name not in declared_names:
        yield SendingDomain(name=name, mx=(here,), spf=policy, dmarc=None)
    if not includes:
        yield SendingDomain(name=spf_include(settings, postal), mx=None, spf=policy, dmarc=None)


def _postal_upstreams(settings: Settings, postal: Postal) -> list[UpstreamSettings]:
    """Return whoever takes Postal's mail: a domain's own return path is an alias of the common one, SPF and all."""
    own = [
        settings.upstream_of(domain)
        for domain in settings.domains
        if postal.custom_return_paths and domain.name in postal.sending_domains
    ]
    return [settings.relay.upstream, *own]


def _postal_aliases(settings: Settings, postal: Postal) -> Iterator[tuple[str, str]]:
    if postal.custom_return_paths:
        target = return_path_domain(settings, postal)
        for name in bounce_domains(settings, postal)[1:]:
            yield name, target
    for _, server in postal.mail_servers:
        for tracked in server.track_domains:
            yield f"{tracked.name}.{tracked.domain}", track_domain(settings, postal)


def _upstream_spf(settings: Settings, *upstreams: UpstreamSettings) -> tuple[list[SpfInclude], tuple[str, ...]]:
    """Return what SPF says of the way mail leaves: includes of upstreams and fallback, else our own addresses."""
    chosen = upstreams if settings.fallback is None else (*upstreams, settings.fallback)
    includes = {source.domain: source for source in (one.spf_source for one in chosen) if source is not None}
    own = any(one.spf_source is None for one in chosen)
    return [SpfInclude(domain=source.domain, lookups=source.lookups) for source in includes.values()], tuple(
        address_mechanism(address) for address in settings.egress_addresses if own
    )


def _public_key(settings: Settings, key: DeclaredKey) -> str:
    private = settings.private_dkim_key(key)
    return key.public_key or _public_half(private.get_secret_value() if private is not None else "")


def _sending_domain(settings: Settings, domain: Domain) -> SendingDomain:
    if not domain.sends:
        return parked_domain(domain)
    upstream, postal = settings.upstream_of(domain), settings.postal
    includes, own = _upstream_spf(settings, upstream)
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
        dkim=tuple(
            DkimKey(
                selector=key.selector,
                public_key=_public_key(settings, key),
                key_type=key.key_type,
            )
            for key in domain.dkim
        ),
        dmarc=DmarcPolicy(
            policy=domain.dmarc.policy,
            subdomain_policy=domain.dmarc.subdomain_policy,
            nonexistent_policy=domain.dmarc.nonexistent_policy,
            aggregate_reports=domain.dmarc.aggregate_reports,
            failure_reports=domain.dmarc.failure_reports,
            dkim_alignment=domain.dmarc.dkim_alignment,
            spf_alignment=domain.dmarc.spf_alignment,
        ),
        # Postal puts a return path of its own into MAIL FROM.
        bounces_elsewhere=by_postal and domain.profile == "send-only",
        profile=domain.profile,
        **extras(domain),
    )
