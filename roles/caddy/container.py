"""Caddy as a container with the host's network."""

import hashlib
import json
import shutil
from typing import Any, Dict, List, Optional

from caddy import paths
from caddy.runtime import VALIDATE_SECONDS, Runtime, make_directory, readable
from rolelib.commands import CommandError, Result, run
from rolelib.host import RoleError

__all__ = ["CONTAINER", "Container"]

CONTAINER = "mailstack-caddy"
DEFINITION_LABEL = "mailstack.definition"
# The first pull of an image over a slow line.
PULL_SECONDS = 900


# Inside the container, in memory.
SCRATCH = "/tmp"  # noqa: S108


class Container(Runtime):
    """The image, as root without rights: its files are root's, and only it can bind ports under 1024."""

    placement = "container"
    storage = paths.CONTAINER_DATA + "/caddy"

    def __init__(self, settings: Dict[str, Any]) -> None:
        """Read the settings."""
        self.image = str(settings["image"])
        self._version: Optional[str] = None

    def version(self) -> Optional[str]:
        """Ask the image; None where it is not on the host."""
        if not shutil.which("docker"):
            raise RoleError("facts", "placement container needs Docker on the host: run role docker first")
        if not run(["docker", "image", "inspect", "--format", "ok", self.image], check=False).ok:
            return None
        if self._version is None:
            self._version = (self._caddy("version").out.split() or ["unknown"])[0]
        return self._version

    def install(self) -> None:
        """Pull the image."""
        try:
            run(["docker", "pull", "--quiet", self.image], timeout=PULL_SECONDS)
        except CommandError as error:
            raise RoleError("packages", str(error)) from None

    def modules(self) -> List[str]:
        """Ask the program in the image."""
        return self._caddy("list-modules").out.split()

    def _caddy(self, *arguments: str) -> Result:
        return run(["docker", "run", "--rm", "--network", "none", "--entrypoint", "caddy", self.image, *arguments])

    def _options(self) -> List[str]:
        """Return what production and validation have in common. No secret is in it."""
        return [
            *("--user", "0:0", "--read-only", "--cap-drop", "ALL", "--cap-add", "NET_BIND_SERVICE"),
            *("--security-opt", "no-new-privileges", "--env", "HOME=/data", "--env", "XDG_CONFIG_HOME=/config"),
            *("--tmpfs", f"{paths.ADMIN_DIRECTORY}:mode=0700", "--tmpfs", f"{SCRATCH}:mode=1777", "--tmpfs", "/config"),
            # z: the SELinux label that containers may read; nothing where there is no SELinux.
            *("--volume", f"{paths.CONFIG_DIRECTORY}:{paths.CONFIG_DIRECTORY}:ro,z"),
            *("--volume", f"{paths.CONTAINER_DATA}:/data:z"),
            *("--volume", f"{paths.LOG_DIRECTORY}:{paths.LOG_DIRECTORY}:z"),
        ]

    def _create(self) -> List[str]:
        return [
            *("docker", "create", "--name", CONTAINER, "--network", "host", "--restart", "unless-stopped"),
            *("--stop-timeout", "40"),  # longer than the grace period in the Caddyfile
            *("--log-driver", "json-file", "--log-opt", "max-size=20m", "--log-opt", "max-file=5"),
            *self._options(),
            *("--entrypoint", "caddy", self.image, "run", "--config", paths.CADDYFILE, "--adapter", "caddyfile"),
        ]

    def _definition(self) -> str:
        return hashlib.sha256("\0".join(self._create()).encode()).hexdigest()[:16]

    def _inspect(self) -> Dict[str, Any]:
        result = run(["docker", "container", "inspect", CONTAINER], check=False)
        return dict(json.loads(result.out)[0]) if result.ok else {}

    def faults(self) -> List[str]:
        """Look at the container."""
        found = self._inspect()
        if not found:
            return [f"container {CONTAINER} is missing"]
        if found["Config"]["Labels"].get(DEFINITION_LABEL) != self._definition():
            return [f"container {CONTAINER} has another image or other options"]
        if not found["State"]["Running"]:
            return [f"container {CONTAINER} is not running"]
        return []

    def active(self) -> bool:
        """Ask Docker."""
        return bool(self._inspect().get("State", {}).get("Running"))

    def prepare(self) -> None:
        """Make log and data directories; keys are in the second, so they are root's alone."""
        for path in (paths.CONTAINER_DATA, self.storage, paths.LOG_DIRECTORY):
            make_directory(path, self.owner, self.group)
        self.take(paths.LOG_DIRECTORY)  # root without rights may not write what is another user's

    def validate(self, path: str) -> Result:
        """Run the same image with the same mounts and rights, without a network."""
        options = ["docker", "run", "--rm", "--network", "none", *self._options(), "--entrypoint", "caddy"]
        command = [self.image, "validate", "--adapter", "caddyfile", "--config", path]
        return run([*options, *command], check=False, timeout=VALIDATE_SECONDS)

    def restart(self) -> None:
        """Create the container anew where it differs, and start it."""
        found = self._inspect()
        create = self._create()
        if found and found["Config"]["Labels"].get(DEFINITION_LABEL) == self._definition():
            run(["docker", "restart", CONTAINER])
            return
        if found:
            run(["docker", "rm", "--force", CONTAINER])
        # The label last: it is made from all the rest.
        run([*create[:2], "--label", f"{DEFINITION_LABEL}={self._definition()}", *create[2:]])
        run(["docker", "start", CONTAINER])

    def reload(self) -> None:
        """Reload inside the container: its admin interface is in there."""
        command = ["caddy", "reload", "--adapter", "caddyfile", "--config", paths.CADDYFILE, "--force"]
        run(["docker", "exec", CONTAINER, *command])

    def stop(self) -> None:
        """Remove the container; data and configuration are on the host."""
        if shutil.which("docker"):
            run(["docker", "rm", "--force", CONTAINER], check=False)

    def halt(self) -> None:
        """Stop the container; it stays."""
        run(["docker", "stop", CONTAINER])

    def resume(self) -> None:
        """Start the container."""
        run(["docker", "start", CONTAINER])

    def log(self, lines: int = 15) -> str:
        """Ask Docker."""
        result = run(["docker", "logs", "--tail", str(lines), CONTAINER], check=False)
        return readable((result.out + result.err).strip())
