"""Bringing a backup back: onto an empty host, or over an installation that may be lost."""

import json
import os
import shutil
import tarfile
import tempfile
from typing import Any, Dict, List, Optional

from mailstack.postal.compose import PROJECT
from postal import paths
from postal.backup import databases
from postal.backup.archive import ENCRYPTED, BackupError, Plan, file_digest, opened
from postal.backup.dump import make
from rolelib.commands import CommandError
from rolelib.containers import Compose, containers, wait_until_healthy

__all__ = ["load_databases", "restore"]

HEALTH_SECONDS = 240
STOP_SECONDS = 150
MIGRATION_SECONDS = 3600
WANTED = ("manifest.json", "databases.sql.gz", "compose.yaml", "backup.json")
FOLDERS = ("config/", "state/", "program/")


def restore(path: str, replace: bool, with_config: bool, passphrase_file: Optional[str]) -> Dict[str, Any]:
    """Restore the archive at ``path``; returns its manifest. Raises BackupError.

    A host that holds mail is refused unless ``replace``; it is dumped first then. Configuration and keys of the host
    stay (they come from the stack) unless there are none or ``with_config``.
    """
    if not os.path.isfile(path):
        raise BackupError(f"{path} is no file")
    parent = os.path.dirname(os.path.abspath(path))
    work = tempfile.mkdtemp(prefix=".restore-", dir=parent)
    try:
        manifest = _unpack(path, passphrase_file, work)
        bare = not os.path.exists(paths.BACKUP_JSON)
        plan = Plan.load(os.path.join(work, "backup.json") if bare else paths.BACKUP_JSON)
        _same_names(plan, manifest)
        held = _refuse_to_lose_mail(plan, replace)
        _stop()
        dump = _dump(plan) if held else None
        if bare or with_config:
            _install_files(work, bare)
        _keep_identities(work)
        _replace_databases(plan, work, manifest, dump)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    if manifest["postal_image"] != plan.document["image"]:
        _migrate()
    _start()
    return manifest


def _dump(plan: Plan) -> str:
    """Dump what Postal has, now that it takes nothing more, and return the archive; it starts again without one."""
    try:
        return make(plan, "before-restore")
    except BaseException:
        _start()
        raise


def _replace_databases(plan: Plan, work: str, manifest: Dict[str, Any], dump: Optional[str]) -> None:
    try:
        databases.drop_all(plan)
        databases.load_from(plan, os.path.join(work, "databases.sql.gz"))
        _complete(plan, manifest)
    except (BackupError, CommandError, OSError) as error:
        kept = f"The mail that was here is in {dump}. " if dump is not None else ""
        raise BackupError(
            f"{error}\nPostal is stopped, since its databases are not whole. {kept}Mend the cause, then restore again"
        ) from None


def _complete(plan: Plan, manifest: Dict[str, Any]) -> None:
    missing = set(manifest["databases"]) - set(databases.names(plan))
    if missing:
        raise BackupError(f"after loading the dump there is no {', '.join(sorted(missing))}")


def load_databases(plan: Plan, path: str) -> None:
    """Replace all databases by those of an archive made here; files and processes are the caller's."""
    work = tempfile.mkdtemp(prefix=".restore-", dir=os.path.dirname(path))
    try:
        _unpack(path, paths.PASSPHRASE if path.endswith(ENCRYPTED) else None, work)
        databases.drop_all(plan)
        databases.load_from(plan, os.path.join(work, "databases.sql.gz"))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _unpack(path: str, passphrase_file: Optional[str], work: str) -> Dict[str, Any]:
    with opened(path, passphrase_file) as tar:
        for entry in tar:
            if not entry.isfile() or not (entry.name in WANTED or entry.name.startswith(FOLDERS)):
                continue
            if ".." in entry.name.split("/"):
                raise BackupError(f"{path} is no backup: it holds {entry.name}")
            _extract(tar, entry, os.path.join(work, entry.name))
    try:
        with open(os.path.join(work, "manifest.json"), encoding="utf-8") as stream:
            manifest: Dict[str, Any] = json.load(stream)
    except (OSError, ValueError):
        raise BackupError(f"{path} is no backup of Postal: it has no manifest") from None
    for name, digest in manifest["sha256"].items():
        if not os.path.exists(os.path.join(work, name)) or file_digest(os.path.join(work, name)) != digest:
            raise BackupError(f"{path} is damaged: {name} is not what was written")
    return manifest


