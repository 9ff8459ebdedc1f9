"""Which names of the stack have addresses, and which addresses these are."""

import ipaddress
from collections.abc import Iterable, Iterator

from mailstack.dns import MailHost, zone_of
from mailstack.plan.mta_sts import served_policies
from mailstack.settings.hosts_model import Host
from mailstack.settings.model import Settings
from mailstack.settings.names import relay_name, track_domain, zone_names
from mailstack.settings.postal_kubernetes_model import PostalKubernetes
from mailstack.settings.postal_model import Postal

__all__ = ["mail_hosts"]


def mail_hosts(settings: Settings) -> tuple[MailHost, ...]:
    """Return one declaration for each name: two parts of the stack may well share a host and a name."""
    return tuple(_merged(_hosts(settings)))


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
