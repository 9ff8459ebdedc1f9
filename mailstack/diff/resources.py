"""The resources that a plan becomes: names, inputs, and which change of them makes a new resource.

As ``components/`` registers them; tests/engine/test_diff.py holds this against previews of the real engine. Inputs are
digests: what differs is told by their names, never by their values.
"""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from mailstack.diff.docker_resources import docker_inputs
from mailstack.dns.cloudflare import resource_name, to_cloudflare
from mailstack.kubernetes.names import versions
from mailstack.kubernetes.objects import Placed
from mailstack.plan import Plan, RoleRun
from mailstack.plan.cluster_access import ClusterAccess
from mailstack.plan.shown import Seen, Shown, seen_of
from mailstack.reach.bundle import command_line
from mailstack.reach.connection import Connection

__all__ = [
    "CODE",
    "COMMAND",
    "OBJECT",
    "RECORD",
    "SECRETS",
    "SETTINGS",
    "Resource",
    "after",
    "digest",
    "resources",
    "with_old_image",
]

COMMAND, RECORD, OBJECT = "command", "record", "object"
# Of a role's run: what it is told, in clear and secretly, and which code it runs. Together they are its standard input.
SETTINGS, SECRETS, CODE, HOST = "settings", "secrets", "code", "host"
# Fields of a manifest whose change makes a new object (pulumi-kubernetes 4.34, provider/pkg/provider/fields.go). What
# is immutable has a new name with each change.
OF_ALL = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
NEW_OBJECT: Mapping[str, tuple[str, ...]] = {
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "Secret": ("type", "data", "stringData"),
    "ConfigMap": ("immutable", "data", "binaryData"),
    "Service": ("spec.clusterIP",),
}
OLD = "-before"  # no tag that is built has such an end
CodeOf = Callable[[str], str]


@dataclass(frozen=True, kw_only=True)
class Resource:
    """One resource of the engine.

    ``what`` is its kind in words, ``inputs`` maps the path of each input to a digest, ``new`` are the paths (and what
    is below them) whose change makes a new one. ``follows`` maps an input to the resource whose replacement changes it.
    ``stays``: the engine forgets it when it goes, and leaves what it stands for where it is.
    """

    name: str
    type: str
    what: str
    host: str | None = None
    inputs: Mapping[str, str]
    new: tuple[str, ...] = ()
    follows: Mapping[str, str] = field(default_factory=dict)
    formerly: tuple[str, ...] = ()
    stays: bool = False

    def makes_new(self, path: str) -> bool:
        """Tell whether a change of that input makes a new resource."""
        return any(path == one or path.startswith((f"{one}.", f"{one}[")) for one in self.new)


def digest(value: Any) -> str:
    """Return what tells two values of plain data apart."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def after(before: Plan, plan: Plan) -> Plan:
    """Return ``plan`` as the program has it once ``before`` is up: names and versions go on from there."""
    placed = {run.name: run.host for run in before.runs()}
    there = dict(versions((name, one.manifest) for name, one in _objects(before)))
    return plan.continued(placed, there).versioned({name: _seen(shown) for name, shown in _shown(before)})


def with_old_image(plan: Plan) -> Plan:
    """Return ``plan`` with another tag of the relay's image, where it is built here: its code was another."""
    docker, kubernetes = plan.relay.docker, plan.relay.kubernetes
    if docker is not None and docker.image.built:
        docker = replace(docker, image=replace(docker.image, name=f"{docker.image.name}{OLD}"))
    if kubernetes is not None and kubernetes.image.built:
        name = f"{kubernetes.image.name}{OLD}"
        relay = replace(kubernetes.relay, image=name)
        kubernetes = replace(kubernetes, image=replace(kubernetes.image, name=name), relay=relay)
    return replace(plan, relay=replace(plan.relay, docker=docker, kubernetes=kubernetes))


def _seen(shown: Shown) -> Seen:
    return {name: (str(found[0]), int(found[1])) for name, found in seen_of(shown).items()}


def _shown(plan: Plan) -> Iterator[tuple[str, Shown]]:
    """Yield what each component shows, by its name."""
    yield from ((name, host.shown) for name, host in plan.hosts.items())
    yield "dns", plan.dns.shown
    yield "relay", plan.relay.shown
    for name, part in {"caddy": plan.caddy, "postal": plan.postal}.items():
        if part is not None:
            yield name, part.shown
    if plan.relay_rule is not None:
        yield "relay-rule", plan.relay_rule.shown
    if plan.cluster is not None:
        yield "cluster", plan.cluster.shown