def _extract(tar: tarfile.TarFile, entry: tarfile.TarInfo, target: str) -> None:
    source = tar.extractfile(entry)
    if source is None:
        return
    os.makedirs(os.path.dirname(target), mode=0o700, exist_ok=True)
    with open(target, "wb") as out:
        shutil.copyfileobj(source, out)
    os.chmod(target, entry.mode & 0o777)
    os.chown(target, entry.uid, entry.gid)


def _same_names(plan: Plan, manifest: Dict[str, Any]) -> None:
    for name in ("main", "prefix"):
        if plan.database[name] != manifest[name]:
            raise BackupError(
                f"the backup's databases are named by {name} = {manifest[name]!r}, this host's by "
                f"{plan.database[name]!r}: set postal.database.name to the former first"
            )


def _refuse_to_lose_mail(plan: Plan, replace: bool) -> int:
    """Return how many messages are here: they may go, and there is room for a dump of them. Else raises BackupError."""
    found = databases.names(plan)
    held = databases.message_count(plan, found)
    if held == 0:
        return 0
    if not replace:
        raise BackupError(
            f"this Postal holds {held} messages in {len(found)} databases, which a restore would delete: "
            "repeat with --replace if they may go (a backup of them is made first)"
        )
    databases.require_space(plan)
    return held


def _stop() -> None:
    if os.path.exists(paths.COMPOSE):
        Compose(PROJECT, paths.ROOT).run(["stop", "--timeout", str(STOP_SECONDS)], timeout=STOP_SECONDS + 120)


def _install_files(work: str, bare: bool) -> None:
    """Put the archive's configuration in place, and on a host without any the compose file and the programs too."""
    os.makedirs(paths.CONFIG, exist_ok=True)
    os.chown(paths.CONFIG, 0, paths.USER_ID)
    os.chmod(paths.CONFIG, 0o750)  # noqa: S103 - the container's user may pass
    pairs: List[List[str]] = [[os.path.join(work, "config"), paths.CONFIG]]
    if bare:
        pairs += [
            [os.path.join(work, name), os.path.join(paths.ROOT, name)] for name in ("compose.yaml", "backup.json")
        ]
        pairs += [[os.path.join(work, "program", name), os.path.join(paths.ROOT, name)] for name in ("lib", "bin")]
        os.chmod(paths.ROOT, 0o755)  # noqa: S103 - what is secret below has its own mode
    for source, target in pairs:
        _copy(source, target)


def _copy(source: str, target: str) -> None:
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
        for name in sorted(os.listdir(source)):
            _copy(os.path.join(source, name), os.path.join(target, name))
    elif os.path.exists(source):
        status = os.stat(source)
        temporary = target + ".mailstack-restore"
        shutil.copy2(source, temporary)
        os.chown(temporary, status.st_uid, status.st_gid)
        os.replace(temporary, target)


def _keep_identities(work: str) -> None:
    """Keep which record belongs to which key of the stack; forget the last digest, so that the next run compares."""
    os.makedirs(paths.STATE, mode=0o700, exist_ok=True)
    source = os.path.join(work, "state", "identities.json")
    if os.path.exists(source):
        _copy(source, os.path.join(paths.STATE, "identities.json"))
    applied = os.path.join(paths.STATE, "applied.json")
    if os.path.exists(applied):
        with open(applied, encoding="utf-8") as stream:
            document = json.load(stream)
        # The passwords in the database are those of the backup: no digest of a newer one may stand for them.
        for name in ("fingerprint", "digest"):
            document.pop(name, None)
        with open(applied, "w", encoding="utf-8") as stream:
            json.dump(document, stream)


def _migrate() -> None:
    """Bring the databases of an older version to this host's: its processes would not work with them."""
    if os.path.exists(paths.COMPOSE):
        command = ["run", "--rm", "-T", "runner", "postal", "upgrade"]
        Compose(PROJECT, paths.ROOT).run(command, stdin="", timeout=MIGRATION_SECONDS)


def _start() -> None:
    """Start Postal where its compose file is, and wait until every process is healthy."""
    if not os.path.exists(paths.COMPOSE):
        return
    compose = Compose(PROJECT, paths.ROOT)
    before: Dict[str, int] = {}
    for each in containers(PROJECT):
        before[each.service] = before.get(each.service, 0) + 1
    expected = before or {"web": 1, "smtp": 1, "worker": 1}
    compose.up({"worker": expected.get("worker", 1)})
    wait_until_healthy(PROJECT, expected, HEALTH_SECONDS)
