"""The few Docker commands that the bench needs, for containers that others made and its own upstream."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from typing import Any

from rehearsal.bench.errors import BenchError

__all__ = ["Container", "DockerError", "docker", "inspect", "remove"]

COMMAND_SECONDS = 120


class DockerError(BenchError):
    """A Docker command failed; the message holds the command and what it said."""


@dataclass(frozen=True, kw_only=True)
class Container:
    """A running container: full id, name, pid of its first process here, addresses by network, labels."""

    id: str
    name: str
    pid: int
    addresses: dict[str, str]
    labels: dict[str, str]

    def run(self, *arguments: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
        """Standard output of a command run inside as root."""
        return docker("exec", "--interactive", self.id, *arguments, stdin=stdin, seconds=seconds)

    def run_in_network(self, *arguments: str) -> None:
        """Run a program of this machine in its network: a relay's container has neither the program nor the right."""
        command = ["nsenter", f"--target={self.pid}", "--net", *arguments]
        finished = subprocess.run(command, check=False, capture_output=True, text=True, timeout=COMMAND_SECONDS)
        if finished.returncode != 0:
            raise DockerError(f"{' '.join(arguments)} in the network of {self.name} failed: {finished.stderr.strip()}")


def docker(*arguments: str, stdin: str = "", seconds: float = COMMAND_SECONDS) -> str:
    """Standard output of `docker ARGUMENTS`; DockerError when it fails."""
    command = ["docker", *arguments]
    try:
        finished = subprocess.run(command, check=False, capture_output=True, text=True, input=stdin, timeout=seconds)
    except subprocess.TimeoutExpired as error:
        raise DockerError(f"docker {' '.join(arguments)} did not end within {seconds:g} s") from error
    if finished.returncode != 0:
        said = (finished.stderr.strip() or finished.stdout.strip())[-2000:]
        raise DockerError(f"docker {' '.join(arguments)} ended with {finished.returncode}: {said}")
    return finished.stdout


def inspect(container: str) -> Container:
    """Facts of a running container given by id or name."""
    facts: dict[str, Any] = json.loads(docker("inspect", "--type", "container", container))[0]
    if not facts["State"]["Running"]:
        raise DockerError(f"container {container} is not running (state: {facts['State']['Status']})")
    networks: dict[str, dict[str, Any]] = facts["NetworkSettings"]["Networks"]
    return Container(
        id=facts["Id"],
        name=facts["Name"].lstrip("/"),
        pid=facts["State"]["Pid"],
        addresses={name: network["IPAddress"] for name, network in networks.items()},
        labels=dict(facts["Config"]["Labels"] or {}),
    )


def remove(container: str) -> None:
    """Remove a container that this bench made, running or not; none of that name is fine."""
    docker("rm", "--force", "--volumes", container)
