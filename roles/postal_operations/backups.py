"""Backups by the host's own programs: one now, which there are, and bringing one back."""

import functools
import json
import os
from typing import Any, Dict, List, Optional

from postal import paths
from postal.backup import databases
from postal.backup.archive import BackupError, archives, opened
from postal.backup.archive import Plan as BackupPlan
from postal_operations.look import installed
from rolelib.commands import run
from rolelib.host import RoleError
from rolelib.protocol import Change, Plan, Role

__all__ = ["listed", "make", "restore"]

BACKUP, RESTORE = paths.BIN + "/mailstack-postal-backup", paths.BIN + "/mailstack-postal-restore"
# A dump of many gigabytes and its copy elsewhere, or bringing them back.
SECONDS = 12 * 3600
# What a restore has replaced is the newest file there is: nobody who repeats a restore means that.
REPLACED = "-before-restore."


def _run(role: Role, step: str, command: List[str]) -> str:
    """Run one of the programs, which say themselves what is wrong and how to mend it."""
    role.say(step, "this may take a while; the more mail, the longer")
    done = run(command, check=False, timeout=SECONDS)
    if not done.ok:
        raise RoleError(step, (done.err or done.out).strip() or f"{command[0]} ended with {done.code}")
    return done.out.strip()


def listed(role: Role) -> Plan:
    """Tell the backups of this host, the newest first."""
    role.facts["backups"] = [_about(path) for path in archives(installed().directory)]
    return []


def _about(path: str) -> Dict[str, Any]:
    return {"file": path, "bytes": os.path.getsize(path), "written": int(os.path.getmtime(path))}


def make(role: Role) -> Plan:
    """Make one now, as the timer would: the hook runs, and old ones go."""
    plan = installed()
    return [Change("backup", f"make a backup in {plan.directory}", functools.partial(_make, role))]


def _make(role: Role) -> None:
    path = _run(role, "backup", [BACKUP]).splitlines()[-1]
    role.facts["backup"] = {**_about(path), "manifest": _manifest(path)}


def _manifest(path: str) -> Optional[Dict[str, Any]]:
    """Return what an archive says of itself; the first part of it, so this takes no time."""
    passphrase = paths.PASSPHRASE if os.path.exists(paths.PASSPHRASE) else None
    with opened(path, passphrase) as tar:
        for entry in tar:
            source = tar.extractfile(entry) if entry.name == "manifest.json" else None
            if source is None:
                return None
            found: Dict[str, Any] = json.loads(source.read().decode())
            return {name: found[name] for name in ("created", "postal_image", "mariadb", "databases", "counts")}
    return None


def restore(role: Role) -> Plan:
    """Bring ``file`` back (a path on the host; "" for the newest that no restore has made), in place of what is there.

    Fact ``archive`` is what comes, ``now`` what goes: the number of messages and databases. With ``with_config`` the
    configuration and keys come back too. What is there is dumped first, by the program itself.
    """
    plan = installed()
    made = [path for path in archives(plan.directory) if REPLACED not in os.path.basename(path)]
    path = str(role.settings.get("file") or "") or next(iter(made), "")
    if not os.path.isfile(path):
        raise RoleError("restore", f"{path or plan.directory} holds no backup: `mailstack postal backup` makes one")
    manifest = _manifest(path)
    if manifest is None:
        raise RoleError("restore", f"{path} is no backup of Postal: it has no manifest")
    role.facts["archive"] = {**_about(path), "manifest": manifest}
    role.facts["now"] = _there(plan)
    command = [RESTORE, path, "--replace", *(["--with-config"] if role.settings.get("with_config") else [])]
    return [Change("restore", f"replace all of Postal's mail by {path}", functools.partial(_restore, role, command))]


def _there(plan: BackupPlan) -> Dict[str, Any]:
    """Return what a restore replaces; a database that does not answer holds nothing that could be counted."""
    try:
        names = databases.names(plan)
        return {"databases": names, "messages": databases.message_count(plan, names), "error": None}
    except BackupError as error:
        return {"databases": [], "messages": None, "error": str(error)}


def _restore(role: Role, command: List[str]) -> None:
    role.facts["restored"] = json.loads(_run(role, "restore", command).splitlines()[-1])
