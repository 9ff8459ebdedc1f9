"""The service mailstack-relay-metrics: its files, how it differs from what is declared, how it is brought up and away.

It is no part of Postfix's transaction: a relay that delivers is not taken back because nobody can watch it, and Postfix
is not touched because the metrics changed.
"""

import contextlib
import hashlib
import http.client
import json
import os
import time
from typing import Any, Dict, List, Sequence, Tuple

import mailstack.postfix
from mailstack.postfix.metrics import quota_rules
from mailstack.postfix.served_certificate import submission_places
from postfix_relay import paths
from rolelib.commands import run
from rolelib.files import DesiredFile, Transaction, differs, read, write
from rolelib.host import RoleError, service_is_active, service_is_enabled, systemctl, unit_log

__all__ = ["activate", "files", "look", "steps", "tools", "uninstall"]

ANSWER_SECONDS = 20
# What counts, and what prints the counts of the log; both run from one folder.
STATISTICS_MODULES = ("log_lines",)
METRICS_MODULES = ("exposition", "metrics", "metrics_http", "queue_listing", "served_certificate")
LAUNCHER = """#!/bin/sh
# Managed by mailstack.
exec {python} -B {program} "$@"
"""
# A user of its own that may write nothing and sees of /etc and /var what it has to read. The log is root's, and
# postlogd(8) makes each new one so: reading it needs the capability, which opens nothing else that is left to see.
UNIT = """# Managed by mailstack.
[Unit]
Description=Metrics of the Postfix relay
After=network.target postfix.service
StartLimitIntervalSec=0

[Service]
ExecStart={python} -B {program} {config}
Restart=always
RestartSec=5
DynamicUser=yes
AmbientCapabilities=CAP_DAC_READ_SEARCH
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
TemporaryFileSystem=/etc:ro /var:ro /opt:ro /srv:ro /mnt:ro /media:ro /boot:ro
BindReadOnlyPaths={log_directory} {queue_directory} -/etc/ld.so.cache -/etc/localtime
PrivateTmp=yes
PrivateDevices=yes
ProtectProc=invisible
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources open_by_handle_at
MemoryMax=256M
LimitNOFILE=256
UMask=0077

[Install]
WantedBy=multi-user.target
"""

Step = Dict[str, Any]


def tools(python: str) -> List[DesiredFile]:
    """Return the files of mailstack-relay-stats, which every relay has."""
    program = os.path.join(paths.PROGRAMS, "relay_stats.py")
    return [
        DesiredFile(paths.STATISTICS, LAUNCHER.format(python=os.path.realpath(python), program=program), mode=0o755),
        DesiredFile(program, _beside("relay_stats.py")),
        *_modules(STATISTICS_MODULES),
    ]


def files(settings: Dict[str, Any], python: str, log: str) -> List[DesiredFile]:
    """Return the files of the service, for the relay's log file ``log``; none where no metrics are wanted."""
    wanted = settings.get("metrics")
    if not wanted:
        return []
    python, program = os.path.realpath(python), os.path.join(paths.PROGRAMS, "relay_metrics.py")
    unit = UNIT.format(
        python=python,
        program=program,
        config=paths.METRICS_CONFIG,
        log_directory=os.path.dirname(log),
        queue_directory="/var/spool/postfix/public",
    )
    made = [
        DesiredFile(program, _beside("relay_metrics.py")),
        *_modules(METRICS_MODULES),
        DesiredFile(os.path.join(paths.SYSTEM_UNITS, paths.METRICS_UNIT), unit),
    ]
    told = {
        "listen": wanted["listen"],
        "networks": wanted["networks"],
        "log": log,
        "quota": quota_rules(settings),
        "places": [list(place) for place in submission_places(settings)],
    }
    # The running service tells it: so it is seen that what runs is what was declared.
    texts = [file.content for file in [*made, *_modules(STATISTICS_MODULES)]] + [json.dumps(told, sort_keys=True)]
    told["version"] = hashlib.sha256("".join(texts).encode()).hexdigest()[:12]
    return [*made, DesiredFile(paths.METRICS_CONFIG, json.dumps(told, sort_keys=True, indent=1) + "\n")]


def _beside(name: str) -> str:
    return read(os.path.join(os.path.dirname(os.path.abspath(__file__)), name)) or ""


def _modules(names: Sequence[str]) -> List[DesiredFile]:
    source = os.path.dirname(os.path.abspath(mailstack.postfix.__file__))
    package = os.path.join(paths.PROGRAMS, "mailstack")
    found = [DesiredFile(os.path.join(package, "__init__.py"), "")]
    for name in ("__init__", *names):
        text = read(os.path.join(source, f"{name}.py")) or ""
        found.append(DesiredFile(os.path.join(package, "postfix", f"{name}.py"), text))
    return found


