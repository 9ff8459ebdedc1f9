"""What Cloudflare says of a zone itself: how many records it takes, and whether the world asks Cloudflare about it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ZoneFacts"]

# Records a zone may hold, by plan (developers.cloudflare.com/dns/troubleshooting/faq, read 2026-11).
QUOTAS: Mapping[str, int] = {"pro": 3500, "business": 3500, "enterprise": 3500}
FREE, FREE_BEFORE, SMALLER_SINCE = 200, 1000, "2024-09-01"


@dataclass(frozen=True, kw_only=True)
class ZoneFacts:
    """A zone as the API shows it. ``status`` is ``active`` once the registrar names ``name_servers``."""

    name: str
    plan: str
    created: str
    status: str
    name_servers: tuple[str, ...]

    @classmethod
    def at_cloudflare(cls, shown: Mapping[str, Any]) -> "ZoneFacts":
        """Read a zone as Cloudflare's API shows it."""
        return cls(
            name=str(shown["name"]),
            plan=str((shown.get("plan") or {}).get("legacy_id") or ""),
            created=str(shown.get("created_on") or ""),
            status=str(shown.get("status") or ""),
            name_servers=tuple(str(server).lower().rstrip(".") for server in shown.get("name_servers") or ()),
        )

    @property
    def quota(self) -> int | None:
        """Return how many records it may hold; None for a plan that is not known here."""
        if self.plan == "free":
            return FREE if self.created >= SMALLER_SINCE else FREE_BEFORE
        return QUOTAS.get(self.plan)
