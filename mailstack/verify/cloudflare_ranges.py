"""Addresses of Cloudflare's proxy: what has one of them is not a mail server.

www.cloudflare.com/ips, unchanged since 2023-09-28: compared with copies of it in public code up to 2026-10.
"""

import ipaddress

__all__ = ["is_proxied"]

RANGES = (
    "173.245.48.0/20",
    "103.21.244.0/22",
    "103.22.200.0/22",
    "103.31.4.0/22",
    "141.101.64.0/18",
    "108.162.192.0/18",
    "190.93.240.0/20",
    "188.114.96.0/20",
    "197.234.240.0/22",
    "198.41.128.0/17",
    "162.158.0.0/15",
    "104.16.0.0/13",
    "104.24.0.0/14",
    "172.64.0.0/13",
    "131.0.72.0/22",
    "2400:cb00::/32",
    "2606:4700::/32",
    "2803:f800::/32",
    "2405:b500::/32",
    "2405:8100::/32",
    "2a06:98c0::/29",
    "2c0f:f248::/32",
)
_NETWORKS = tuple(map(ipaddress.ip_network, RANGES))


def is_proxied(address: str) -> bool:
    """Tell whether an address is Cloudflare's proxy, which does not pass SMTP on."""
    found = ipaddress.ip_address(address)
    return any(found.version == network.version and found in network for network in _NETWORKS)
