"""Puts what was uploaded where ``run`` looks for it: into volumes that the relay's own container takes over.

Docker refuses an upload into a container with a read-only root. So a container of its own gets it, with a root that can
be written, and the relay's gets only the volumes, read-only.
"""

import shutil
from pathlib import Path

from postfix_container import paths

__all__ = ["receive"]


def receive(given: Path = paths.GIVEN, *, settings: Path = paths.SETTINGS, secrets: Path = paths.SECRETS) -> None:
    """Copy settings and secrets, each as readable as it came, which is for root only."""
    settings.parent.mkdir(parents=True, exist_ok=True)
    secrets.mkdir(parents=True, exist_ok=True)
    shutil.copy(given / "relay.json", settings)
    for path in sorted((given / "secrets").glob("*")):
        shutil.copy(path, secrets / path.name)
