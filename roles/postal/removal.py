"""Taking Postal off a host. Mail and keys live in the database and in backups: those stay."""

import os
import shutil
from typing import Any, Dict, List

from postal import backup_setup, paths
from postal.processes import Processes
from rolelib.containers import require_docker
from rolelib.files import read

__all__ = ["remove"]


def remove(settings: Dict[str, Any], processes: Processes) -> List[str]:
    """Stop the containers, remove units, programs, configuration and state; return what was done, in words."""
    require_docker()
    done = []
    if os.path.exists(paths.COMPOSE):
        processes.stop()
        processes.compose().run(["down", "--remove-orphans"], timeout=300)
        done.append("Postal's containers removed")
    backup_setup.remove_units([paths.BACKUP_TIMER, paths.BACKUP_SERVICE])
    if os.path.isdir(paths.ROOT):
        kept = _keep_delivered_certificate()
        shutil.rmtree(paths.ROOT)
        _put_back(kept)
        backups = settings["backup"]["directory"]
        done.append(f"{paths.ROOT} removed; the databases stay, and so do the backups in {backups}")
    shutil.rmtree(paths.STATE, ignore_errors=True)
    return done


def _keep_delivered_certificate() -> Dict[str, str]:
    """The SMTP certificate belongs to role caddy, which is removed on its own."""
    found = {path: read(path) for path in (paths.SMTP_CERTIFICATE, paths.SMTP_KEY)}
    return {path: text for path, text in found.items() if text is not None}


def _put_back(kept: Dict[str, str]) -> None:
    from rolelib.owned_files import OwnedFile, write  # noqa: PLC0415 - only where there is something to put back

    for path, text in kept.items():
        write(OwnedFile(path, text, 0o400, paths.USER_ID, paths.USER_ID))
    if kept:
        os.chown(paths.CONFIG, 0, paths.USER_ID)
        os.chmod(paths.CONFIG, 0o750)  # noqa: S103 - the container\'s user may pass
