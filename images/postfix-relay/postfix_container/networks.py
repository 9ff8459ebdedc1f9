"""The networks this container is attached to: its neighbours, who may send when nothing else is said."""

import fcntl
import ipaddress
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

__all__ = ["attached_networks", "own_addresses"]

# linux/sockios.h: the address and the mask of an interface.
ADDRESS, MASK = 0x8915, 0x891B
NAME_BYTES = 15


def attached_networks(interfaces: Path = Path("/sys/class/net")) -> tuple[str, ...]:
    """Return the IPv4 networks of all interfaces but loopback, each as CIDR."""
    found = [str(ipaddress.ip_network(f"{address}/{mask}", strict=False)) for address, mask in _attached(interfaces)]
    return tuple(dict.fromkeys(found))


def own_addresses(interfaces: Path = Path("/sys/class/net")) -> frozenset[str]:
    """Return the IPv4 addresses of all interfaces but loopback."""
    return frozenset(address for address, _ in _attached(interfaces))


def _attached(interfaces: Path) -> Iterator[tuple[str, str]]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        for name in sorted(path.name for path in interfaces.iterdir()):
            address, mask = _ask(handle, ADDRESS, name), _ask(handle, MASK, name)
            if address is not None and mask is not None and name != "lo":
                yield address, mask


def _ask(handle: socket.socket, what: int, name: str) -> str | None:
    request = struct.pack("256s", name.encode()[:NAME_BYTES])
    try:
        return socket.inet_ntoa(fcntl.ioctl(handle.fileno(), what, request)[20:24])
    except OSError:  # an interface without an address
        return None
