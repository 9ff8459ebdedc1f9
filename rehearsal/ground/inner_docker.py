"""Room for a Docker daemon inside a host: a volume of its own, empty or a copy of another host's."""

from collections.abc import Sequence

from rehearsal.ground.docker import docker, docker_json
from rehearsal.ground.errors import GroundError

__all__ = ["DATA_ROOT", "RUN_ARGUMENTS", "copy_data_root", "data_volume"]

DATA_ROOT = "/var/lib/docker"
"""Where dockerd keeps images, containers and volumes."""

RUN_ARGUMENTS: Sequence[str] = (
    # overlayfs cannot lie on the overlayfs of the host itself. Anonymous: it goes when the host is removed.
    "--mount", f"type=volume,target={DATA_ROOT}",
    # dockerd wants to set this, and /proc/sys is read-only in a host.
    "--sysctl", "net.ipv4.ip_forward=1",
    # A container that tries a mail port outside shall be told at once, and be told again the next time: the kernel
    # otherwise saves its "unreachable" messages, and the attempt lasts until it times out.
    "--sysctl", "net.ipv4.icmp_ratelimit=0",
)  # fmt: skip

COPY_TIMEOUT = 600.0
"""Seconds for copying one data root; 500 MB take about three."""


def data_volume(container: str) -> str:
    """Return the name of the volume a host's Docker lives on. Raises ``GroundError`` when it has none."""
    for mount in docker_json(["container", "inspect", container])[0]["Mounts"]:
        if mount["Destination"] == DATA_ROOT and mount["Type"] == "volume":
            return str(mount["Name"])
    raise GroundError(f"{container} has no volume at {DATA_ROOT}. Fix: create that host with docker=True.")


def copy_data_root(source: str, container: str, image: str) -> None:
    """Fill the data root of ``container``, which has not started yet, from the volume ``source``.

    ``image`` is any image with cp(1). Raises ``GroundError`` while something runs on the source: dockerd's
    databases are only whole once it has stopped.
    """
    user = docker(["container", "ls", "--filter", f"volume={source}", "--format", "{{.Names}}"])
    if user:
        raise GroundError(f"The Docker volume {source[:12]} is in use by {user}. Fix: stop that host, then copy.")
    docker(
        [
            "run", "--rm", "--network", "none",
            # overlay2 marks what a layer hides with trusted.* attributes, which only CAP_SYS_ADMIN may read.
            "--cap-add", "SYS_ADMIN",
            "--volume", f"{source}:/from:ro", "--volume", f"{data_volume(container)}:/to",
            image, "cp", "--archive", "/from/.", "/to/",
        ],
        timeout=COPY_TIMEOUT,
    )  # fmt: skip
