"""Rules of ``postal.ip_pools``: what Postal can send from, and what the upstream knows."""

import ipaddress
from collections.abc import Iterator

from mailstack.settings.model import Settings
from mailstack.settings.postal_model import Postal, slug
from mailstack.settings.problems import Problem, duplicates, one_of

__all__ = ["pools"]

FIELD = "postal.ip_pools"


def pools(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Yield what is wrong with the pools and with who names them."""
    names = [pool.name for pool in postal.ip_pools]
    for name in duplicates(slug(name) for name in names):
        yield Problem(field=FIELD, value=name, rule="the name is used twice", fix="give each its own")
    if sum(pool.default for pool in postal.ip_pools) > 1:
        yield Problem(field=FIELD, value="default", rule="only one pool can be the default", fix="keep one default")
    for label, server in postal.mail_servers:
        if server.ip_pool is not None and server.ip_pool not in names:
            yield Problem(
                field="postal.organizations",
                value=f"{label}: ip_pool {server.ip_pool}",
                rule="must name one of ip_pools",
                fix=one_of(names, server.ip_pool) if names else "declare the pool, or remove the key",
            )
    if postal.sending.path == "direct":
        yield from _addresses(settings, postal)


def _addresses(settings: Settings, postal: Postal) -> Iterator[Problem]:
    """Yield addresses that no mail can leave from, and public ones that the upstream would not know.

    Postal binds to them, so on a host behind NAT they are private, and what they become nobody sees here.
    """
    listed = [ip for pool in postal.ip_pools for one in pool.addresses for ip in (one.ipv4, one.ipv6) if ip is not None]
    for text in duplicates(listed):
        yield Problem(field=FIELD, value=text, rule="the address is used twice", fix="keep it in one place")
    others = {
        address: name
        for name, host in settings.hosts.items()
        if name != postal.host
        for address in (host.public_ipv4, host.public_ipv6, host.private_address)
        if address is not None
    }
    left_out = {"ipv4": 6, "ipv6": 4}.get(settings.relay.ip_protocol)
    for text in dict.fromkeys(listed):
        address = ipaddress.ip_address(text)
        nobodys = address.is_loopback or address.is_unspecified or address.is_link_local
        if nobodys or address.is_multicast or address.is_reserved:
            yield Problem(
                field=FIELD,
                value=text,
                rule="is no address that mail leaves a host from",
                fix=f"write one that {postal.host} has, as `ip address` shows it",
            )
        elif text in others:
            yield Problem(
                field=FIELD,
                value=text,
                rule=f"is of hosts.{others[text]}: Postal runs on {postal.host} and could not send from it",
                fix=f"write one that {postal.host} has",
            )
        elif address.is_global and text not in settings.egress_addresses:
            yield Problem(
                field=FIELD,
                value=text,
                rule="is not among the addresses mail leaves from: SPF, relay rule and upstream would not know it",
                fix=f"list {', '.join((*settings.egress_addresses, text))} in relay.egress_addresses"
                + (", and remove relay.ip_protocol" if address.version == left_out else ""),
            )
