"""Speaks to an API server, whatever stands behind it."""

import json
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.programs import PROGRAMS

__all__ = ["Api"]

DEFAULT_TIMEOUT = 120.0
"""Seconds a kubectl call may take unless the caller knows better."""


class Api:
    """An API server by the kubeconfig file of its administrator."""

    def __init__(self, kubeconfig_path: Path) -> None:
        """``kubeconfig_path`` is read when it is used."""
        self.kubeconfig_path = kubeconfig_path

    @property
    def kubeconfig(self) -> str:
        """The kubeconfig of the administrator, as text with all keys inside; it works on this machine."""
        return self.kubeconfig_path.read_text(encoding="ascii")

    def try_kubectl(
        self, *arguments: str, stdin: str | None = None, timeout: float = DEFAULT_TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run ``kubectl ARGUMENTS`` and return the result whatever its exit status is."""
        return subprocess.run(
            [PROGRAMS / "kubectl", f"--kubeconfig={self.kubeconfig_path}", *arguments],
            input=stdin or "",
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout: float = DEFAULT_TIMEOUT) -> str:
        """Run ``kubectl ARGUMENTS``; return its stdout. Raises ``KubernetesError`` when it fails."""
        result = self.try_kubectl(*arguments, stdin=stdin, timeout=timeout)
        if result.returncode != 0:
            raise KubernetesError(f"kubectl {' '.join(arguments)} failed: {(result.stderr or result.stdout).strip()}")
        return result.stdout

    def get(self, *arguments: str) -> Any:
        """Return the parsed answer of ``kubectl get ARGUMENTS``."""
        return json.loads(self.kubectl("get", *arguments, "--output=json"))

    def apply(self, objects: str | Iterable[Mapping[str, Any]], *options: str) -> str:
        """Apply YAML text, or objects; return what kubectl said. Unknown fields are refused.

        ``options`` are further ones of ``kubectl apply``.
        """
        # Not as one list: kubectl would check that by itself, and the server must.
        text = objects if isinstance(objects, str) else "\n---\n".join(map(json.dumps, objects))
        return self.kubectl("apply", "--validate=strict", *options, "--filename=-", stdin=text)
