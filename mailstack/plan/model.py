"""What a plan is made of: plain, frozen data. Whoever reads a plan reads these and nothing else."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar

from mailstack.caddy.definition import CaddyDefinition
from mailstack.dns import Record
from mailstack.kubernetes.names import Before
from mailstack.plan.postal_cluster import KubernetesPostal
from mailstack.plan.relay_cluster import KubernetesRelay
from mailstack.plan.relay_container import DockerRelay
from mailstack.plan.shown import Secret, Seen, Shown, versioned
from mailstack.postal.definition import PostalDefinition
from mailstack.postfix.relay import RelayDefinition
from mailstack.reach.bundle import ROLE_TIMEOUT_SECONDS
from mailstack.reach.connection import Connection
from mailstack.relay_rule import RelayRule
from mailstack.settings.model import Settings

__all__ = [
    "RELAY_PROBE_RUN",
    "RELAY_RUN",
    "CaddyPlan",
    "CloudflarePlan",
    "ClusterPlan",
    "DnsPlan",
    "DockerRelay",
    "HostPlan",
    "KubernetesPostal",
    "KubernetesRelay",
    "Plan",
    "PostalPlan",
    "RelayPlan",
    "RelayRulePlan",
    "RoleRun",
]


# Names of runs on the relay's one host; with several hosts the host's name follows.
RELAY_RUN, RELAY_PROBE_RUN = "relay-postfix", "relay-rule-probe"


@dataclass(frozen=True, kw_only=True)
class RoleRun:
    """One run of a role on a host.

    ``name`` is the resource's name in Pulumi. ``settings`` and ``secrets`` are what the role is told: plain JSON;
    ``secrets`` travel on standard input only. ``on_destroy``: ``remove`` undoes the role when the resource goes,
    ``keep`` leaves the host as it is. ``secret_output``: it tells a secret, see ``rolelib.protocol.Role``.
    """

    name: str
    host: str
    role: str
    settings: Mapping[str, Any]
    secrets: Mapping[str, Any] = field(default_factory=dict, repr=False)
    on_destroy: Literal["remove", "keep"] = "keep"
    # The resource's name before, where it is the same run on the same host.
    formerly: tuple[str, ...] = ()
    timeout_seconds: int = ROLE_TIMEOUT_SECONDS
    secret_output: bool = False


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
    DMARC of the sending domains. ``clients`` are the relay's addresses for applications: they follow the relay, and go
    before it does. ``texts`` are the zones in BIND format. ``names_run``, ``clients_run`` and ``mail_run`` bring them
    to a server of ours: everything but both, everything but ``last``, then all.
    """

    zones: Mapping[str, tuple[Record, ...]]
    last: frozenset[Record]
    clients: frozenset[Record] = frozenset()
    texts: Mapping[str, str]
    warnings: tuple[str, ...]
    # DNS lookups that each SPF record costs a receiver, by name.
    spf_lookups: Mapping[str, int]
    cloudflare: CloudflarePlan | None
    # Records that start as one the zone had before: resource name to Cloudflare's import ID.
    taken: Mapping[str, str] = field(default_factory=dict)
    # Records that the next update writes at Cloudflare.
    unwritten: frozenset[Record] = frozenset()
    names_run: RoleRun | None
    clients_run: RoleRun | None = None
    mail_run: RoleRun | None
    shown: Shown

    @property
    def records(self) -> tuple[Record, ...]:
        """Return all records, zone by zone."""
        return tuple(record for records in self.zones.values() for record in records)


@dataclass(frozen=True, kw_only=True)
class RelayPlan:
    """The relay: the definition every placement renders main.cf from, and what brings it to its place.

    Of ``runs``, ``docker`` and ``kubernetes`` one is there at most: the role for each host, one after the other, a
    container, or objects of a cluster. ``after_caddy``: it shows a certificate that Caddy has to have first.
    ``smtp_host`` is what applications are told, a name or the first of the addresses ``smtp_hosts``. ``definition`` is
    that of the first host, where several run it.
    ``smtp_environment`` is what applications are told, empty where there is no relay; ``compose_snippet`` says it for
    applications in containers beside it.
    """

    definition: RelayDefinition
    runs: tuple[RoleRun, ...] = ()
    smtp_host: str = ""
    smtp_hosts: tuple[str, ...] = ()
    docker: DockerRelay | None = None
    kubernetes: KubernetesRelay | None = None
    after_caddy: bool = False
    smtp_environment: Mapping[str, str] = field(default_factory=dict)
    compose_snippet: str | None = None
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
    """Postal with its database: a role's run, or objects of a cluster.

    ``database_run`` None for a server that is there already. ``mail_servers`` is what applications are told, by the
    full name of their mail server.
    """

    definition: PostalDefinition
    run: RoleRun | None = None
    database_run: RoleRun | None = None
    kubernetes: KubernetesPostal | None = None
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


