"""The shape of ``relay.docker``: the relay as a container of one Docker engine."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import (
    AbsolutePath,
    Certificate,
    ContainerName,
    DockerEndpoint,
    IpAddress,
    IpNetwork,
    Port,
    PrivateKey,
)

__all__ = ["AGENT", "ContainerNetwork", "EngineTls", "Publish", "RelayDocker"]

AGENT = "agent"


class EngineTls(Section):
    """What both sides of a ``tcp://`` connection are known by."""

    ca_certificate: Certificate = Field(description="Who issued the engine's certificate, PEM.")
    certificate: Certificate = Field(description="Certificate of whoever runs Pulumi, PEM.")
    private_key: PrivateKey = Field(description="Its key, PEM.")


class ContainerNetwork(Section):
    """A network of the engine."""

    name: ContainerName = Field(description="Its name there.")
    subnet: IpNetwork = Field(description="Its addresses, IPv4, private.")


class Publish(Section):
    """A port of the engine's machine, for applications that are not on its network."""

    address: IpAddress = Field(description="Private address of that machine.")
    port: Port = Field(default=25, description="Port there.")


class RelayDocker(Section):
    """How the container is run."""

    endpoint: DockerEndpoint | None = Field(
        default=None,
        description="The engine: unix:///var/run/docker.sock, or tcp://host:2376 with tls. "
        "Absent: that of `relay.host`, over SSH.",
    )
    tls: EngineTls | None = Field(default=None, description="For tcp://.")
    ssh_key: Literal["agent"] | AbsolutePath | None = Field(
        default=None,
        description="Key for `relay.host` that Docker's ssh finds where Pulumi runs: agent, or the path of a file. "
        "Absent: agent, where no private key is configured.",
    )
    name: ContainerName = Field(default="postfix-relay", description="Name of the container, and in its networks.")
    network: ContainerNetwork = Field(
        default=ContainerNetwork(name="mailstack-mail", subnet="172.29.26.0/24"),
        description="Where applications are. Internal: no way out, no way in.",
    )
    egress: ContainerNetwork = Field(
        default=ContainerNetwork(name="mailstack-egress", subnet="172.29.27.0/24"),
        description="The relay's own way to the upstream.",
    )
    publish: Publish | None = Field(default=None, description="Absent: no port outside of the network.")
    messages_per_day: int = Field(
        default=1000, ge=1, le=10_000_000, description="Chooses memory: 128 MB up to 100, 256 MB up to 1,000, 512 MB."
    )
    queue_volume: ContainerName = Field(default="mailstack-queue", description="Volume with the queue.")
    keep_queue: bool = Field(
        default=True, description="true: `pulumi destroy` leaves that volume. false: it goes, with the mail in it."
    )
    restart: Literal["unless-stopped", "always", "on-failure", "no"] = Field(
        default="unless-stopped", description="When the engine starts it again."
    )
    stop_seconds: int = Field(
        default=30, ge=15, le=600, description="Time to finish what is in hand when it is stopped or replaced."
    )
    log_format: Literal["plain", "json"] = Field(default="plain", description="Form of a line of the log.")
    log_driver: Literal["json-file", "local", "journald"] = Field(
        default="json-file", description="Where the engine keeps the log; the first two are rotated."
    )
    log_max_mb: int = Field(default=10, ge=1, le=10_000, description="Size of a log file.")
    log_files: int = Field(default=5, ge=1, le=1000, description="How many are kept.")