def _version(wanted: Sequence[DesiredFile]) -> str:
    return str(json.loads(wanted[-1].content)["version"])


def look(settings: Dict[str, Any], python: str, log: str) -> Dict[str, Any]:
    """Return what differs of the files, whether the service runs, starts at boot, and which version answers."""
    unit = os.path.join(paths.SYSTEM_UNITS, paths.METRICS_UNIT)
    wanted = files(settings, python, log)
    found: Dict[str, Any] = {"installed": os.path.exists(unit) or os.path.exists(paths.METRICS_CONFIG)}
    if wanted:
        found["differences"] = [text for text in map(differs, wanted) if text is not None]
        found["active"] = service_is_active(paths.METRICS_UNIT)
        found["enabled"] = service_is_enabled(paths.METRICS_UNIT)
        found["runs"] = _answer(settings["metrics"]["listen"])
        found["version"] = _version(wanted)
    return found


def steps(facts: Dict[str, Any], settings: Dict[str, Any]) -> List[Step]:
    """Return what is to be done, from ``look``; pure."""
    found = facts["metrics"]
    if not settings.get("metrics"):
        return [_step(f"{paths.METRICS_UNIT} is no longer needed")] if found["installed"] else []
    whats = list(found["differences"])
    if not found["enabled"]:
        whats.append(f"{paths.METRICS_UNIT} does not start at boot")
    if not found["active"]:
        whats.append(f"{paths.METRICS_UNIT} is not running")
    elif found["runs"] != found["version"] and not whats:
        address, port = settings["metrics"]["listen"]
        whats.append(f"metrics at {address} port {port}: {found['runs']}, not version {found['version']}")
    return [_step(what) for what in whats]


def _step(what: str) -> Step:
    return {"kind": "metrics", "what": what}


def activate(settings: Dict[str, Any], python: str, log: str, copies: str) -> None:
    """Write the files, restart the service and prove that it answers; else put the old one back.

    ``copies`` is a directory for what was there. Raises RoleError with the service's last words.
    """
    wanted = files(settings, python, log)
    if not wanted:
        uninstall()
        return
    before = Transaction(copies)
    before.close()  # of a run that was killed: what it left is overwritten now
    was_there = os.path.exists(os.path.join(paths.SYSTEM_UNITS, paths.METRICS_UNIT))
    try:
        for file in wanted:
            before.remember(file.path)
            write(file)
        _restart()
        _wait(settings["metrics"]["listen"], _version(wanted))
    except (RoleError, OSError) as error:
        words = unit_log(paths.METRICS_UNIT)
        before.restore()
        if was_there:
            with contextlib.suppress(RoleError):
                _restart()
        else:
            uninstall()
        raise RoleError("metrics", f"{error}; Postfix runs, the service is as before\n{words}") from None
    finally:
        before.close()


def _restart() -> None:
    systemctl("daemon-reload")
    systemctl("enable", paths.METRICS_UNIT)
    systemctl("restart", paths.METRICS_UNIT)


def _wait(listen: Sequence[Any], version: str) -> None:
    deadline = time.monotonic() + ANSWER_SECONDS
    while True:
        answer = _answer(listen)
        if answer == version:
            return
        if time.monotonic() >= deadline:
            raise RoleError("metrics", f"{listen[0]} port {listen[1]}: {answer}")
        time.sleep(0.2)


def _answer(listen: Sequence[Any]) -> str:
    """Return the version of the service that answers, or why none does."""
    address, port = _reached(listen)
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", "/metrics")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException) as error:
        return f"no answer: {error}"
    finally:
        connection.close()
    name, _, version = response.getheader("Server", "").partition("/")
    return version if name == "mailstack-relay" and response.status == 200 else "another program answers"


def _reached(listen: Sequence[Any]) -> Tuple[str, int]:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen[0], listen[0])  # noqa: S104 - a name to look up
    return address, int(listen[1])


def uninstall() -> List[str]:
    """Take the service away; return what was done."""
    unit = os.path.join(paths.SYSTEM_UNITS, paths.METRICS_UNIT)
    gone = [os.path.join(paths.PROGRAMS, "relay_metrics.py"), paths.METRICS_CONFIG]
    gone += [os.path.join(paths.PROGRAMS, "mailstack/postfix", f"{name}.py") for name in METRICS_MODULES]
    there = [path for path in [unit, *gone] if os.path.exists(path)]
    if not there:
        return []
    run(["systemctl", "disable", "--now", paths.METRICS_UNIT], check=False)
    for path in there:
        os.unlink(path)
    run(["systemctl", "daemon-reload"], check=False)
    return [f"{paths.METRICS_UNIT} removed"]
