"""What the role keeps on the host between runs, readable by root only."""

import json
import os
import shutil
from typing import Any, Dict, Optional

from caddy import paths
from caddy.pairs import read_text
from caddy.runtime import Runtime
from caddy.service import UNIT
from rolelib.files import DesiredFile, Transaction, write
from rolelib.host import service_is_enabled
from rolelib.protocol import STATE_DIRECTORY

__all__ = ["State"]


class State:
    """The role's directory. Files: original.json and original.Caddyfile (before the first run), pending.json and
    rollback/ (only during a change).
    """

    directory = os.path.join(STATE_DIRECTORY, "caddy")

    @classmethod
    def path(cls, name: str) -> str:
        """Return the path of a file here."""
        return os.path.join(cls.directory, name)

    @classmethod
    def _save(cls, name: str, data: Dict[str, Any]) -> None:
        os.makedirs(cls.directory, mode=0o700, exist_ok=True)
        write(DesiredFile(cls.path(name), json.dumps(data, sort_keys=True), mode=0o600))

    @classmethod
    def _load(cls, name: str) -> Optional[Dict[str, Any]]:
        text = read_text(cls.path(name))
        return None if text is None else dict(json.loads(text))

    @classmethod
    def keep_original(cls, runtime: Runtime, facts: Dict[str, Any]) -> None:
        """Remember, once, what the host was like before the first run."""
        if os.path.exists(cls.path("original.json")):
            return
        os.makedirs(cls.directory, mode=0o700, exist_ok=True)
        if os.path.exists(paths.CADDYFILE):
            shutil.copy2(paths.CADDYFILE, cls.path("original.Caddyfile"))
        service = runtime.placement == "service"
        cls._save(
            "original.json",
            {
                "installed_by_us": service and facts["version"] is None,
                "active": service and facts["active"],
                "enabled": service and facts["version"] is not None and service_is_enabled(UNIT),
            },
        )

    @classmethod
    def note_installed(cls) -> None:
        """Remember that the package is ours to remove."""
        cls._save("original.json", dict(cls.original() or {}, installed_by_us=True))

    @classmethod
    def original(cls) -> Optional[Dict[str, Any]]:
        """Return what :meth:`keep_original` noted, None where no run ever changed this host."""
        return cls._load("original.json")

    @classmethod
    def begin(cls, was_active: bool) -> Transaction:
        """Mark that files are about to change; return an empty transaction whose copies survive a killed run."""
        shutil.rmtree(cls.path("rollback"), ignore_errors=True)
        cls._save("pending.json", {"was_active": was_active})
        return Transaction(cls.path("rollback"))

    @classmethod
    def leftover(cls) -> Optional[Transaction]:
        """Return the transaction a killed run left, None where it left none."""
        return Transaction.leftover(cls.path("rollback"))

    @classmethod
    def was_active(cls) -> bool:
        """Tell whether Caddy ran when the killed run began."""
        return bool((cls._load("pending.json") or {}).get("was_active"))

    @classmethod
    def end(cls, transaction: Transaction) -> None:
        """Mark that files and running service agree again."""
        transaction.close()
        if os.path.exists(cls.path("pending.json")):
            os.unlink(cls.path("pending.json"))
