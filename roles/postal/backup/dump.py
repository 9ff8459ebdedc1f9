"""Making a backup: dump, archive, copy elsewhere, throw old ones away."""

import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import time
from typing import Any, Dict, List, Optional

from postal import paths
from postal.backup import databases
from postal.backup.archive import BackupError, Plan, archives, file_digest, new_name, writing
from rolelib.commands import run
from rolelib.files import read
from rolelib.owned_files import OwnedFile, write

__all__ = ["STATUS", "backup", "make", "prune"]

STATUS = paths.STATE + "/backup-status.json"
STATE_FILES = ("identities.json", "applied.json", "salt")
HOOK_SECONDS = 6 * 3600
SECONDS_PER_DAY = 86400


def backup(plan: Plan) -> str:
    """Make an archive, hand it to the hook, remove old ones; keep what happened in the status file."""
    started = _now()
    status: Dict[str, Any] = {"started": started, "file": None, "bytes": 0, "seconds": 0.0, "error": None}
    clock = time.monotonic()
    try:
        databases.require_space(plan)
        path = make(plan, "")
        status.update(file=path, bytes=os.path.getsize(path))
        _hook(plan, path)
        prune(plan)
    except (BackupError, OSError, subprocess.SubprocessError) as error:
        status["error"] = str(error)
        raise
    finally:
        status["seconds"] = round(time.monotonic() - clock, 1)
        write(OwnedFile(STATUS, json.dumps(status, sort_keys=True) + "\n", 0o600))
    return path


def make(plan: Plan, label: str) -> str:
    """Write one archive and return its path. Raises BackupError; a part of an archive never stays."""
    os.makedirs(plan.directory, mode=0o700, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".work-", dir=plan.directory)
    try:
        sql = os.path.join(work, "databases.sql.gz")
        listed = databases.dump_to(plan, sql)
        manifest = _manifest(plan, listed, sql)
        encrypt = bool(plan.document["encrypt"])
        path = os.path.join(plan.directory, new_name(label, encrypt))
        with writing(path, paths.PASSPHRASE if encrypt else None) as tar:
            _add_text(tar, "manifest.json", json.dumps(manifest, indent=1, sort_keys=True), work)
            tar.add(sql, "databases.sql.gz")
            _add_installation(tar)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return path


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def _manifest(plan: Plan, listed: List[str], sql: str) -> Dict[str, Any]:
    return {
        "format": 1,
        "created": _now(),
        "postal_image": _image_of_the_data(plan),
        "mariadb": databases.query(plan, "SELECT VERSION();\n")[0][0],
        "databases": listed,
        "main": plan.database["main"],
        "prefix": plan.database["prefix"],
        "counts": databases.counts(plan, listed),
        "sha256": {"databases.sql.gz": file_digest(sql)},
    }


def _image_of_the_data(plan: Plan) -> str:
    """Return the image the databases were last migrated by: during an upgrade that is not yet the declared one."""
    applied = json.loads(read(os.path.join(paths.STATE, "applied.json")) or "{}")
    return str(applied.get("image", plan.document["image"]))


def _add_text(tar: tarfile.TarFile, name: str, text: str, work: str) -> None:
    path = os.path.join(work, "text")
    write(OwnedFile(path, text, 0o600))
    tar.add(path, name)


def _add_installation(tar: tarfile.TarFile) -> None:
    """Add the files a new host needs: configuration, keys, what belongs to what, and these programs."""
    for name in sorted(os.listdir(paths.CONFIG)) if os.path.isdir(paths.CONFIG) else ():
        # The certificate is a link to its latest delivery; what the archive needs is the file.
        path = os.path.realpath(os.path.join(paths.CONFIG, name))
        if os.path.isfile(path) and not name.startswith("."):
            tar.add(path, f"config/{name}")
    for name in STATE_FILES:
        path = os.path.join(paths.STATE, name)
        if os.path.exists(path):
            tar.add(path, f"state/{name}")
    for path in (paths.COMPOSE, paths.BACKUP_JSON):
        if os.path.exists(path):
            tar.add(path, os.path.basename(path))
    if os.path.isdir(paths.LIB):
        tar.add(paths.LIB, "program/lib", filter=_without_bytecode)
        tar.add(paths.BIN, "program/bin")


def _without_bytecode(entry: tarfile.TarInfo) -> Optional[tarfile.TarInfo]:
    return None if "__pycache__" in entry.name else entry


def _hook(plan: Plan, path: str) -> None:
    """Run the program that copies the archive elsewhere. The archive stays whatever it says."""
    command: List[str] = plan.document["hook"]
    if not command:
        return
    result = run([*command, path], check=False, timeout=HOOK_SECONDS)
    if not result.ok:
        said = (result.err or result.out).strip()[-500:]
        raise BackupError(f"{path} is made, but {command[0]} failed with {result.code}: {said}")


def prune(plan: Plan) -> None:
    """Remove archives beyond ``keep_count`` or older than ``keep_days``; the newest one always stays."""
    oldest = time.time() - plan.document["keep_days"] * SECONDS_PER_DAY
    for position, path in enumerate(archives(plan.directory)):
        if position > 0 and (position >= plan.document["keep_count"] or os.path.getmtime(path) < oldest):
            os.unlink(path)
