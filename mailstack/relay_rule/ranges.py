"""Address ranges of the rule: reading one, and telling whether Google can see its addresses at all."""

import ipaddress

__all__ = ["Network", "not_public", "overlap", "read_range", "spelling_fix"]

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST_BITS = "it has bits set to the right of its prefix length, so it is neither an address nor a range"
_SPELL_IT = "write an address (198.51.100.7) or a range in CIDR form (198.51.100.0/28)"
_SPELLING = {_HOST_BITS: "write the first address of the range, or /32 (IPv6: /128) for a single host"}


def read_range(text: str) -> Network | str:
    """Return the range that ``text`` spells, or as text what is wrong with its spelling."""
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "it is neither an IP address nor a CIDR range (RFC 4632, RFC 4291)"
    return _HOST_BITS


def spelling_fix(wrong: str) -> str:
    """Return how to mend a spelling of which :func:`read_range` said ``wrong``."""
    return _SPELLING.get(wrong, _SPELL_IT)


# RFC 6890 and the IANA special-purpose registries. Later Python releases changed their answer for some of
# these (is_private, is_global), so the ones that matter are named here.
_SPECIAL: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a private range (RFC 1918)", ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),
    ("a range shared behind carrier NAT (RFC 6598)", ("100.64.0.0/10",)),
    ("a loopback address", ("127.0.0.0/8", "::1/128")),
    ("a link-local range", ("169.254.0.0/16", "fe80::/10")),
    (
        "a range reserved for documentation (RFC 5737, RFC 3849, RFC 9637)",
        ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20"),
    ),
    ("a unique local range (RFC 4193)", ("fc00::/7",)),
    ("a range for benchmarks (RFC 2544, RFC 5180)", ("198.18.0.0/15", "2001:2::/48")),
    ("an IPv4 address in IPv6 clothing", ("::ffff:0:0/96",)),
    ("a multicast, reserved or unspecified range", ("0.0.0.0/8", "224.0.0.0/3", "ff00::/8", "::/128")),
)
_SPECIAL_NETWORKS = [(kind, ipaddress.ip_network(text)) for kind, texts in _SPECIAL for text in texts]


def not_public(network: Network) -> str | None:
    """Return what kind of special-purpose range ``network`` is or touches; None for public addresses."""
    for kind, special in _SPECIAL_NETWORKS:
        if overlap(network, special):
            return kind
    return None


def overlap(one: Network, other: Network) -> bool:
    """Tell whether an address is in both; ranges of different families never overlap."""
    if isinstance(one, ipaddress.IPv4Network):
        return isinstance(other, ipaddress.IPv4Network) and one.overlaps(other)
    return isinstance(other, ipaddress.IPv6Network) and one.overlaps(other)
