"""Runs on the first server, which alone may remove other nodes: an agent has no right to delete even itself."""

import functools
import json
import os
import shutil
import time
from typing import Any, Dict, List, Optional

from k3s import node
from rolelib.files import DesiredFile, read, write
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["Members"]

DRAIN_SECONDS = 300
POLL_SECONDS = 2


class Members(Role):
    """The nodes of the cluster.

    Settings: ``nodes`` (all that are declared), ``version``, ``remove_gone`` (take out those this role knows and that
    are no longer declared; others are never touched), ``ready_seconds``. Facts in the summary: ``nodes`` (name to
    version), ``version`` (the oldest one that runs).
    """

    name = "k3s_members"

    def __init__(self, settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
        """Hold the settings."""
        Role.__init__(self, settings, secrets)
        self.found: Dict[str, Dict[str, Any]] = {}

    def plan(self) -> Plan:
        """Compare the cluster's nodes with the declared ones. Raises RoleError where the API does not answer."""
        self._look()
        declared: List[str] = self.settings["nodes"]
        gone = sorted(set(self._known()) - set(declared))
        changes = [
            Change("node", f"{name}: {wrong}", functools.partial(self._wait, name))
            for name, wrong in sorted((name, self._trouble(name)) for name in declared)
            if wrong is not None
        ]
        for name in gone:
            if name in self.found and self.settings["remove_gone"]:
                changes.append(
                    Change("drain", f"{name} is no longer declared", functools.partial(self._take_out, name))
                )
            elif name in self.found:
                self.warnings.append(f"{name} is no longer declared; on_destroy keep leaves it in the cluster")
        known = [name for name in gone if name in self.found and not self.settings["remove_gone"]]
        wanted = sorted({*declared, *known})
        if self._known() != wanted:
            what = f"nodes of this stack: {', '.join(wanted)}"
            changes.append(Change("state", what, functools.partial(self._keep, wanted)))
        self._report()
        return changes

    def _look(self) -> None:
        nodes = node.nodes()
        if nodes is None:
            raise RoleError("nodes", "the API of the cluster does not answer on this server: journalctl -u k3s")
        self.found = {each["metadata"]["name"]: each for each in nodes}

    def _trouble(self, name: str) -> Optional[str]:
        return node.trouble(self.found.get(name), self.settings["version"])

    def _wait(self, name: str) -> None:
        deadline = time.monotonic() + int(self.settings["ready_seconds"])
        while self._trouble(name) is not None:
            if time.monotonic() >= deadline:
                raise RoleError("node", f"{name}: {self._trouble(name)}. See `journalctl -u 'k3s*'` on that host")
            time.sleep(POLL_SECONDS)
            self._look()

    def _take_out(self, name: str) -> None:
        """Drain a node and delete it; a server leaves etcd with that. Its host is cleaned up by its own removal."""
        wrong = node.drain(name, DRAIN_SECONDS)
        if wrong is not None:
            # Its host may be gone for good; with a budget that forbids it, the pods are deleted with the node.
            self.warnings.append(f"{name} was not drained to the end: {wrong}")
        result = node.kubectl(["delete", "node", name, "--ignore-not-found"], timeout=DRAIN_SECONDS)
        if not result.ok:
            raise RoleError("drain", f"{name} could not be deleted: {result.err.strip()}")

    def verify(self) -> None:
        """Look again, so that the summary tells what is there now."""
        self._look()
        self._report()

    def _report(self) -> None:
        versions = {name: each["status"]["nodeInfo"]["kubeletVersion"] for name, each in self.found.items()}
        ours = [versions[name] for name in self.settings["nodes"] if name in versions]
        self.facts.update(nodes=versions, version=min(ours) if ours else "")

    # -- state --------------------------------------------------------------------------------------------

    def _path(self) -> str:
        return os.path.join(self.state_directory(), "nodes.json")

    def _known(self) -> List[str]:
        return list(json.loads(read(self._path()) or "[]"))

    def _keep(self, names: List[str]) -> None:
        write(DesiredFile(self._path(), json.dumps(names), 0o600))

    def remove(self) -> List[str]:
        """Forget the list; nodes are removed by their own roles."""
        shutil.rmtree(self.state_directory())
        return ["list of nodes"]
