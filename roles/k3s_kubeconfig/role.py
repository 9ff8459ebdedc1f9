"""Reads the kubeconfig on the first server and tells it with the API's declared address in it.

It is the one role that tells a secret: see docs/adr/0015. A check tells nothing.
"""

import hashlib
import os
import re
import shutil
from typing import Any, Dict, List

from k3s import paths
from rolelib.files import DesiredFile, read, write
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["Kubeconfig", "with_server"]

SERVER = re.compile(r"^(\s+server:) \S+$", re.MULTILINE)


def with_server(kubeconfig: str, server: str) -> str:
    """Return a kubeconfig with another address of the API. Raises RoleError unless it names exactly one cluster."""
    count = len(SERVER.findall(kubeconfig))
    if count != 1:
        raise RoleError("kubeconfig", f"{paths.KUBECONFIG} names {count} clusters, not one: restart k3s")
    return SERVER.sub(lambda found: f"{found.group(1)} {server}", kubeconfig)


class Kubeconfig(Role):
    """The administrator's access. Settings: ``server`` (URL of the API). It changes nothing but its own note."""

    name = "k3s_kubeconfig"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the settings."""
        Role.__init__(self, settings, secrets)
        self.text = ""

    def plan(self) -> Plan:
        """Compare what was told last with what k3s has now: it renews the certificate in it every year."""
        current = read(paths.KUBECONFIG)
        if current is None:
            raise RoleError("kubeconfig", f"{paths.KUBECONFIG} is missing: this host is no server of a k3s cluster")
        self.text = with_server(current, self.settings["server"])
        if self._told() == self._digest():
            return []
        return [Change("kubeconfig", "the kubeconfig that was told is not the one k3s has now", self._note)]

    def verify(self) -> None:
        """Tell it: a run that changes nothing replaces the output of the one before, too."""
        self.secret_output = self.text

    def _digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    def _path(self) -> str:
        return os.path.join(self.state_directory(), "told.sha256")

    def _told(self) -> str:
        return read(self._path()) or ""

    def _note(self) -> None:
        write(DesiredFile(self._path(), self._digest(), 0o600))

    def remove(self) -> List[str]:
        """Forget what was told; the kubeconfig itself goes with k3s."""
        shutil.rmtree(self.state_directory())
        return ["note of what was told"]
