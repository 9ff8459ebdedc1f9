"""What the role keeps on the host between runs."""

import json
import os
import shutil
from typing import Any, Dict, List, Sequence

from firewall import firewalld, ufw
from rolelib.files import DesiredFile, read, write
from rolelib.host import installed_packages, remove_packages

__all__ = ["State"]


class State:
    """state.json: ``made`` (the firewall we set up), ``before`` (that firewall without us), ``packages`` (ours)."""

    def __init__(self, directory: str) -> None:
        """Use ``directory``, which exists."""
        self.path = os.path.join(directory, "state.json")

    def _load(self) -> Dict[str, Any]:
        return dict(json.loads(read(self.path) or "{}"))

    def _save(self, **values: Any) -> None:
        state = dict(self._load(), **values)
        write(DesiredFile(self.path, json.dumps(state, sort_keys=True), 0o600))

    @property
    def made(self) -> str:
        """The kind of firewall we have set up; empty for none."""
        return str(self._load().get("made", ""))

    def save_made(self, kind: str) -> None:
        """Remember which kind is ours now."""
        self._save(made=kind)

    def before(self) -> Dict[str, Any]:
        """Return how the firewall we set up was before we came."""
        return dict(self._load().get("before", {}).get(self.made, {}))

    def remember(self, kind: str) -> None:
        """Keep how a firewall is, once, before the first change to it."""
        before = self._load().get("before", {})
        if kind == "none" or kind in before:
            return
        if kind == "ufw":
            found = ufw.gather()
            before[kind] = {"enabled": found.enabled, "input_policy": found.input_policy}
        else:
            now = firewalld.gather([])
            fresh = "firewalld" in self._load().get("packages", [])
            before[kind] = {
                "active": now.active,
                "enabled": now.enabled and not fresh,
                "default_zone": now.default_zone,
            }
        self._save(before=before)

    def remember_packages(self, names: Sequence[str]) -> None:
        """Keep the names of packages we bring."""
        self._save(packages=sorted({*self._load().get("packages", []), *names}))

    def remove_packages(self) -> List[str]:
        """Remove the packages we brought; return what was done."""
        names = [name for name in self._load().get("packages", []) if name in installed_packages([name])]
        if not names:
            return []
        remove_packages(names)
        if "ufw" in names:
            # Its rules stay behind when a package is purged that did not write them.
            shutil.rmtree("/etc/ufw", ignore_errors=True)
        return [f"packages removed: {', '.join(names)}"]
