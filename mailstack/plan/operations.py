"""From the plan to where what runs: output ``operations``, which the commands that look after a stack go by."""

from typing import Any

from mailstack.plan.cluster_access import ClusterAccess
from mailstack.plan.model import Plan
from mailstack.plan.relay_container import DockerRelay
from mailstack.postal.compose import image_reference
from mailstack.postfix.relay import role_settings
from mailstack.reach.connection import Connection, Jump
from mailstack.reach.operations import ContainerAt, HostAt, JumpAt, Operations, PodsAt, PostalAt, RelayAt

__all__ = ["operations", "operations_text"]

RELAY_CONTAINER = "postfix"


def operations_text(plan: Plan) -> str:
    """Return the output as one line of JSON; what is as usual is left out. No secret is in it."""
    return operations(plan).model_dump_json(exclude_defaults=True)


def operations(plan: Plan) -> Operations:
    """Return where what of a stack runs."""
    return Operations(
        hosts={name: _host(host.connection) for name, host in plan.hosts.items()},
        relay=_relay(plan) if plan.relay.placed else None,
        postal=_postal(plan),
    )


def _host(connection: Connection) -> HostAt:
    jump = connection.jump
    return HostAt(**_place(connection), jump=None if jump is None else JumpAt(**_place(jump)))


def _place(place: Jump) -> dict[str, Any]:
    return {"address": place.address, "port": place.port, "user": place.user, "host_key": place.host_key}


def _relay(plan: Plan) -> RelayAt:
    relay, settings = plan.relay, plan.settings
    listen = {run.host: run.settings["listen"] for run in relay.runs} or {"": role_settings(relay.definition)["listen"]}
    placed = relay.kubernetes
    return RelayAt(
        placement="docker" if relay.docker is not None else "kubernetes" if placed is not None else "vm",
        hosts=tuple(run.host for run in relay.runs),
        container=None if relay.docker is None else _container(relay.docker),
        pods=None
        if placed is None
        else PodsAt(
            **_cluster(plan, placed.access),
            namespace=placed.relay.namespace,
            labels=dict(placed.relay.pods),
            container=RELAY_CONTAINER,
            workload=f"{'statefulset' if placed.relay.durable else 'deployment'}/{placed.relay.name}",
        ),
        listen={host: tuple((str(address), int(port)) for address, port in each) for host, each in listen.items()},
        sender=relay.smtp_environment["SMTP_FROM_EMAIL"],
        upstream=f"{relay.definition.upstream_host}:{relay.definition.upstream_port}",
        google=settings.google_upstream is not None,
    )


def _container(docker: DockerRelay) -> ContainerAt:
    return ContainerAt(endpoint=docker.access.endpoint, name=docker.name, host=docker.host)


def _cluster(plan: Plan, access: ClusterAccess) -> dict[str, Any]:
    own = plan.cluster is not None and access.kubeconfig is None and access.context is None
    return {"cluster": access.identifier, "context": access.context, "own": own}


def _postal(plan: Plan) -> PostalAt | None:
    postal = plan.postal
    if postal is None:
        return None
    definition, placed = postal.definition, postal.kubernetes
    image = {
        "repository": definition.image_repository,
        "tag": definition.image_tag,
        "digest": definition.image_digest,
    }
    on_host = postal.run is not None
    return PostalAt(
        placement="vm" if on_host else "kubernetes",
        host=None if postal.run is None else postal.run.host,
        pods=None
        if placed is None
        else PodsAt(
            **_cluster(plan, placed.access),
            namespace=placed.postal.namespace,
            labels=dict(placed.postal.all_pods),
            workload=f"deployment/{placed.postal.called('web')}",
        ),
        image=image_reference(image),
        web_url=postal.web_url,
        database=definition.database.main,
        prefix=definition.database.prefix,
        backups=definition.backup.directory if on_host else None,
        calendar=definition.backup.calendar if on_host else None,
        users=tuple(str(user["email_address"]) for user in definition.provision.get("users", {}).values()),
        credentials={name: (*told["smtp_keys"], *told["api_keys"]) for name, told in postal.mail_servers.items()},
    )
