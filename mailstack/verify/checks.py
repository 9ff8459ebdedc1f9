"""Every module with checks: importing this one fills ``model.CHECKS``, in the order of the reports."""

from mailstack.verify import (
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

__all__ = [
    "block_lists",
    "caa",
    "dkim",
    "dmarc",
    "identity",
    "leftovers",
    "policies",
    "published",
    "receiving",
    "spf",
    "zone",
]
