"""From settings to DNS: which records follow from the stack, in which zone, and what is wrong with them."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mailstack.dns import (
    Declared,
    DkimKey,
    DnsDeclaration,
    DnsRuleError,
    MailExchanger,
    MtaStsRecord,
    Record,
    SendingDomain,
    SpfPolicy,
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
from mailstack.plan.dated import ramp_shown
from mailstack.plan.dkim_keys import keys_are_usable, shared_field
from mailstack.plan.dns_extras import certificates, further_records, providers, services, tlsa_hosts
from mailstack.plan.dns_hosts import mail_hosts
from mailstack.plan.flatten import missing_senders, with_addresses
from mailstack.plan.model import CloudflarePlan, DnsPlan, RoleRun
from mailstack.plan.mta_sts import served_policies
from mailstack.plan.outside import NOTHING, Outside
from mailstack.plan.sending import sending_domain, upstream_spf
from mailstack.plan.shown import Secret, Shown, shown_run
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.dns_model import DnsServer
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
from mailstack.settings.problems import SHOWN_VALUE_CHARACTERS, Problem, SettingsError
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["plan_dns"]


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


def plan_dns(settings: Settings, outside: Outside = NOTHING) -> DnsPlan | None:
    """Return all records of the stack and the way they are published.

    None where the settings are too far off to tell: what is wrong has been said elsewhere. Raises SettingsError with
    everything the DNS rules say, under the settings' own field names.
    """
    if not keys_are_usable(settings) or any(name not in settings.hosts for name in settings.relay.host_names):
        return None
    try:
        declaration = _declaration(settings, outside)
        if outside.look is not None:
            declaration = replace(declaration, spf_answers=outside.look(settings, declaration))
        found = declare(declaration)
        lacking = tuple(missing_senders(settings, outside.flattened, declaration.spf_answers))
        if lacking:
            raise SettingsError(lacking)
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
    found |= dict(ramp_shown(settings))
    if settings.dns.cloudflare is not None:
        found["api_token"] = Secret(settings.dns.cloudflare.api_token.get_secret_value())
        return found
    for records in zones.values():
        found |= {f"record/{resource_name(record)}": f"{record.ttl} {rdata_text(record)}" for record in records}
    if run is not None:
        told = {key: value for key, value in run.settings.items() if key != "zones"}
        found |= {"host": run.host, **shown_run(run.role, told)}
    return found


def _as_problem(settings: Settings, problem: Any) -> Problem:
    field = _field(settings, problem.record)
    # What is wrong with a key that many domains share is said once, not for the record of each.
    value = problem.found if field.startswith("dkim_keys.") else f"{problem.record}: {problem.found}"
    rule = f"expected {problem.expected} ({problem.rule}, {problem.source})"
    if len(value) > SHOWN_VALUE_CHARACTERS:  # cut off, it would lose what costs how much
        value, rule = problem.record, f"{problem.found}; {rule}"
    return Problem(
        field=field,
        value=value,
        rule=rule,
        fix=problem.fix,
    )


def _field(settings: Settings, record: str) -> str:
    """Return the settings field a record follows from: its DKIM key, or the longest domain its description names."""
    if record.startswith("dns.records["):
        return record.partition(" ")[0]
    for number, domain in enumerate(settings.domains):
        for index, key in enumerate(domain.dkim):
            if record.startswith(f"{key.record_name(domain.name)} "):
                kind = "public_key" if key.private_key is None else "private_key"
                return f"domains[{number}].dkim[{index}].{kind}" if key.key is None else shared_field(key.key)
    names = [(len(domain.name), number) for number, domain in enumerate(settings.domains) if domain.name in record]
    about = record.rpartition(" ")[2]
    if about == "TLSA":
        return "dns.tlsa"
    return f"domains[{max(names)[1]}]{KEYS.get(about, '')}" if names else "dns"


def _declaration(settings: Settings, outside: Outside) -> DnsDeclaration:
    read = [
        with_addresses(sending_domain(settings, domain), domain.spf.flatten, outside.flattened)
        for domain in settings.domains
    ]
    domains = tuple(domain for domain, _ in read)
    postal = settings.postal
    return DnsDeclaration(
        domains=domains if postal is None else (*domains, *_postal_domains(settings, postal)),
        hosts=mail_hosts(settings),
        cnames=() if postal is None else tuple(_postal_aliases(settings, postal)),
        mta_sts=() if settings.caddy is None else tuple(_mta_sts_records(settings.caddy)),
        spf_parts=tuple(part for _, parts in read for part in parts),
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
    for policy in served_policies(caddy):
        yield MtaStsRecord(domain=policy.domain, policy_id=mta_sts_id(policy.text), mode=policy.mode, mx=policy.mx)


def _postal_domains(settings: Settings, postal: Postal) -> Iterator[SendingDomain]:
    """Yield the domains of Postal's own: the return path, route addresses, and the SPF record it may need."""
    here = MailExchanger(preference=10, exchange=postal.smtp_hostname)
    declared_names = {domain.name for domain in settings.domains}
    includes, own = upstream_spf(settings, *_postal_upstreams(settings, postal))
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
