"""Which checks the zones are held to: those of DNS and policies. Those of hosts and TLS have tests of their own."""

from mailstack.verify import (
    bimi,
    block_lists,
    caa,
    dkim,
    dmarc,
    identity,
    leftovers,
    policies,
    published,
    receiving,
    spf,
    zone,
)
from mailstack.verify.model import CHECKS

MODULES = (bimi, block_lists, caa, dkim, dmarc, identity, leftovers, policies, published, receiving, spf, zone)


def names() -> list[str]:
    """Return the names of these checks."""
    return [name for name, one in CHECKS.items() if one.look.__module__ in {module.__name__ for module in MODULES}]
