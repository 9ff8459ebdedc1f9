"""The relay's resources at a Docker engine, as components/relay_docker.py registers them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from mailstack.plan.relay_container import DockerRelay

__all__ = ["DockerResource", "docker_inputs"]

# What pulumi-docker 5.2 changes in place in a container, less what the component asks to be replaced; everything else
# makes a new one.
IN_PLACE = ("restart", "memory", "destroyGraceSeconds")


@dataclass(frozen=True, kw_only=True)
class DockerResource:
    """See ``Resource``; inputs are values here, and may be secret."""

    name: str
    type: str
    what: str
    inputs: Mapping[str, Any] = field(repr=False)
    new: tuple[str, ...] = ()
    follows: Mapping[str, str] = field(default_factory=dict)
    stays: bool = False


def docker_inputs(relay: DockerRelay) -> Iterator[DockerResource]:
    """Yield the resources in the order they are registered in."""
    yield DockerResource(name="docker", type="provider", what="login at the Docker engine", inputs=_login(relay))
    for name, network in (("network", relay.network), ("egress", relay.egress)):
        inputs = {"name": network.name, "subnet": network.subnet, "internal": network.internal}
        what = f"Docker network {network.name}"
        yield DockerResource(name=name, type="network", what=what, inputs=inputs, new=tuple(inputs))
    yield DockerResource(
        name="queue",
        type="volume",
        what=f"Docker volume {relay.queue_volume}",
        inputs={"name": relay.queue_volume},
        new=("name",),
        stays=relay.keep_queue,
    )
    yield _image(relay)
    told = {"image": relay.image.name, "hostname": relay.name, "uploads": dict(relay.files)}
    yield DockerResource(
        name="settings",
        type="container",
        what="container that takes settings and secrets, and tries them",
        inputs=told,
        new=tuple(told),
    )
    yield _container(relay)


def _login(relay: DockerRelay) -> dict[str, Any]:
    registry = relay.image.registry
    return {**asdict(relay.access), "registryAuth": None if registry is None else asdict(registry)}


def _image(relay: DockerRelay) -> DockerResource:
    image = relay.image
    if image.built:
        built = {
            "imageName": image.name,
            "build": [image.platform, dict(image.arguments), image.network],
            "registry": None if image.registry is None else asdict(image.registry),
        }
        return DockerResource(name="image", type="image", what="image, built", inputs=built)
    inputs = {"name": image.name, "platform": image.platform}
    return DockerResource(name="image", type="image", what="image, pulled", inputs=inputs, new=tuple(inputs))


def _container(relay: DockerRelay) -> DockerResource:
    inputs = {
        "name": relay.name,
        "image": relay.image.name,
        "envs": dict(relay.environment),
        "ports": None if relay.publish is None else asdict(relay.publish),
        "memory": relay.memory_mb,
        "restart": relay.restart,
        "stopTimeout": relay.stop_seconds,
        "destroyGraceSeconds": relay.stop_seconds,
        "logDriver": relay.log_driver,
        "logOpts": dict(relay.log_options),
        "volumes of the settings": "",
        "volume": relay.queue_volume,
        "network": "",
        "egress": "",
    }
    return DockerResource(
        name="container",
        type="container",
        what=f"container {relay.name}",
        inputs=inputs,
        new=tuple(name for name in inputs if name not in IN_PLACE),
        follows={
            "volumes of the settings": "settings",
            "network": "network",
            "egress": "egress",
        },
    )
