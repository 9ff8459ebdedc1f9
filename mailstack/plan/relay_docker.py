"""From settings to the relay's container on one Docker engine."""

import json
from collections.abc import Mapping
from typing import Any

from mailstack.plan.hosts import connection_of
from mailstack.plan.relay_container import DockerRelay, NetworkPlan, Published
from mailstack.plan.relay_image import plan_image, secret_files
from mailstack.plan.shown import Secret
from mailstack.reach.docker_api import EngineAccess, ssh_options
from mailstack.settings.model import Settings
from mailstack.settings.relay_docker_model import AGENT, RelayDocker
from mailstack.settings.relay_tiers import tier_for

__all__ = ["RESERVE_SECONDS", "plan_docker_relay", "shown_container"]

# Between the end of the relay's own grace and the engine's patience.
RESERVE_SECONDS = 5


def plan_docker_relay(settings: Settings, told: Mapping[str, Any], secrets: Mapping[str, Any]) -> DockerRelay:
    """Return the container that is told ``told`` (see ``role_settings``) and ``secrets``."""
    relay, docker = settings.relay, settings.relay_docker
    return DockerRelay(
        access=_access(settings, docker),
        host=relay.host_names[0] if relay.host_names else None,
        image=plan_image(relay.image),
        name=docker.name,
        network=NetworkPlan(name=docker.network.name, subnet=docker.network.subnet, internal=True),
        egress=NetworkPlan(name=docker.egress.name, subnet=docker.egress.subnet, internal=False),
        publish=None if docker.publish is None else Published(address=docker.publish.address, port=docker.publish.port),
        memory_mb=tier_for(docker.messages_per_day).megabytes,
        files={
            "relay.json": json.dumps(told, sort_keys=True, separators=(",", ":")),
            **{f"secrets/{name}": text for name, text in secret_files(secrets).items()},
        },
        environment={"GRACE_SECONDS": str(docker.stop_seconds - RESERVE_SECONDS), "LOG_FORMAT": docker.log_format},
        queue_volume=docker.queue_volume,
        keep_queue=docker.keep_queue,
        restart=docker.restart,
        stop_seconds=docker.stop_seconds,
        log_driver=docker.log_driver,
        log_options={}
        if docker.log_driver == "journald"
        else {"max-size": f"{docker.log_max_mb}m", "max-file": str(docker.log_files)},
    )


def _access(settings: Settings, docker: RelayDocker) -> EngineAccess:
    if docker.endpoint is not None:
        tls = docker.tls
        return EngineAccess(
            endpoint=docker.endpoint,
            ca_certificate=None if tls is None else tls.ca_certificate,
            certificate=None if tls is None else tls.certificate,
            private_key=None if tls is None else tls.private_key.get_secret_value(),
        )
    connection = connection_of(settings, settings.relay.host_names[0])
    address = f"[{connection.address}]" if ":" in connection.address else connection.address
    return EngineAccess(
        endpoint=f"ssh://{connection.user}@{address}:{connection.port}",
        ssh_options=ssh_options(connection, None if docker.ssh_key in {None, AGENT} else docker.ssh_key),
    )


def shown_container(relay: DockerRelay, messages_per_day: int) -> dict[str, str | Secret]:
    """Return what a reviewer sees of the container, name to text."""
    found: dict[str, str | Secret] = {
        "engine": relay.access.endpoint,
        "container": relay.name,
        "container/memory": f"{relay.memory_mb} MB for {messages_per_day} messages a day",
        "container/restart": relay.restart,
        "container/stop_seconds": str(relay.stop_seconds),
        "container/queue": f"volume {relay.queue_volume}, {'kept' if relay.keep_queue else 'removed'} on destroy",
        "container/log": ", ".join([relay.log_driver, *(f"{key} {text}" for key, text in relay.log_options.items())]),
        "container/log_format": relay.environment["LOG_FORMAT"],
        "network of applications": f"{relay.network.name} {relay.network.subnet}, internal",
        "network of the relay": f"{relay.egress.name} {relay.egress.subnet}",
    }
    if relay.publish is not None:
        found["container/published"] = f"{relay.publish.address} port {relay.publish.port}"
    if relay.access.ssh_options:
        found["engine/ssh"] = " ".join(relay.access.ssh_options)
    if relay.access.private_key is not None:
        found["engine/ca_certificate"] = str(relay.access.ca_certificate)
        found["engine/certificate"] = str(relay.access.certificate)
        found["engine/private_key"] = Secret(relay.access.private_key)
    return found | relay.image.shown()
