"""What the role keeps on the host between runs, readable by root only."""

import json
import os
import shutil
import time
from typing import Any, Dict, List, Optional

from postfix_relay import paths
from postfix_relay.desired import Desired, digest
from rolelib.files import DesiredFile, Transaction, read, write

__all__ = ["KEPT_CONFIGURATIONS", "State"]

KEPT_CONFIGURATIONS = 5


class State:
    """The role's directory.

    Files: original.json and original/ (before the first run), applied.json (after the last verified change),
    proved.json (what mail was seen to pass with), pending.json and rollback/ (only during a change), configs/ (the last
    five).
    """

    def __init__(self, directory: str) -> None:
        """Use ``directory``, which exists."""
        self.directory = directory

    def path(self, name: str) -> str:
        """Return the path of a file here."""
        return os.path.join(self.directory, name)

    def load(self, name: str) -> Optional[Dict[str, Any]]:
        """Return a JSON file of ours, None where it is not there."""
        text = read(self.path(name))
        return None if text is None else json.loads(text)

    def save(self, name: str, data: Dict[str, Any]) -> None:
        """Write a JSON file of ours."""
        write(DesiredFile(self.path(name), json.dumps(data, sort_keys=True), mode=0o600))

    def keep_original(self, facts: Dict[str, Any]) -> None:
        """Remember, once, what the host was like before the first run."""
        if os.path.exists(self.path("original.json")):
            return
        os.makedirs(self.path("original"), mode=0o700, exist_ok=True)
        kept = []
        for path in (paths.MAIN_CF, paths.MASTER_CF):
            if os.path.exists(path):
                shutil.copy2(path, self.path("original"))
                kept.append(path)
        self.save(
            "original.json",
            {
                "files": kept,
                "installed_by_us": "postfix" not in facts["packages"],
                "active": facts["service"]["active"],
                "enabled": facts["service"]["enabled"],
            },
        )

    def rollback(self) -> Transaction:
        """Return an empty transaction whose copies survive a killed run."""
        shutil.rmtree(self.path("rollback"), ignore_errors=True)
        return Transaction(self.path("rollback"))

    def leftover(self) -> Optional[Transaction]:
        """Return the transaction a killed run left, None where it left none."""
        return Transaction.leftover(self.path("rollback"))

    def begin(self, was_active: bool) -> None:
        """Mark that files are about to change."""
        self.save("pending.json", {"was_active": was_active})

    def end(self) -> None:
        """Mark that files and running service agree again."""
        shutil.rmtree(self.path("rollback"), ignore_errors=True)
        if os.path.exists(self.path("pending.json")):
            os.unlink(self.path("pending.json"))

    def record(self, settings: Dict[str, Any], managed: List[str]) -> None:
        """Note what was verified to run: digest and change time of each managed file."""
        files = {}
        for path in managed:
            with open(path, "rb") as handle:
                content = handle.read().decode("utf-8", "surrogateescape")
            files[path] = {"sha256": digest(content), "ctime": os.stat(path).st_ctime}
        self.save("applied.json", {"files": files, "hostname": settings["hostname"], "listen": settings["listen"]})

    def record_proof(self, settings: Dict[str, Any]) -> None:
        """Note that mail passes with what was last verified to run."""
        self.save("proved.json", {"sha256": self._proved_by(settings)})

    def is_proved(self, settings: Dict[str, Any]) -> bool:
        """Tell whether mail was seen to pass with what runs now."""
        return (self.load("proved.json") or {}).get("sha256") == self._proved_by(settings)

    def _proved_by(self, settings: Dict[str, Any]) -> str:
        files = (self.load("applied.json") or {}).get("files", {})
        asked = [settings["proof"][key] for key in ("sender", "recipient")]
        return digest(json.dumps([asked, {path: file["sha256"] for path, file in files.items()}], sort_keys=True))

    def keep_configuration(self, wanted: Desired) -> None:
        """Add the configuration, without any password, to those kept; drop all but the newest five."""
        root = self.path("configs")
        name = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        content = wanted.files[paths.MAIN_CF].content + wanted.files[paths.MASTER_CF].content
        target = os.path.join(root, f"{name}-{digest(content)[:8]}")
        for path, file in wanted.files.items():
            if path.startswith(paths.CONFIG_DIRECTORY) and not file.secret:
                copy = os.path.join(target, os.path.relpath(path, paths.CONFIG_DIRECTORY))
                write(DesiredFile(copy, file.content, mode=0o600))
        for old in sorted(os.listdir(root))[:-KEPT_CONFIGURATIONS]:
            shutil.rmtree(os.path.join(root, old))
