"""The backup programs on the host: this very bundle in /opt/postal/lib, two launchers, a timer."""

import os
import sys
from typing import Any, Dict, List

from mailstack.postal.compose import image_reference
from postal import paths
from rolelib.commands import run
from rolelib.host import systemctl
from rolelib.owned_files import OwnedFile, differs, write

__all__ = ["files", "install", "problems", "remove_units", "status"]

BUNDLE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
PACKAGES = ("mailstack", "postal", "rolelib")
LAUNCHER = """#!{python}
# Written by mailstack; changes made here are lost.
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, "{lib}")
from postal.backup.cli import {entry}

sys.exit({entry}())
"""
SERVICE = """[Unit]
Description=Backup of Postal's databases and configuration
After=docker.service
Requires=docker.service

[Service]
Type=oneshot
ExecStart={program}
Nice=10
IOSchedulingClass=idle
PrivateTmp=true
ProtectHome=true
UMask=0077
"""
TIMER = """[Unit]
Description=Backup of Postal, {calendar}

[Timer]
OnCalendar={calendar}
RandomizedDelaySec=600
Persistent=true

[Install]
WantedBy=timers.target
"""


def _service(settings: Dict[str, Any]) -> str:
    # A hook may copy to a home directory or anywhere else: then nothing of the file system is closed to it.
    text = SERVICE.format(program=paths.BIN + "/mailstack-postal-backup")
    return text.replace("ProtectHome=true\n", "") if settings["backup"]["hook"] else text


def files(settings: Dict[str, Any], secrets: Dict[str, Any]) -> List[OwnedFile]:
    """Return every file of the backup. Without a calendar there is no timer, the programs stay for use by hand."""
    wanted = [OwnedFile(os.path.join(paths.LIB, name), text) for name, text in _library().items()]
    for name, entry in (("backup", "backup_main"), ("restore", "restore_main")):
        text = LAUNCHER.format(python=sys.executable, lib=paths.LIB, entry=entry)
        wanted.append(OwnedFile(f"{paths.BIN}/mailstack-postal-{name}", text, 0o755))
    wanted.append(OwnedFile(paths.BACKUP_JSON, _plan(settings, secrets), 0o600))
    if settings["backup"]["encrypt"]:
        wanted.append(OwnedFile(paths.PASSPHRASE, secrets["backup_passphrase"] + "\n", 0o400))
    wanted.append(OwnedFile(f"{paths.SYSTEM_UNITS}/{paths.BACKUP_SERVICE}", _service(settings)))
    calendar = settings["backup"]["calendar"]
    if calendar:
        wanted.append(OwnedFile(f"{paths.SYSTEM_UNITS}/{paths.BACKUP_TIMER}", TIMER.format(calendar=calendar)))
    return wanted


def _library() -> Dict[str, str]:
    found = {}
    for package in PACKAGES:
        for folder, _, names in sorted(os.walk(os.path.join(BUNDLE, package))):
            for name in sorted(names):
                if name.endswith((".py", ".rb")):
                    path = os.path.join(folder, name)
                    with open(path, encoding="utf-8") as stream:
                        found[os.path.relpath(path, BUNDLE)] = stream.read()
    return found


def _plan(settings: Dict[str, Any], secrets: Dict[str, Any]) -> str:
    import json  # noqa: PLC0415 - only this function speaks it

    compose, database = settings["compose"], settings["database"]
    names = ("host", "port", "username", "main", "prefix", "client_image")
    document = {
        "database": {
            **{name: database[name] for name in names},
            "password": secrets["config"]["main_db"]["password"],
        },
        "network": None if compose["host_network"] else compose["network"],
        "image": image_reference(settings["image"]),
        **{name: settings["backup"][name] for name in ("directory", "keep_count", "keep_days", "encrypt", "hook")},
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def problems(settings: Dict[str, Any], secrets: Dict[str, Any]) -> List[str]:
    """Return in words how the backup on the host differs from the settings."""
    found = [problem for problem in map(differs, files(settings, secrets)) if problem]
    if len(found) > 3:
        found = [f"{len(found)} files of the backup programs are missing or old"]
    timer = f"{paths.SYSTEM_UNITS}/{paths.BACKUP_TIMER}"
    if not settings["backup"]["calendar"]:
        found += [f"{timer} is there, but no calendar is declared"] if os.path.exists(timer) else []
    elif not run(["systemctl", "is-active", "--quiet", paths.BACKUP_TIMER], check=False).ok:
        found.append("the backup timer does not run")
    if not settings["backup"]["encrypt"] and os.path.exists(paths.PASSPHRASE):
        found.append(f"{paths.PASSPHRASE} is there, but backups are not encrypted")
    return found


def install(settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
    """Write the files and set the timer. Raises RoleError where systemd does not understand the calendar."""
    for file in files(settings, secrets):
        if differs(file):
            write(file)
    for folder in (paths.ROOT, paths.LIB, paths.BIN):
        os.chmod(folder, 0o755)  # noqa: S103 - programs hold no secret
    os.makedirs(settings["backup"]["directory"], mode=0o700, exist_ok=True)
    if not settings["backup"]["encrypt"] and os.path.exists(paths.PASSPHRASE):
        os.unlink(paths.PASSPHRASE)
    systemctl("daemon-reload")
    if settings["backup"]["calendar"]:
        systemctl("enable", paths.BACKUP_TIMER)
        systemctl("restart", paths.BACKUP_TIMER)
    elif os.path.exists(f"{paths.SYSTEM_UNITS}/{paths.BACKUP_TIMER}"):
        remove_units([paths.BACKUP_TIMER])


def remove_units(names: List[str]) -> None:
    """Stop and remove systemd units of the backup."""
    for name in names:
        path = f"{paths.SYSTEM_UNITS}/{name}"
        if os.path.exists(path):
            run(["systemctl", "disable", "--now", name], check=False)
            os.unlink(path)
    run(["systemctl", "daemon-reload"], check=False)


def status(now: float) -> Dict[str, Any]:
    """Return when the last backup was made, its file and what went wrong. ``now`` is seconds since 1970."""
    import json  # noqa: PLC0415 - see above

    from postal.backup.dump import STATUS  # noqa: PLC0415
    from rolelib.files import read  # noqa: PLC0415

    last: Dict[str, Any] = json.loads(read(STATUS) or "{}")
    path = last.get("file")
    age = int(now - os.path.getmtime(path)) if path and os.path.exists(path) else None
    return {"last": last.get("started"), "file": path, "age_seconds": age, "error": last.get("error")}
