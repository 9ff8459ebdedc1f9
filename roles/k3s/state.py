"""What the role keeps about the node, readable by root only."""

import json
import os
import shutil
from typing import Any, Dict

from rolelib.files import DesiredFile, read, write
from rolelib.protocol import STATE_DIRECTORY

__all__ = ["DIRECTORY", "ROLLBACK", "forget", "load", "save"]

DIRECTORY = os.path.join(STATE_DIRECTORY, "k3s")
# The files as they were, while a change is under way; see rolelib.files.Transaction.
ROLLBACK = os.path.join(DIRECTORY, "rollback")
PATH = os.path.join(DIRECTORY, "node.json")


def load() -> Dict[str, Any]:
    """Return ``kind``, ``name`` and ``fixed`` of the node that this role made here; empty when it made none."""
    return dict(json.loads(read(PATH) or "{}"))


def save(kind: str, name: str, fixed: Dict[str, Any]) -> None:
    """Keep what the node is, before anything of it is on the host."""
    os.makedirs(DIRECTORY, mode=0o700, exist_ok=True)
    write(DesiredFile(PATH, json.dumps({"kind": kind, "name": name, "fixed": fixed}, sort_keys=True), 0o600))


def forget() -> None:
    """Remove all of it."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
