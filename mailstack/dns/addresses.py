"""IP addresses that mail hosts may be published with."""

import ipaddress

from mailstack.dns.problems import Findings, shown

__all__ = ["IPAddress", "IPNetwork", "read_address", "special_purpose"]

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network

# Listed here because `is_private` and `is_global` changed their meaning between Python releases, and because
# the message should say which block it is.
_SPECIAL_BLOCKS: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ipaddress.ip_network(block), meaning)
    for block, meaning in (
        ("0.0.0.0/8", "this network (RFC 1122)"),
        ("10.0.0.0/8", "private (RFC 1918)"),
        ("100.64.0.0/10", "shared by carrier-grade NAT (RFC 6598)"),
        ("127.0.0.0/8", "loopback (RFC 1122)"),
        ("169.254.0.0/16", "link-local (RFC 3927)"),
        ("172.16.0.0/12", "private (RFC 1918)"),
        ("192.0.0.0/24", "reserved for protocols (RFC 6890)"),
        ("192.0.2.0/24", "for documentation (RFC 5737)"),
        ("192.88.99.0/24", "the retired 6to4 relay (RFC 7526)"),
        ("192.168.0.0/16", "private (RFC 1918)"),
        ("198.18.0.0/15", "for benchmarks (RFC 2544)"),
        ("198.51.100.0/24", "for documentation (RFC 5737)"),
        ("203.0.113.0/24", "for documentation (RFC 5737)"),
        ("224.0.0.0/4", "multicast (RFC 5771)"),
        ("240.0.0.0/4", "reserved (RFC 1112)"),
        ("::/128", "unspecified (RFC 4291)"),
        ("::1/128", "loopback (RFC 4291)"),
        ("::ffff:0:0/96", "an IPv4 address mapped into IPv6 (RFC 4291)"),
        ("64:ff9b::/96", "translated by NAT64 (RFC 6052)"),
        ("64:ff9b:1::/48", "translated by NAT64 (RFC 8215)"),
        ("100::/64", "discard-only (RFC 6666)"),
        ("2001::/32", "Teredo (RFC 4380)"),
        ("2001:db8::/32", "for documentation (RFC 3849)"),
        ("2002::/16", "6to4 (RFC 3056)"),
        ("3fff::/20", "for documentation (RFC 9637)"),
        ("fc00::/7", "private (unique local, RFC 4193)"),
        ("fe80::/10", "link-local (RFC 4291)"),
        ("fec0::/10", "site-local (RFC 3879)"),
        ("ff00::/8", "multicast (RFC 4291)"),
    )
)
# No host answers on these, in a rehearsal no more than in production.
_NEVER_A_HOST: tuple[IPNetwork, ...] = tuple(
    ipaddress.ip_network(block)
    for block in ("0.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::ffff:0:0/96", "ff00::/8")
)


def special_purpose(network: IPNetwork) -> str | None:
    """Say in which special block an address range lies ("private (RFC 1918)"); None when it is public."""
    first, last = int(network.network_address), int(network.broadcast_address)
    for block, meaning in _SPECIAL_BLOCKS:
        # Compared as integers: subnet_of() wants both operands of one type.
        if (
            block.version == network.version
            and int(block.network_address) <= first
            and last <= int(block.broadcast_address)
        ):
            return meaning
    return None


def read_address(value: str, version: int, record: str, findings: Findings, *, production: bool) -> IPAddress | None:
    """Parse an IPv4 (``version`` 4) or IPv6 (6) host address; note what is wrong and return None otherwise."""
    try:
        address: IPAddress = ipaddress.ip_address(value)
    except ValueError:
        findings.error(
            record,
            "address-syntax",
            found=shown(value),
            expected=f"one IPv{version} address without prefix length, port or leading zeros",
            fix=f"write the address alone, such as {'198.51.100.7' if version == 4 else '2001:db8::7'}",
        )
        return None
    if address.version != version:
        findings.error(
            record,
            "address-family",
            found=f"{shown(value)}, an IPv{address.version} address, among the IPv{version} addresses",
            expected=f"IPv{version}",
            fix=f"move it to `public_ipv{address.version}`",
        )
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        findings.error(
            record,
            "address-syntax",
            found=f"{shown(value)} with a zone index",
            expected="an address that means the same everywhere",
            fix=f"remove %{address.scope_id}",
        )
        return None
    meaning = special_purpose(ipaddress.ip_network(address))
    never = any(block.version == version and address in block for block in _NEVER_A_HOST)
    if meaning is not None and (production or never):
        findings.error(
            record,
            "address-public",
            found=f"{address}, which is {meaning}",
            expected="a public address that other mail servers can reach",
            fix="publish the address the host has on the internet"
            + ("" if never else ", or set `environment` to another value than prod for a rehearsal"),
        )
        return None
    return address
