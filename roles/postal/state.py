"""What the role remembers on the host: what was applied, which record is whose, and a run that is under way."""

import json
import os
import secrets as random_source
from typing import Any, Dict, Optional

from postal import paths
from rolelib.files import Transaction, read
from rolelib.owned_files import OwnedFile, write

__all__ = ["State"]


class State:
    """Files in the role's own directory; all of them only for root."""

    def __init__(self, directory: str = paths.STATE) -> None:
        """Use ``directory``."""
        self.directory = directory

    def load(self, name: str) -> Dict[str, Any]:
        """Return a JSON object; an empty one where there is none."""
        found: Dict[str, Any] = json.loads(read(os.path.join(self.directory, name)) or "{}")
        return found

    def keep(self, name: str, document: Dict[str, Any]) -> None:
        """Replace a JSON object."""
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        write(OwnedFile(os.path.join(self.directory, name), text, 0o600))

    def salt(self) -> str:
        """Return this host's salt for digests, made on first use."""
        path = os.path.join(self.directory, "salt")
        known = read(path)
        if known is None:
            known = random_source.token_hex(16)
            write(OwnedFile(path, known, 0o600))
        return known

    def applied(self) -> Dict[str, Any]:
        """Return image, digests and results of the last successful run."""
        return self.load("applied.json")

    def record(self, **changes: Any) -> None:
        """Add to what was applied."""
        document = self.applied()
        document.update(changes)
        self.keep("applied.json", document)

    def pending(self) -> Dict[str, Any]:
        """Return what a run that did not end had under way; empty after an orderly end."""
        return self.load("pending.json")

    def begin(self, **what: Any) -> None:
        """Note what is under way, for the run after a kill."""
        self.keep("pending.json", what)

    def end(self) -> None:
        """Nothing is under way any more: forget the note and the copies of files."""
        Transaction(self._rollback()).close()
        path = os.path.join(self.directory, "pending.json")
        if os.path.exists(path):
            os.unlink(path)

    def transaction(self) -> Transaction:
        """Return a new set of files that can be put back together."""
        return Transaction(self._rollback())

    def leftover(self) -> Optional[Transaction]:
        """Return the set a killed run left behind."""
        return Transaction.leftover(self._rollback())

    def _rollback(self) -> str:
        return os.path.join(self.directory, "rollback")
