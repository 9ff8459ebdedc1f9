"""What this machine calls itself in EHLO: its name, or where it has none the world could know, its address."""

import re
import socket
from functools import cache

__all__ = ["address_literal", "own_name"]

# RFC 6761, RFC 6762, RFC 8375, and what routers and distributions make up: nobody else can look these up.
NOT_FOR_THE_WORLD = frozenset(
    ("local", "localhost", "localdomain", "internal", "lan", "home", "arpa", "test", "invalid", "example", "onion")
)
LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@cache
def own_name() -> str:
    """Return this machine's full name as its resolver tells it, empty where it has none (RFC 5321 §4.1.4)."""
    name = socket.getfqdn().rstrip(".").lower()
    *above, last = labels = name.split(".")
    good = above and len(name) <= 253 and all(LABEL.fullmatch(label) for label in labels)
    return name if good and not last.isdigit() and last not in NOT_FOR_THE_WORLD else ""


def address_literal(connection: socket.socket) -> str:
    """Return our end of a connection as RFC 5321 §4.1.3 writes it: ``[192.0.2.1]``, ``[IPv6:2001:db8::1]``."""
    address = str(connection.getsockname()[0]).partition("%")[0]
    return f"[IPv6:{address}]" if ":" in address else f"[{address}]"
