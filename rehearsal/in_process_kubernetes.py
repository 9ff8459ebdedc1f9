"""What the in-process back end does on a cluster: the stand-in plugin's work, without a state to compare with."""

from collections.abc import Callable, Mapping
from typing import Any

from rehearsal.plugins.kubernetes import KubernetesProvider
from rehearsal.plugins.provider import Log, whole

__all__ = ["InProcessKubernetes"]


class InProcessKubernetes:
    """One cluster, as an explicit provider names it. Objects of earlier runs that are not declared any more stay."""

    def __init__(self, settings: Mapping[str, Any], log: Callable[[str], None]) -> None:
        """``settings`` are the provider's inputs."""
        self._provider = KubernetesProvider()
        self._provider.configure(dict(settings))
        self._log = log

    def perform(self, kind: str, name: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """Apply the object and wait for it. Raises PluginError."""
        self._log(f"{name}: on the cluster")
        return self._provider.create(kind, whole(dict(inputs)), preview=False, log=Log("", name))
