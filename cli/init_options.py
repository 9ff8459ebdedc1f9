"""What the command line of `mailstack init` gave."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.settings.host_types import FirewallKind

__all__ = ["Options"]


@dataclass(frozen=True, kw_only=True)
class Options:
    """``given`` maps keys of questions to texts, lists for those with many.

    ``look`` False: nobody outside is asked. ``yes``: what has a default is not asked, and nothing is confirmed but a
    host key.
    """

    stack: str
    given: Mapping[str, Any]
    host_key: str | None = None
    host_fingerprint: str | None = None
    public_ipv4: str | None = None
    public_ipv6: str | None = None
    firewall: FirewallKind | None = None
    security_updates: bool = False
    certificate_key: Path | None = None
    secrets_provider: str | None = None
    look: bool = True
    yes: bool = False
    as_json: bool = False
