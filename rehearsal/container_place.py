"""Where a rehearsal runs the relay's container: this machine's Docker engine, with names and addresses of its own.

The engine of the stack's own host is not reached: the throw-away hosts have no image of the relay, which only this
machine's package mirror can build. Everything else is as declared.
"""

import copy
import ipaddress
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from mailstack.plan import Plan
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, GroundError, Service
from rehearsal.ground.docker import docker, docker_json, docker_try
from rehearsal.ground.network import candidates, docker_networks, machine_routes
from rehearsal.images.relay import ensure_trusting_image
from rehearsal.pki import PrivateCa
from rehearsal.waiting import wait_for

__all__ = ["ContainerPlace", "remove_container_place"]

ENDPOINT = "unix:///var/run/docker.sock"
# What the placement makes, behind the ground's name.
RELAY, MAIL, EGRESS, QUEUE = "relay", "mail", "egress", "queue"
# Docker's DNS knows a new neighbour at once; a busy machine takes its time.
NAME_SECONDS = 30


class ContainerPlace:
    """``raw`` is the configuration that puts the relay here; ``application`` is a neighbour of it, once joined."""

    def __init__(
        self, ground: Ground, raw: Mapping[str, Any], authority: PrivateCa, say: Callable[[str], None]
    ) -> None:
        """Make an image that trusts ``authority``, the only one who knows the stand-in for the upstream."""
        say("      the relay's image, and a neighbour for its applications")
        self._ground = ground
        self._image = ensure_trusting_image(authority.certificate, say)
        self.application = ground.create_service("app", ["sleep", "infinity"])
        self.raw = self._swapped(raw)

    def __enter__(self) -> Self:
        """Nothing more is needed."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """Remove what the placement made, unless the ground is kept."""
        if not self._ground.keep:
            remove_container_place(self._ground.name)
            docker_try(["image", "rm", "--force", self._image])

    @property
    def container(self) -> str:
        """Return the name of the relay's container."""
        return _name(self._ground.name, RELAY)

    def _swapped(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        swapped = copy.deepcopy(dict(raw))
        relay = swapped["relay"]
        told = relay.setdefault("docker", {})
        host = relay.pop("host", None)
        if host is not None:
            relay.setdefault("egress_addresses", [swapped["hosts"][host]["public_ipv4"]])
        # What belongs to the real engine: how it is reached, and an address of its machine.
        for key in ("ssh_key", "tls", "publish"):
            told.pop(key, None)
        relay.pop("client_networks", None)
        name = self._ground.name
        mail, egress = _free_networks(name)
        told |= {
            "endpoint": ENDPOINT,
            "name": self.container,
            "network": {"name": _name(name, MAIL), "subnet": mail},
            "egress": {"name": _name(name, EGRESS), "subnet": egress},
            "queue_volume": _name(name, QUEUE),
        }
        relay["image"] = {"reference": self._image}
        return swapped

    def join(self, plan: Plan, google: GoogleStandinClient, rule: Mapping[str, Any]) -> None:
        """Put the application and the upstream where the relay reaches them, and tell the upstream its address."""
        relay, upstream = plan.relay.docker, self._ground.services["upstream"]
        if relay is None:
            raise GroundError("the stack has no relay in a container")
        name = plan.settings.relay.upstream.host_name
        _connect(relay.network.name, self.application.container_id)
        _connect("--alias", name, relay.egress.name, upstream.container_id)
        if not wait_for(lambda: self._knows(name), NAME_SECONDS):
            raise GroundError(
                f"the relay's container does not find {name} {NAME_SECONDS} s after it joined the network"
            )
        address = self.inspect()["NetworkSettings"]["Networks"][relay.egress.name]["IPAddress"]
        google.put_rule({**rule, "allowed_ips": [f"{address}/32"]})

    def _knows(self, name: str) -> bool:
        return docker_try(["exec", self.container, "getent", "hosts", name]).returncode == 0

    def leave(self, plan: Plan) -> None:
        """Take both away again: a network with somebody in it cannot be removed."""
        if plan.relay.docker is not None:
            for network in (plan.relay.docker.network, plan.relay.docker.egress):
                for service in (self.application, self._ground.services["upstream"]):
                    docker_try(["network", "disconnect", "--force", network.name, service.container_id])

    def inspect(self) -> dict[str, Any]:
        """Return what the engine says of the container."""
        found: dict[str, Any] = docker_json(["container", "inspect", self.container])[0]
        return found

    def run(self, argv: Sequence[str]) -> str:
        """Run a command in the container and return what it prints."""
        return docker(["exec", self.container, *argv])

    def log(self) -> str:
        """Return the container's log."""
        return docker(["logs", self.container])

    def ask(
        self, argv: Sequence[str], *, stdin: str = "", stranger: bool = False, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the application's container, or in one that reaches the relay but may not send."""
        asked = self.neighbour if stranger else self.application
        return self._ground.exec(asked, argv, input=stdin, check=False, timeout=timeout)

    @property
    def neighbour(self) -> Service:
        """Return a container that reaches the relay over its own way out, and is no application."""
        return self._ground.services["upstream"]


def _connect(*arguments: str) -> None:
    """Connect a container to a network; one that is there already stays there. Raises ``GroundError``."""
    done = docker_try(["network", "connect", *arguments])
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode != 0 and "already exists in network" not in said:
        raise GroundError(f"docker network connect failed: {said}")


def remove_container_place(ground: str) -> None:
    """Remove container, networks and volume of a ground's placement, whoever made them."""
    for name in (_name(ground, RELAY), *_leftovers(ground)):
        docker_try(["rm", "--force", "--volumes", name])
    for name in (_name(ground, MAIL), _name(ground, EGRESS)):
        record = docker_try(["network", "inspect", "--format", "{{range $id, $_ := .Containers}}{{$id}} {{end}}", name])
        for identity in record.stdout.decode().split() if record.returncode == 0 else ():
            docker_try(["network", "disconnect", "--force", name, identity])
        docker_try(["network", "rm", name])
    docker_try(["volume", "rm", _name(ground, QUEUE)])


def _leftovers(ground: str) -> list[str]:
    """Return the containers that were told the settings: their image is of this ground's relay, their name is not."""
    prefix = "relay-settings-"
    found = []
    for name in docker(["container", "ls", "--all", "--filter", f"name={prefix}", "--format", "{{.Names}}"]).split():
        hostname = docker_try(["inspect", "--format", "{{.Config.Hostname}}", name]).stdout.decode().strip()
        if hostname == _name(ground, RELAY):
            found.append(name)
    return found


def _name(ground: str, part: str) -> str:
    return f"mailstack-{ground}-{part}"


def _free_networks(ground: str) -> tuple[str, str]:
    """Return two ranges that nothing on this machine has."""
    free = candidates(f"{ground} {RELAY}", [*machine_routes(), *docker_networks()])
    first = next(free)
    second = next(network for network in free if not network.overlaps(ipaddress.ip_network(first)))
    return str(first), str(second)
