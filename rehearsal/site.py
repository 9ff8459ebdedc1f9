"""What the checks of a rehearsal look at, and what they say."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mailstack.plan import Plan
from mailstack.settings.model import Settings
from rehearsal.cloudflare_standin import CloudflareStandin
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, Host
from rehearsal.relay_place import RelayPlace

__all__ = ["Check", "Site", "short"]


@dataclass(frozen=True, kw_only=True)
class Check:
    """One promise, whether it held, and what was seen."""

    name: str
    passed: bool
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Site:
    """Everything the checks may look at.

    ``place`` is where the relay is, where that is no host; ``drift`` compares all hosts, objects and records with the
    declaration. ``authorities`` are what the hosts trust, PEM text.
    """

    plan: Plan
    outputs: Mapping[str, Any]
    ground: Ground
    relay: Host | None
    place: RelayPlace | None
    hosts: Mapping[str, Host]
    google: GoogleStandinClient
    cloudflare: CloudflareStandin | None
    drift: Callable[[], list[str]]
    authorities: str

    @property
    def relays(self) -> dict[str, Host]:
        """Return the hosts the relay runs on, by name, in the order in which they are changed."""
        return {run.host: self.hosts[run.host] for run in self.plan.relay.runs}

    @property
    def everywhere(self) -> Sequence[Host | None]:
        """Return where Postfix runs: each host of it, None for a place that is no host."""
        return [None] if self.place is not None else list(self.relays.values())

    @property
    def relay_host(self) -> Host:
        """Return the relay's host, for checks that only a host can pass."""
        if self.relay is None:
            raise LookupError("the relay has no host of its own")
        return self.relay

    def ask(self, argv: Sequence[str], stdin: str, relay: Host | None = None) -> str:
        """Run a command where an application is that may send, on ``relay`` (default: the first host), and read it."""
        if self.place is not None:
            return self.place.ask(argv, stdin=stdin).stdout
        return self.ground.exec(relay or self.relay_host, argv, input=stdin, check=False).stdout

    def in_relay(self, argv: Sequence[str], relay: Host | None = None) -> str:
        """Run a command where Postfix is, on ``relay`` (default: the first host), and return what it prints."""
        if self.place is not None:
            return self.place.run(argv)
        return self.ground.exec(relay or self.relay_host, argv).stdout

    def relay_log(self, relay: Host | None = None) -> str:
        """Return what Postfix has logged, on ``relay`` (default: the first host)."""
        if self.place is not None:
            return self.place.log()
        return self.in_relay(["cat", "/var/log/mailstack/postfix.log"], relay)

    @property
    def settings(self) -> Settings:
        """Return the settings the plan was made of."""
        return self.plan.settings


def short(text: str, limit: int = 110) -> str:
    """Return ``text``, cut to a line of a table."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