def _objects(plan: Plan) -> Iterator[tuple[str, Placed]]:
    relay, postal = plan.relay, plan.postal
    if relay.kubernetes is not None:
        yield from ((f"relay-{one.name}", one) for one in relay.kubernetes.objects(relay.shown))
    if postal is not None and postal.kubernetes is not None:
        yield from ((f"postal-{one.name}", one) for one in postal.kubernetes.objects(postal.shown))


def resources(plan: Plan, code_of: CodeOf) -> dict[str, Resource]:
    """Return every resource by its name. ``code_of`` gives the digest of a role's code."""
    found: list[Resource] = [_command(run, plan.hosts[run.host].connection, code_of) for run in plan.runs()]
    if plan.dns.cloudflare is not None:
        token = {"apiToken": digest(plan.dns.cloudflare.api_token.value)}
        found.append(Resource(name="dns-cloudflare", type="provider", what="login at Cloudflare", inputs=token))
        found += _records(plan)
    if plan.relay.docker is not None:
        found += [
            Resource(
                name=f"relay-{one.name}",
                type=one.type,
                what=one.what,
                host=plan.relay.docker.host,
                inputs={path: digest(value) for path, value in one.inputs.items() if value is not None},
                new=one.new,
                follows={path: f"relay-{other}" for path, other in one.follows.items()},
                stays=one.stays,
            )
            for one in docker_inputs(plan.relay.docker)
        ]
    for component, access in _accesses(plan):
        found.append(_cluster_login(component, access))
    keep = {"relay": plan.relay.kubernetes, "postal": None if plan.postal is None else plan.postal.kubernetes}
    for name, one in _objects(plan):
        placed = keep[name.partition("-")[0]]
        found.append(_object(name, one, keep=placed is not None and placed.keep))
    return {one.name: one for one in found}


def _command(run: RoleRun, connection: Connection, code_of: CodeOf) -> Resource:
    inputs = {
        "connection": digest(asdict(connection)),
        "time limit": digest(command_line("apply", run.timeout_seconds)),
        "on_destroy": run.on_destroy,
        SETTINGS: digest(run.settings),
        SECRETS: digest(run.secrets),
        CODE: code_of(run.role),
        HOST: run.host,
        "output": str(run.secret_output),
    }
    what = f"role {run.role}"
    return Resource(
        name=run.name,
        type=COMMAND,
        what=what,
        host=run.host,
        inputs=inputs,
        new=(HOST,),
        formerly=run.formerly,
        stays=run.on_destroy == "keep",
    )


def _records(plan: Plan) -> Iterator[Resource]:
    place = plan.dns.cloudflare
    for zone, records in plan.dns.zones.items():
        # An ID that is looked up stays the same while the zone does.
        identity = (place.zone_ids.get(zone) if place is not None else None) or zone
        for record in records:
            told = {key: value for key, value in asdict(to_cloudflare(record)).items() if value is not None}
            inputs = {"zoneId": identity, **{key: digest(value) for key, value in told.items()}}
            yield Resource(
                name=f"dns-{resource_name(record)}",
                type=RECORD,
                what=f"{record.type} record",
                inputs=inputs,
                new=("zoneId", "type"),
            )


def _accesses(plan: Plan) -> Iterator[tuple[str, ClusterAccess]]:
    if plan.relay.kubernetes is not None:
        yield "relay", plan.relay.kubernetes.access
    if plan.postal is not None and plan.postal.kubernetes is not None:
        yield "postal", plan.postal.kubernetes.access


def _cluster_login(component: str, access: ClusterAccess) -> Resource:
    inputs = {"clusterIdentifier": access.identifier, "context": str(access.context)}
    inputs["kubeconfig"] = digest(access.kubeconfig)
    return Resource(
        name=f"{component}-cluster",
        type="provider",
        what="login at the cluster",
        inputs=inputs,
        new=("clusterIdentifier",),
    )


def _object(name: str, placed: Placed, *, keep: bool) -> Resource:
    manifest = placed.manifest
    kind, metadata = str(manifest["kind"]), manifest["metadata"]
    paths = {path: digest(value) for path, value in _leaves(manifest) if not _is_theirs(path, placed.theirs)}
    paths["cluster"] = ""
    return Resource(
        name=name,
        type=OBJECT,
        what=f"{kind} {metadata['name']}",
        inputs=paths,
        new=("cluster", *OF_ALL, *NEW_OBJECT.get(kind, ()), *placed.fixed),
        # Objects of another cluster are made there.
        follows={"cluster": f"{name.partition('-')[0]}-cluster"},
        stays=placed.stays or keep,
    )


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            yield from _leaves(item, f"{path}[{index}]")
    else:
        yield path, value


def _is_theirs(path: str, theirs: tuple[str, ...]) -> bool:
    return any(path == one or path.startswith(f"{one}.") for one in theirs)