@dataclass(frozen=True, kw_only=True)
class ClusterPlan:
    """The Kubernetes cluster: ``node_runs`` make and upgrade its nodes, one after the other, servers first.

    ``members_run`` takes nodes out that are no longer declared, ``kubeconfig_run`` tells the administrator's access.
    """

    node_runs: tuple[RoleRun, ...]
    members_run: RoleRun
    kubeconfig_run: RoleRun
    shown: Shown

    @property
    def runs(self) -> tuple[RoleRun, ...]:
        """Return all runs in their order."""
        return (*self.node_runs, self.members_run, self.kubeconfig_run)


Part = TypeVar("Part", HostPlan, DnsPlan, RelayPlan, CaddyPlan, PostalPlan, RelayRulePlan, ClusterPlan)
Placement = TypeVar("Placement", KubernetesRelay, KubernetesPostal)


def _after(placed: Placement | None, component: str, objects: Before) -> Placement | None:
    """Return what a component has on a cluster, with the objects of its own that were there before."""
    if placed is None:
        return None
    prefix = f"{component}-"
    own = {name.removeprefix(prefix): found for name, found in objects.items() if name.startswith(prefix)}
    return replace(placed, before=own)


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
    cluster: ClusterPlan | None
    warnings: tuple[str, ...]

    def versioned(self, seen: Mapping[str, Seen]) -> "Plan":
        """Return the plan with the versions of its secrets, from what each component had last: name to ``Seen``."""
        return self._with_shown(lambda name, shown: versioned(shown, seen.get(name, {})))

    def in_environment(self) -> "Plan":
        """Return the plan whose parts all show which environment it is: policies hold by it (mailstack/policy)."""
        return self._with_shown(lambda _name, shown: {"environment": self.settings.environment, **shown})

    def _with_shown(self, change: Callable[[str, Shown], Shown]) -> "Plan":
        def told(name: str, part: Part) -> Part:
            return replace(part, shown=change(name, part.shown))

        return replace(
            self,
            hosts={name: told(name, host) for name, host in self.hosts.items()},
            dns=told("dns", self.dns),
            relay=told("relay", self.relay),
            caddy=None if self.caddy is None else told("caddy", self.caddy),
            postal=None if self.postal is None else told("postal", self.postal),
            relay_rule=None if self.relay_rule is None else told("relay-rule", self.relay_rule),
            cluster=None if self.cluster is None else told("cluster", self.cluster),
        )

    def continued(self, placed: Mapping[str, str], objects: Before) -> "Plan":
        """Return the plan with the former names of its runs, from what the last update left: name to host.

        Names of a cluster's ``objects`` go on from those that it left.

        A relay on one host has a name without the host, one of several a name with it. The step from one to the other
        changes nothing on that host.
        """

        def named(run: RoleRun, alone: str) -> RoleRun:
            other = f"{alone}-{run.host}" if run.name == alone else alone
            return replace(run, formerly=(other,)) if placed.get(other) == run.host else run

        rule = self.relay_rule
        return replace(
            self,
            relay=replace(
                self.relay,
                runs=tuple(named(run, RELAY_RUN) for run in self.relay.runs),
                kubernetes=_after(self.relay.kubernetes, "relay", objects),
            ),
            postal=None
            if self.postal is None
            else replace(self.postal, kubernetes=_after(self.postal.kubernetes, "postal", objects)),
            relay_rule=None
            if rule is None
            else replace(rule, runs=tuple(named(run, RELAY_PROBE_RUN) for run in rule.runs)),
        )

    def runs(self) -> Iterator[RoleRun]:
        """Yield every run of a role, in an order that respects what builds on what."""
        for host in self.hosts.values():
            yield from host.runs
        if self.cluster is not None:
            yield from self.cluster.runs
        parts = [self.dns.names_run, *self.relay.runs, self.dns.clients_run, self.caddy.run if self.caddy else None]
        if self.postal is not None:
            parts += [self.postal.database_run, self.postal.run]
        parts += [*(self.relay_rule.runs if self.relay_rule else ()), self.dns.mail_run]
        yield from (run for run in parts if run is not None)
