"""From settings to DNS: which records follow from the stack, in which zone, and what is wrong with them."""

from collections.abc import Iterator
from typing import Any

from mailstack.dns import (
    Declared,
    DkimKey,
    DmarcPolicy,
    DnsDeclaration,
    DnsRuleError,
    MailExchanger,
    MailHost,
    Record,
    SendingDomain,
    SpfInclude,
    SpfPolicy,
    address_mechanism,
    declare,
    public_key_of,
    render_records,
    render_zone,
    zone_of,
)
from mailstack.settings.model import Domain, Settings
from mailstack.settings.problems import Problem
from mailstack.upstreams import SpfSource

__all__ = ["declared", "dns_problems", "dns_records", "server_settings", "zone_outputs", "zone_records"]


def declared(settings: Settings) -> Declared:
    """Return all records of the stack. Raises DnsRuleError; loading the settings has already ruled that out."""
    return declare(_declaration(settings))


def dns_records(settings: Settings) -> tuple[Record, ...]:
    """Return all records of the stack, in zone order."""
    return declared(settings).records.records


def zone_records(settings: Settings) -> dict[str, tuple[Record, ...]]:
    """Return zone name to records. Raises ValueError for a record that no zone holds."""
    zones = _zones(settings)
    sorted_in: dict[str, list[Record]] = {zone: [] for zone in zones}
    for record in dns_records(settings):
        zone = zone_of(record.name, zones)
        if zone is None:
            raise ValueError(f"no zone holds {record.name}; there are {', '.join(zones)}")
        sorted_in[zone].append(record)
    return {zone: tuple(records) for zone, records in sorted_in.items()}


def zone_outputs(settings: Settings) -> dict[str, str]:
    """Return zone name to records in BIND format, for zones kept elsewhere."""
    return {zone: render_records(records) for zone, records in zone_records(settings).items()}


def server_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings of role ``dns_server``. Raises ValueError where the settings declare no server."""
    server = settings.dns.server
    if server is None:
        raise ValueError("the settings declare no dns.server")
    zones = [
        {
            "name": zone,
            "text": render_zone(
                zone, records, nameservers=server.nameservers, hostmaster=server.hostmaster, ttl=settings.dns.ttl
            ),
        }
        for zone, records in zone_records(settings).items()
    ]
    return {"server": "auto", "listen": list(server.listen_addresses), "port": server.port, "zones": zones}


def dns_problems(settings: Settings) -> Iterator[Problem]:
    """Yield what the DNS rules say about the settings, with the settings' own field names."""
    usable = True
    for number, domain in enumerate(settings.domains):
        for index, key in enumerate(domain.dkim):
            if key.private_key is None:
                usable = usable and key.public_key is not None
                continue
            try:
                public_key_of(key.private_key.get_secret_value())
            except ValueError as error:
                usable = False
                yield Problem(
                    field=f"domains[{number}].dkim[{index}].private_key",
                    value="[secret]",
                    rule=str(error),
                    fix="remove it and run `mailstack init`, which makes a 2048-bit RSA key",
                )
    if not usable:
        return
    try:
        declare(_declaration(settings))
        if settings.dns.provider == "server" and settings.dns.server is not None:
            server_settings(settings)
    except DnsRuleError as error:
        for problem in error.problems:
            yield Problem(
                field=_field(settings, problem.record),
                value=f"{problem.record}: {problem.found}",
                rule=f"{problem.expected} ({problem.rule}, {problem.source})",
                fix=problem.fix,
            )


def _field(settings: Settings, record: str) -> str:
    """Return the settings field a record follows from: its DKIM key, or the longest domain its description names."""
    for number, domain in enumerate(settings.domains):
        for index, key in enumerate(domain.dkim):
            if record.startswith(f"{key.selector}._domainkey.{domain.name} "):
                return f"domains[{number}].dkim[{index}].public_key"
    names = [(len(domain.name), number) for number, domain in enumerate(settings.domains) if domain.name in record]
    return f"domains[{max(names)[1]}]" if names else "dns"


def _zones(settings: Settings) -> list[str]:
    if settings.dns.cloudflare is not None:
        return list(settings.dns.cloudflare.zones)
    names = [domain.name for domain in settings.domains]
    return [name for name in names if zone_of(name, [other for other in names if other != name]) is None]


def _declaration(settings: Settings) -> DnsDeclaration:
    relay = settings.relay_host
    egress = settings.egress_addresses
    hosts = [
        MailHost(
            name=settings.relay.hostname,
            ipv4=tuple(address for address in egress if address == relay.public_ipv4),
            ipv6=tuple(address for address in egress if address == relay.public_ipv6),
            helo=True,
        )
    ]
    server = settings.dns.server
    if server is not None and server.host in settings.hosts:
        machine = settings.hosts[server.host]
        if zone_of(server.nameservers[0], _zones(settings)) and server.nameservers[0] != settings.relay.hostname:
            hosts.append(
                MailHost(
                    name=server.nameservers[0],
                    ipv4=tuple(filter(None, [machine.public_ipv4])),
                    ipv6=tuple(filter(None, [machine.public_ipv6])),
                )
            )
    return DnsDeclaration(
        domains=tuple(_sending_domain(settings, domain) for domain in settings.domains),
        hosts=tuple(hosts),
        ttl=settings.dns.ttl,
        production=settings.environment == "prod",
        # A server of ours serves nothing but what is declared; elsewhere a zone may hold more than we know.
        complete=settings.dns.provider == "server",
    )


def _sending_domain(settings: Settings, domain: Domain) -> SendingDomain:
    provider, upstream = settings.relay.upstream.provider, settings.relay.upstream
    source = SpfSource(domain=upstream.spf_include, lookups=1) if upstream.spf_include else provider.spf
    includes = [] if source is None else [SpfInclude(domain=source.domain, lookups=source.lookups)]
    includes += [
        SpfInclude(domain=name, lookups=domain.spf.lookups.get(name))
        for name in domain.spf.include
        if source is None or name != source.domain
    ]
    own = [] if source is not None else [address_mechanism(address) for address in settings.egress_addresses]
    declared_mx = provider.mx if domain.mx is None else domain.mx
    exchangers = tuple(MailExchanger(preference=mx.preference, exchange=mx.exchange) for mx in declared_mx)
    return SendingDomain(
        name=domain.name,
        # No word about MX and an upstream without mailboxes: the domain's MX records are somebody else's.
        mx=exchangers if exchangers or domain.mx is None else None,
        spf=SpfPolicy(includes=tuple(includes), mechanisms=(*own, *domain.spf.mechanisms), all=domain.spf.all),
        dkim=tuple(
            DkimKey(
                selector=key.selector,
                public_key=key.public_key
                or public_key_of(key.private_key.get_secret_value() if key.private_key else ""),
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
    )
