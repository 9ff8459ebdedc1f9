"""Processes, versions, room on the disk, and what the databases tell."""

import os
import shutil
import time
from typing import Any, Dict, List, Sequence

from mailstack.postal import overview
from mailstack.postal.compose import PROJECT
from postal import backup_setup, paths
from postal.backup import databases
from postal.backup.archive import BackupError, archives
from postal.backup.archive import Plan as BackupPlan
from rolelib.containers import containers
from rolelib.host import RoleError
from rolelib.protocol import Plan, Role

__all__ = ["credentials", "queue", "status", "users"]

DEFAULT_SHOWN = 200
# No value of Postal's is this.
MARK = "mailstack: the next question"
DATA = ("/", "/var/lib/docker")


def installed() -> BackupPlan:
    """Return what role ``postal`` left about the databases. Raises RoleError on a host without Postal."""
    if not os.path.exists(paths.COMPOSE):
        raise RoleError("facts", f"{paths.COMPOSE} is missing: Postal is not on this host")
    return BackupPlan.load()


def _ask(plan: BackupPlan) -> overview.Query:
    """Return what asks all questions by one run of MariaDB's program: lines between two of them tell them apart."""

    def ask(questions: Sequence[str]) -> List[List[List[str]]]:
        found: List[List[List[str]]] = []
        text = "".join(f"SELECT '{MARK}';\n{question.strip()}\n" for question in questions)
        for row in databases.query(plan, text):
            if row == [MARK]:
                found.append([])
            else:
                found[-1].append(row)
        return found

    return ask


def status(role: Role) -> Plan:
    """Tell processes, versions, queue, room and the last backup. What the database does not tell is said, not raised:
    a database that is away is what somebody looks for here."""
    plan = installed()
    main, prefix = plan.database["main"], plan.database["prefix"]
    role.facts["image"] = plan.document["image"]
    role.facts["processes"] = [_process(each) for each in containers(PROJECT)]
    role.facts["disk"] = [_room(path) for path in _disks((*DATA, plan.directory))]
    role.facts["backup"] = backup_setup.status(time.time())
    role.facts["backup"]["kept"] = len(archives(plan.directory))
    ask = _ask(plan)
    try:
        role.facts["database"] = {
            "version": ask(["SELECT VERSION();"])[0][0][0],
            "bytes": overview.database_bytes(ask, main, prefix),
            "error": None,
        }
        servers = overview.queue(ask, main, prefix, DEFAULT_SHOWN)
        role.facts["servers"] = [{**server, "messages": len(server["messages"])} for server in servers]
    except BackupError as error:
        role.facts["database"], role.facts["servers"] = {"error": str(error)}, None
    return []


def _process(container: Any) -> Dict[str, Any]:
    return {
        "service": container.service,
        "container": container.name,
        "running": container.running,
        "health": container.health,
        "image": container.image_name,
        "restarts": container.restarts,
        "started": container.started,
    }


def _disks(paths: Sequence[str]) -> List[str]:
    """Return those that are there, of each file system the first: the same room is not told twice."""
    found: Dict[int, str] = {}
    for path in paths:
        if os.path.isdir(path):
            found.setdefault(os.stat(path).st_dev, path)
    return list(found.values())


def _room(path: str) -> Dict[str, Any]:
    usage = shutil.disk_usage(path)
    return {"path": path, "bytes": usage.total, "free": usage.free}


def queue(role: Role) -> Plan:
    """Tell each mail server's queue: fact ``servers``, up to ``limit`` messages of each."""
    plan = installed()
    limit = int(role.settings.get("limit") or DEFAULT_SHOWN)
    role.facts["servers"] = overview.queue(_ask(plan), plan.database["main"], plan.database["prefix"], limit)
    return []


def users(role: Role) -> Plan:
    """Tell who may log in."""
    plan = installed()
    role.facts["users"] = overview.users(_ask(plan), plan.database["main"])
    return []


def credentials(role: Role) -> Plan:
    """Tell the names of keys."""
    plan = installed()
    found: List[Dict[str, Any]] = overview.credentials(_ask(plan), plan.database["main"])
    role.facts["credentials"] = found
    return []
