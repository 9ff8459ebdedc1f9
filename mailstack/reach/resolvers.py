"""Resolvers as people write them: ``address`` or ``address:port``, an IPv6 address with a port in brackets."""

import ipaddress
from collections.abc import Sequence

import dns.resolver

__all__ = ["DNS_PORT", "place_of", "resolver_at"]

DNS_PORT = 53


def place_of(resolver: str) -> tuple[str, int]:
    """Return address and port. Raises ValueError for what is neither."""
    if resolver.startswith("["):
        address, _, port = resolver[1:].partition("]")
        return address, int(port.removeprefix(":") or DNS_PORT)
    address, colon, port = resolver.rpartition(":")
    if colon and ":" not in address:
        return str(ipaddress.ip_address(address)), int(port)
    return resolver, DNS_PORT


def resolver_at(resolvers: Sequence[str] | None) -> dns.resolver.Resolver:
    """Return a resolver that asks ``resolvers``; None: those of the system.

    Its ``port`` is that of the first. Raises ``dns.resolver.NoResolverConfiguration`` where the system has none.
    """
    found = dns.resolver.Resolver(configure=resolvers is None)
    if resolvers is not None:
        places = [place_of(resolver) for resolver in resolvers]
        found.nameservers = [address for address, _ in places]
        found.nameserver_ports = dict(places)
        found.port = places[0][1]
    return found
