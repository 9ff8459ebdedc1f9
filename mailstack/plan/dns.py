"""From settings to DNS: which records follow from the stack, in which zone, and what is wrong with them."""

import ipaddress
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from mailstack.dns import (
    Declared,
    DkimKey,
    DnsDeclaration,
    DnsRuleError,
    MailExchanger,
    MailHost,
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
from mailstack.plan.flatten import missing_senders, with_addresses
from mailstack.plan.model import CloudflarePlan, DnsPlan, RoleRun
from mailstack.plan.mta_sts import served_policies
from mailstack.plan.outside import NOTHING, Outside
from mailstack.plan.sending import sending_domain, upstream_spf
from mailstack.plan.shown import Secret, Shown, shown_run
from mailstack.settings.caddy_model import Caddy
from mailstack.settings.dns_model import DnsServer
from mailstack.settings.hosts_model import Host
from mailstack.settings.model import Settings
from mailstack.settings.names import (
    bounce_domains,
    relay_name,
    return_path_domain,
    route_domain,
    spf_include,
    track_domain,
    zone_names,
)
from mailstack.settings.postal_kubernetes_model import PostalKubernetes
from mailstack.settings.postal_model import Postal
from mailstack.settings.problems import SHOWN_VALUE_CHARACTERS, Problem, SettingsError
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["plan_dns"]


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
    places = frozenset(place for domain in settings.domains for place in _last_places(domain.name))
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


def _last_places(domain: str) -> tuple[tuple[str, RecordType], ...]:
    """Return names and types that send a live domain's mail another way: they wait for hosts and relay."""
    return (domain, "MX"), (f"_dmarc.{domain}", "TXT"), (f"_mta-sts.{domain}", "TXT")


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
    held = [list(place) for domain in settings.domains for place in _last_places(domain.name)]
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
    for number, domain in enumerate(settings.domains):
        for index, key in enumerate(domain.dkim):
            if record.startswith(f"{key.record_name(domain.name)} "):
                kind = "public_key" if key.private_key is None else "private_key"
                return f"domains[{number}].dkim[{index}].{kind}" if key.key is None else shared_field(key.key)
    names = [(len(domain.name), number) for number, domain in enumerate(settings.domains) if domain.name in record]
    return f"domains[{max(names)[1]}]" if names else "dns"


def _declaration(settings: Settings, outside: Outside) -> DnsDeclaration:
    read = [
        with_addresses(sending_domain(settings, domain), domain.spf.flatten, outside.flattened)
        for domain in settings.domains
    ]
    domains = tuple(domain for domain, _ in read)
    postal = settings.postal
    return DnsDeclaration(
        domains=domains if postal is None else (*domains, *_postal_domains(settings, postal)),
        hosts=tuple(_merged(_hosts(settings))),
        cnames=() if postal is None else tuple(_postal_aliases(settings, postal)),
        mta_sts=() if settings.caddy is None else tuple(_mta_sts_records(settings.caddy)),
        spf_parts=tuple(part for _, parts in read for part in parts),
        ttl=settings.dns.ttl,
        production=settings.environment == "prod",
        # A server of ours serves nothing but what is declared; elsewhere a zone may hold more than we know.
        complete=settings.dns.provider == "server",
    )


def _mta_sts_records(caddy: Caddy) -> Iterator[MtaStsRecord]:
    for policy in served_policies(caddy):
        yield MtaStsRecord(domain=policy.domain, policy_id=mta_sts_id(policy.text), mode=policy.mode, mx=policy.mx)


def _hosts(settings: Settings) -> Iterator[MailHost]:
    egress = [ipaddress.ip_address(address) for address in settings.egress_addresses]
    yield MailHost(
        name=settings.relay.hostname,
        ipv4=tuple(str(address) for address in egress if address.version == 4),
        ipv6=tuple(str(address) for address in egress if address.version == 6),
        helo=True,
    )
    if settings.relay.client_name is not None:
        yield _clients(settings, settings.relay.client_name)
    server = settings.dns.server
    if server is not None and server.host in settings.hosts:
        name = server.nameservers[0]
        if zone_of(name, frozenset(zone_names(settings))) and name != settings.relay.hostname:
            yield _public(name, settings.hosts[server.host])
    postal = settings.postal
    if postal is not None and postal.cluster is not None:
        yield from _postal_on_cluster(settings, postal, postal.cluster)
    elif postal is not None and postal.host in settings.hosts:
        yield from _postal_hosts(settings, postal, settings.hosts[postal.host])
    if settings.caddy is not None and settings.caddy.host in settings.hosts:
        web = settings.hosts[settings.caddy.host]
        for policy in served_policies(settings.caddy):
            yield _public(f"mta-sts.{policy.domain}", web)
        for name in settings.caddy.extra_names:
            yield _public(name, web)


def _clients(settings: Settings, name: str) -> MailHost:
    found = settings.client_addresses
    return _at(name, found, internal=not all(ipaddress.ip_address(address).is_global for address in found))


def _at(name: str, addresses: Iterable[str], *, internal: bool = False) -> MailHost:
    found = [ipaddress.ip_address(address) for address in addresses]
    return MailHost(
        name=name,
        ipv4=tuple(str(address) for address in found if address.version == 4),
        ipv6=tuple(str(address) for address in found if address.version == 6),
        internal=internal,
    )


def _public(name: str, host: Host) -> MailHost:
    return MailHost(
        name=name, ipv4=tuple(filter(None, [host.public_ipv4])), ipv6=tuple(filter(None, [host.public_ipv6]))
    )


def _postal_on_cluster(settings: Settings, postal: Postal, asked: PostalKubernetes) -> Iterator[MailHost]:
    yield _at(postal.smtp_hostname, asked.smtp_addresses)
    yield _at(postal.web_hostname, asked.web_addresses)
    if any(server.track_domains for _, server in postal.mail_servers):
        yield _at(track_domain(settings, postal), asked.web_addresses)


def _postal_hosts(settings: Settings, postal: Postal, mail: Host) -> Iterator[MailHost]:
    web = settings.hosts.get(settings.caddy.host, mail) if settings.caddy is not None else mail
    yield _public(postal.smtp_hostname, mail)
    yield _public(postal.web_hostname, web)
    if any(server.track_domains for _, server in postal.mail_servers):
        yield _public(track_domain(settings, postal), web)
    name = relay_name(settings, postal)
    if postal.sending.path == "postfix" and settings.postal_shares_relay_host and postal.sending.relay_name is None:
        yield MailHost(name=name, ipv4=(postal.gateway,), internal=True)


def _merged(hosts: Iterator[MailHost]) -> list[MailHost]:
    """Return one declaration a name: two parts of the stack may well share a host and a name."""
    found: dict[str, MailHost] = {}
    for host in hosts:
        known = found.get(host.name)
        found[host.name] = (
            host
            if known is None
            else MailHost(
                name=host.name,
                ipv4=tuple(dict.fromkeys((*known.ipv4, *host.ipv4))),
                ipv6=tuple(dict.fromkeys((*known.ipv6, *host.ipv6))),
                helo=known.helo or host.helo,
                internal=known.internal and host.internal,
            )
        )
    return list(found.values())


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
