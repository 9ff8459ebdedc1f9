"""What the relay is as a container of one Docker engine: plain, frozen data."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mailstack.plan.relay_image import ImagePlan
from mailstack.reach.docker_api import EngineAccess

__all__ = ["CAPABILITIES", "WRITABLE", "DockerRelay", "NetworkPlan", "Published"]

# The smallest set that Postfix works with (images/postfix-relay/README.md), in the spelling that every engine gives
# back: another spelling would be a difference in every preview.
CAPABILITIES = ("CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETUID")
# In memory, part of the container's; the rest of the root is read-only, the queue is a volume.
WRITABLE = ("/etc/postfix", "/run", "/tmp", "/var/lib/postfix")  # noqa: S108 - of the container


@dataclass(frozen=True, kw_only=True)
class NetworkPlan:
    """A network of the engine; ``subnet`` as CIDR. An internal one leads nowhere but to its own containers."""

    name: str
    subnet: str
    internal: bool


@dataclass(frozen=True, kw_only=True)
class Published:
    """A port of the engine's machine."""

    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class DockerRelay:
    """The container and what it needs.

    ``files`` are what it is told, path below the upload folder to text: settings and secrets alike, so all of it is
    treated as secret. ``environment`` holds nothing but how it stops and writes its log.
    """

    access: EngineAccess
    host: str | None
    image: ImagePlan
    name: str
    network: NetworkPlan
    egress: NetworkPlan
    publish: Published | None
    memory_mb: int
    files: Mapping[str, str] = field(repr=False)
    environment: Mapping[str, str]
    queue_volume: str
    keep_queue: bool
    restart: str
    stop_seconds: int
    log_driver: str
    log_options: Mapping[str, str]
