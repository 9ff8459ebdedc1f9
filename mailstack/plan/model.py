"""What a plan is made of: plain, frozen data. Whoever reads a plan reads these and nothing else."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from mailstack.caddy.definition import CaddyDefinition
from mailstack.dns import Record
from mailstack.plan.relay_cluster import KubernetesRelay
from mailstack.plan.shown import Secret, Seen, Shown, versioned
from mailstack.postal.definition import PostalDefinition
from mailstack.postfix.relay import RelayDefinition
from mailstack.reach.bundle import ROLE_TIMEOUT_SECONDS
from mailstack.reach.connection import Connection
from mailstack.relay_rule import RelayRule
from mailstack.settings.model import Settings

__all__ = [
    "CaddyPlan",
    "CloudflarePlan",
    "DnsPlan",
    "DockerRelay",
    "HostPlan",
    "KubernetesRelay",
    "Plan",
    "PostalPlan",
    "RelayPlan",
    "RelayRulePlan",
    "RoleRun",
]


@dataclass(frozen=True, kw_only=True)
class RoleRun:
    """One run of a role on a host.

    ``name`` is the resource's name in Pulumi. ``settings`` and ``secrets`` are what the role is told: plain JSON;
    ``secrets`` travel on standard input only. ``on_destroy``: ``remove`` undoes the role when the resource goes,
    ``keep`` leaves the host as it is.
    """

    name: str
    host: str
    role: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on_destroy: Literal["remove", "keep"] = "keep"
    timeout_seconds: int = ROLE_TIMEOUT_SECONDS


@dataclass(frozen=True, kw_only=True)
class HostPlan:
    """A host, and what every other role there builds on: ``runs``, one after the other."""

    name: str
    connection: Connection
    runs: tuple[RoleRun, ...]
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class CloudflarePlan:
    """Where records go: zone name to zone ID, None for an ID that is looked up.

    At most ``calls`` in any ``seconds``; ``made`` are the times of those of late, in seconds since 1970.
    """

    api_token: Secret
    zone_ids: Mapping[str, str | None]
    calls: int
    seconds: int
    made: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DnsPlan:
    """The records of all zones.

    ``zones`` maps a zone to its records, ``last`` holds those that follow only once hosts and relay are ready: MX and
    DMARC of the sending domains. ``texts`` are the zones in BIND format. ``names_run`` and ``mail_run`` bring them to
    a server of ours: everything but ``last``, then all.
    """

    zones: Mapping[str, tuple[Record, ...]]
    last: frozenset[Record]
    texts: Mapping[str, str]
    warnings: tuple[str, ...]
    cloudflare: CloudflarePlan | None
    # Records that start as one the zone had before: resource name to Cloudflare's import ID.
    taken: Mapping[str, str] = field(default_factory=dict)
    # Records that the next update writes at Cloudflare.
    unwritten: frozenset[Record] = frozenset()
    names_run: RoleRun | None
    mail_run: RoleRun | None
    shown: Shown

    @property
    def records(self) -> tuple[Record, ...]:
        """Return all records, zone by zone."""
        return tuple(record for records in self.zones.values() for record in records)


@dataclass(frozen=True, kw_only=True)
class DockerRelay:
    """The relay as a container of one Docker engine."""


@dataclass(frozen=True, kw_only=True)
class RelayPlan:
    """The relay: the definition every placement renders main.cf from, and what brings it to its place.

    Of ``runs``, ``docker`` and ``kubernetes`` one is there at most: the role for each host, one after the other, a
    container, or objects of a cluster. ``after_caddy``: it shows a certificate that Caddy has to have first.
    """

    definition: RelayDefinition
    runs: tuple[RoleRun, ...] = ()
    docker: DockerRelay | None = None
    kubernetes: KubernetesRelay | None = None
    after_caddy: bool = False
    shown: Shown

    @property
    def placed(self) -> bool:
        """Tell whether there is a relay at all."""
        return bool(self.runs) or self.docker is not None or self.kubernetes is not None


@dataclass(frozen=True, kw_only=True)
class CaddyPlan:
    """The web server with the certificates."""

    definition: CaddyDefinition
    run: RoleRun
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class PostalPlan:
    """Postal with its database; ``database_run`` None for a server that is there already.

    ``mail_servers`` is what applications are told, by the full name of their mail server.
    """

    definition: PostalDefinition
    run: RoleRun
    database_run: RoleRun | None
    web_url: str
    mail_servers: Mapping[str, Mapping[str, Any]] = field(repr=False)
    shown: Shown


@dataclass(frozen=True, kw_only=True)
class RelayRulePlan:
    """The rule of the Google Admin console, the steps that make it, and the probes that prove it, one each host."""

    rule: RelayRule
    console_steps: str
    runs: tuple[RoleRun, ...]
    shown: Shown


Part = TypeVar("Part", HostPlan, DnsPlan, RelayPlan, CaddyPlan, PostalPlan, RelayRulePlan)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A stack as data: every definition once. ``warnings`` are what every `pulumi up` reports, one sentence each."""

    settings: Settings
    hosts: Mapping[str, HostPlan]
    dns: DnsPlan
    relay: RelayPlan
    caddy: CaddyPlan | None
    postal: PostalPlan | None
    relay_rule: RelayRulePlan | None
    warnings: tuple[str, ...]

    def versioned(self, seen: Mapping[str, Seen]) -> "Plan":
        """Return the plan with the versions of its secrets, from what each component had last: name to ``Seen``."""

        def told(name: str, part: Part) -> Part:
            return replace(part, shown=versioned(part.shown, seen.get(name, {})))

        return replace(
            self,
            hosts={name: told(name, host) for name, host in self.hosts.items()},
            dns=told("dns", self.dns),
            relay=told("relay", self.relay),
            caddy=None if self.caddy is None else told("caddy", self.caddy),
            postal=None if self.postal is None else told("postal", self.postal),
            relay_rule=None if self.relay_rule is None else told("relay-rule", self.relay_rule),
        )

    def runs(self) -> Iterator[RoleRun]:
        """Yield every run of a role, in an order that respects what builds on what."""
        for host in self.hosts.values():
            yield from host.runs
        parts = [self.dns.names_run, *self.relay.runs, self.caddy.run if self.caddy else None]
        if self.postal is not None:
            parts += [self.postal.database_run, self.postal.run]
        parts += [*(self.relay_rule.runs if self.relay_rule else ()), self.dns.mail_run]
        yield from (run for run in parts if run is not None)
