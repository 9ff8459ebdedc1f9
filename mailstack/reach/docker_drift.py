"""Compares a relay's container with the plan. What it was told is read from the container itself, secrets included."""

import io
import tarfile
from collections.abc import Iterator
from typing import Any

from mailstack.plan.relay_container import CAPABILITIES, DockerRelay, NetworkPlan
from mailstack.reach.docker_api import DockerApi

__all__ = ["docker_drift"]

# Where the image looks for what it is told: see ``receive`` in images/postfix-relay.
PLACES = {"relay.json": "/etc/mailstack/relay.json"}
SECRETS = "/run/secrets/mailstack"
MEGABYTE = 1024 * 1024


def docker_drift(relay: DockerRelay, api: DockerApi) -> Iterator[str]:
    """Yield what differs, in words; never a value of a secret. Raises DockerError where the engine does not answer."""
    for network in (relay.network, relay.egress):
        yield from _network(api, network)
    if api.call("GET", f"/volumes/{relay.queue_volume}", missing_is_none=True) is None:
        yield f"volume {relay.queue_volume} is not there"
    found = api.call("GET", f"/containers/{relay.name}/json", missing_is_none=True)
    if found is None:
        yield f"container {relay.name} is not there"
        return
    state = found["State"]
    status = (state.get("Health") or {}).get("Status", "without a health check")
    if not state["Running"]:
        yield f"container {relay.name} does not run: {state['Status']}, exit code {state['ExitCode']}"
    elif status not in {"healthy", "starting"}:
        yield f"container {relay.name} is {status}"
    yield from _differences(api, relay, found)
    yield from _told(api, relay)


def _network(api: DockerApi, network: NetworkPlan) -> Iterator[str]:
    found = api.call("GET", f"/networks/{network.name}", missing_is_none=True)
    if found is None:
        yield f"network {network.name} is not there"
        return
    subnets = [config.get("Subnet") for config in found["IPAM"]["Config"] or []]
    if subnets != [network.subnet]:
        yield f"network {network.name} has {', '.join(map(str, subnets))}, not {network.subnet}"
    if found["Internal"] != network.internal:
        yield f"network {network.name} is {'' if found['Internal'] else 'not '}internal"


def _differences(api: DockerApi, relay: DockerRelay, found: dict[str, Any]) -> Iterator[str]:
    limits, image = found["HostConfig"], api.call("GET", f"/images/{relay.image.name}/json", missing_is_none=True)
    if image is None or image["Id"] != found["Image"]:
        yield f"container {relay.name} runs another image than {relay.image.name}"
    seen = {
        "memory": (limits["Memory"] // MEGABYTE, relay.memory_mb),
        "restart policy": (limits["RestartPolicy"]["Name"], relay.restart),
        "read-only root": (limits["ReadonlyRootfs"], True),
        "privileged": (limits["Privileged"], False),
        "capabilities": (sorted(limits["CapAdd"] or []), sorted(CAPABILITIES)),
        "published ports": (_published(limits["PortBindings"] or {}), _declared(relay)),
        "networks": (sorted(found["NetworkSettings"]["Networks"]), sorted([relay.network.name, relay.egress.name])),
    }
    for what, (now, declared) in seen.items():
        if now != declared:
            yield f"container {relay.name}: {what} is {now}, declared is {declared}"


def _published(bindings: dict[str, Any]) -> list[str]:
    return sorted(
        f"{place.get('HostIp') or '0.0.0.0'}:{place['HostPort']}"  # noqa: S104 - what Docker means by none
        for places in bindings.values()
        for place in places or []
    )


def _declared(relay: DockerRelay) -> list[str]:
    return [] if relay.publish is None else [f"{relay.publish.address}:{relay.publish.port}"]


def _told(api: DockerApi, relay: DockerRelay) -> Iterator[str]:
    for name, text in relay.files.items():
        place = PLACES.get(name) or f"{SECRETS}/{name.rpartition('/')[2]}"
        if _content(api, relay.name, place) != text:
            yield f"container {relay.name}: {place} is not as declared"


def _content(api: DockerApi, container: str, path: str) -> str | None:
    archive = api.call("GET", f"/containers/{container}/archive", missing_is_none=True, raw=True, path=path)
    if archive is None:
        return None
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        for member in opened:
            stream = opened.extractfile(member)
            if stream is not None:
                return stream.read().decode(errors="replace")
    return None
