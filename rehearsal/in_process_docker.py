"""What the in-process back end does on a Docker engine: the stand-in plugin's work, without a state to compare with."""

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.plugins.docker import CONTAINER, NETWORK, DockerProvider
from rehearsal.plugins.provider import Log, whole

__all__ = ["InProcessDocker"]


class _Lines(Log):
    """Shows lines where there is no engine to take them."""

    def __init__(self, name: str, show: Callable[[str], None]) -> None:
        super().__init__("", name)
        self._show = show

    def info(self, text: str) -> None:
        self._show(f"  {text}")


class InProcessDocker:
    """One Docker engine, as an explicit provider names it."""

    def __init__(self, settings: Mapping[str, Any], log: Callable[[str], None]) -> None:
        """``settings`` are the provider's inputs."""
        self._provider = DockerProvider()
        self._provider.configure(dict(settings))
        self._log = log

    def perform(self, kind: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Make what the resource describes; a container or network of its name goes first. Raises PluginError."""
        self._log(f"{name}: on the Docker engine")
        # Without a state, a name made up would be another one in each run.
        own = f"{inputs['hostname']}-{name}" if inputs.get("hostname") else name
        told = self._provider.check(kind, whole({"name": own, **inputs}), old={}, name=name)
        if kind in {CONTAINER, NETWORK}:
            self._provider.remove_of_name(kind, told)
        return self._provider.create(kind, told, preview=False, log=_Lines(name, self._log))
