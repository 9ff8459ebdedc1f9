"""Docker and Compose on the host: one way to call them, whatever the distribution ships.

``docker compose`` (v2) where it is there, else ``docker-compose`` 1.29 (Debian 12). Both read the same files.
"""

import json
import os
import shutil
import time
from typing import Any, Dict, List, Optional, Sequence

from rolelib.commands import CommandError, Result, run
from rolelib.host import RoleError

__all__ = [
    "Compose",
    "Container",
    "containers",
    "image_id",
    "pull",
    "require_docker",
    "require_network",
    "run_once",
    "wait_until_healthy",
]

PULL_SECONDS = 1200
PROJECT_LABEL = "com.docker.compose.project"
SERVICE_LABEL = "com.docker.compose.service"
# What a program that runs once in a throw-away container may use; nothing of it needs a capability but ruby's own.
ONCE_LIMITS = ("--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE", "--memory", "512m", "--log-driver", "none")
LAST_LOG_LINES = 12


class Container:
    """One container as ``docker inspect`` shows it. ``health`` is None where it has no health check."""

    def __init__(self, document: Dict[str, Any]) -> None:
        """Read what roles need from one object of ``docker inspect``."""
        config, state = document["Config"], document["State"]
        labels = config.get("Labels") or {}
        self.id = document["Id"]
        self.name = document["Name"].lstrip("/")
        self.service = labels.get(SERVICE_LABEL, "")
        self.one_off = labels.get("com.docker.compose.oneoff") == "True"
        self.labels = labels
        self.image = document["Image"]
        self.image_name = config.get("Image", "")
        self.running = bool(state.get("Running"))
        self.health = (state.get("Health") or {}).get("Status")
        self.health_test: List[str] = ((config.get("Healthcheck") or {}).get("Test") or [])[1:]
        self.exit_code = state.get("ExitCode", 0)
        self.restarts = document.get("RestartCount", 0)
        self.started = state.get("StartedAt", "")


class Compose:
    """One Compose project: the file ``compose.yaml`` in ``directory``."""

    def __init__(self, project: str, directory: str) -> None:
        """Find out which Compose the host has. Raises RoleError where it has none."""
        self.project = project
        self.directory = directory
        self.program = _compose_program()

    def run(
        self, arguments: Sequence[str], stdin: Optional[str] = None, check: bool = True, timeout: int = 300
    ) -> Result:
        """Run Compose with ``arguments``; as rolelib.commands.run."""
        fixed = ["--project-name", self.project, "--file", os.path.join(self.directory, "compose.yaml")]
        # The project directory keeps v1 from reading an .env file of wherever the role was started.
        return run(
            [*self.program, *fixed, "--project-directory", self.directory, *arguments],
            stdin=stdin,
            check=check,
            timeout=timeout,
        )

    def up(self, scale: Optional[Dict[str, int]] = None, timeout: int = 600) -> None:
        """Create and start what differs from the file. Raises CommandError."""
        scaling = [word for name, count in sorted((scale or {}).items()) for word in ("--scale", f"{name}={count}")]
        self.run(["up", "-d", "--remove-orphans", *scaling], timeout=timeout)


def _compose_program() -> List[str]:
    if run(["docker", "compose", "version"], check=False).ok:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):  # asking it for its version takes half a second
        return ["docker-compose"]
    raise RoleError("facts", "neither `docker compose` nor `docker-compose` is here: run role docker first")


def require_docker() -> None:
    """Raise RoleError where the daemon does not answer."""
    result = run(["docker", "version", "--format", "{{.Server.Version}}"], check=False)
    if not result.ok:
        raise RoleError("facts", f"Docker does not answer: {result.err.strip()}; run role docker first")


def require_network(name: str) -> None:
    """Raise RoleError where there is no Docker network ``name``."""
    if not run(["docker", "network", "inspect", name], check=False).ok:
        raise RoleError("facts", f"there is no Docker network {name}: role docker makes it, run that first")


def containers(project: str) -> List[Container]:
    """Return the containers of a Compose project, running or not, without those of `run`."""
    listed = run(["docker", "ps", "-aq", "--no-trunc", "--filter", f"label={PROJECT_LABEL}={project}"]).out.split()
    if not listed:
        return []
    # One that went away meanwhile makes inspect fail, but it still prints the others.
    found = json.loads(run(["docker", "inspect", "--type", "container", *listed], check=False).out or "[]")
    return [each for each in map(Container, found) if not each.one_off]


def image_id(reference: str) -> Optional[str]:
    """Return the identity of an image on this host, None where it is not here."""
    result = run(["docker", "image", "inspect", "--format", "{{.Id}}", reference], check=False)
    return result.out.strip() if result.ok else None


def pull(reference: str) -> None:
    """Fetch an image. Raises RoleError with the registry's words; nothing has changed then."""
    try:
        run(["docker", "pull", "--quiet", reference], timeout=PULL_SECONDS)
    except CommandError as error:
        raise RoleError("pull", f"the image {reference} cannot be fetched: {error}") from None


def run_once(
    image: str,
    command: Sequence[str],
    stdin: str = "",
    network: Optional[str] = None,
    volumes: Sequence[str] = (),
    user: str = "999:999",
    entrypoint: Optional[str] = None,
    timeout: int = 300,
) -> Result:
    """Run ``command`` in a new container that is gone afterwards; secrets only ever go to ``stdin``."""
    argv = ["docker", "run", "--rm", "-i", *ONCE_LIMITS, "--user", user]
    argv += ["--network", network] if network else []
    for volume in volumes:
        argv += ["--volume", volume]
    argv += ["--entrypoint", entrypoint] if entrypoint else []
    return run([*argv, image, *command], stdin=stdin, check=False, timeout=timeout)


def wait_until_healthy(project: str, expected: Dict[str, int], seconds: int) -> List[Container]:
    """Return the containers once every service has its number of them and each one's own health check passes.

    The check is run here as well as by Docker, whose next one may be a quarter of a minute away.
    Raises RoleError naming the service, what its health check said and its last log lines.
    """
    deadline = time.monotonic() + seconds
    while True:
        found = containers(project)
        trouble = _unhealthy(found, expected)
        if trouble is None:
            return found
        service, text, container = trouble
        if time.monotonic() >= deadline or (container is not None and container.restarts >= 3):
            raise RoleError("health", f"{service} is not healthy: {text}\n{_log(container)}".rstrip())
        time.sleep(0.5)


def _unhealthy(found: List[Container], expected: Dict[str, int]) -> "Optional[tuple[str, str, Optional[Container]]]":
    for service in sorted(expected):
        mine = [each for each in found if each.service == service]
        if len(mine) != expected[service]:
            return service, f"{len(mine)} of {expected[service]} containers exist", None
        for each in mine:
            if not each.running:
                return service, f"its container has ended with exit code {each.exit_code}", each
            if each.health in (None, "healthy") or not each.health_test:
                continue
            result = run(["docker", "exec", each.id, *each.health_test], check=False, timeout=30)
            if not result.ok:
                return service, (result.err or result.out).strip()[-300:] or f"exit code {result.code}", each
    return None


def _log(container: Optional[Container]) -> str:
    if container is None:
        return ""
    result = run(["docker", "logs", "--tail", str(LAST_LOG_LINES), container.id], check=False)
    return (result.out + result.err).strip()
