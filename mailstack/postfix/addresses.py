"""What follows from the addresses of a definition: interfaces, protocols, networks."""

import ipaddress

from mailstack.postfix.definition import RelayDefinition

__all__ = ["inet_protocols", "interfaces", "listen_on", "network_text", "sending_versions"]


def sending_versions(definition: RelayDefinition) -> set[int]:
    """Return the IP versions the relay sends over."""
    return {"ipv4": {4}, "ipv6": {6}, "all": {4, 6}}[definition.ip_protocol]


def listen_on(definition: RelayDefinition) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Return the addresses the relay listens on."""
    return [ipaddress.ip_address(address) for address in definition.listen_addresses]


def interfaces(definition: RelayDefinition, versions: set[int]) -> tuple[str, ...]:
    """Return inet_interfaces for the IP ``versions``.

    Loopback is always among them: with a single other address Postfix would send from that address too,
    which need not be one that reaches the upstream (postconf(5), smtp_bind_address).
    """
    listen = listen_on(definition)
    if any(address.is_unspecified for address in listen):
        return ("all",)
    loopback = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1")]
    found = dict.fromkeys(address for address in loopback + listen if address.version in versions)
    return tuple(str(address) for address in found)


def inet_protocols(versions: set[int]) -> str:
    """Return the word Postfix has for these IP versions."""
    return "all" if len(versions) == 2 else f"ipv{next(iter(versions))}"


def network_text(text: str) -> str:
    """Return a network as mynetworks wants it: IPv6 in brackets."""
    network = ipaddress.ip_network(text)
    return f"[{network.network_address}]/{network.prefixlen}" if network.version == 6 else str(network)
