"""What the checks of a rehearsal look at, and what they say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mailstack.plan import Plan
from mailstack.settings.model import Settings
from rehearsal.cloudflare_standin import CloudflareStandin
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, Host

__all__ = ["Check", "Site", "short"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise, whether it held, and what was seen."""

    name: str
    passed: bool
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything the checks may look at. ``drift`` compares all hosts and records with the declaration."""

    plan: Plan
    outputs: Mapping[str, Any]
    ground: Ground
    relay: Host
    hosts: Mapping[str, Host]
    google: GoogleStandinClient
    cloudflare: CloudflareStandin | None
    drift: Callable[[], list[str]]

    @property
    def relays(self) -> dict[str, Host]:
        """Return the hosts the relay runs on, by name, in the order in which they are changed."""
        return {run.host: self.hosts[run.host] for run in self.plan.relay.runs}

    @property
    def settings(self) -> Settings:
        """Return the settings the plan was made of."""
        return self.plan.settings


def short(text: str, limit: int = 110) -> str:
    """Return ``text``, cut to a line of a table."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
