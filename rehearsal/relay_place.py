"""A place of the relay that is no host: what checks and tests ask of it, whatever runs there."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mailstack.plan import Plan
from rehearsal.google_standin import GoogleStandinClient

__all__ = ["RelayPlace"]


class RelayPlace(Protocol):
    """A relay in containers or pods."""

    @property
    def raw(self) -> Mapping[str, Any]:
        """The stack's configuration that puts the relay there."""

    def join(self, plan: Plan, google: GoogleStandinClient, rule: Mapping[str, Any]) -> None:
        """Bring relay, application and upstream together, once the relay is there; Google learns its address."""

    def run(self, argv: Sequence[str]) -> str:
        """Run a command where Postfix is, on each instance of it, and return what they print."""

    def log(self) -> str:
        """Return what Postfix has logged."""

    def ask(
        self, argv: Sequence[str], *, stdin: str = "", stranger: bool = False, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command where an application is, or where somebody is who may not send."""
