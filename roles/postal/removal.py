"""Taking Postal off a host. Mail and keys live in the database and in backups: those stay."""

import contextlib
import os
import shutil
from typing import Any, Callable, Dict, List

from postal import backup_setup, paths
from postal.processes import Processes
from rolelib.containers import require_docker

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
        _clear(paths.CONFIG, keep=_delivered)
        _clear(paths.ROOT, keep=lambda name: name == os.path.basename(paths.CONFIG))
        backups = settings["backup"]["directory"]
        done.append(f"{paths.ROOT} removed; the databases stay, and so do the backups in {backups}")
    shutil.rmtree(paths.STATE, ignore_errors=True)
    return done


def _delivered(name: str) -> bool:
    """The SMTP certificate belongs to role caddy, which is removed on its own."""
    return name.lstrip(".").startswith(("smtp.", "smtp-pair"))


def _clear(directory: str, keep: Callable[[str], bool]) -> None:
    """Remove what is in ``directory``, and itself where nothing is kept."""
    for name in os.listdir(directory) if os.path.isdir(directory) else ():
        path = os.path.join(directory, name)
        if keep(name):
            continue
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)
    with contextlib.suppress(OSError):  # not empty
        os.rmdir(directory)
