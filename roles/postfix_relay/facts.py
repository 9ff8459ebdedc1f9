"""What the host is like now. Reading it changes nothing and takes four short commands."""

import glob
import grp
import hashlib
import json
import os
import pwd
import shutil
import socket
import stat
import sys
import tempfile
from typing import Any, Dict, List, Optional, Sequence, Tuple

from mailstack.postfix.files import backdate, parameters_of
from mailstack.postfix.platforms import Platform, PlatformError, platform_of
from postfix_relay import monitoring, paths
from postfix_relay.submission import PACKAGES, is_active
from rolelib.commands import run
from rolelib.files import read
from rolelib.host import RoleError, installed_packages, os_release

__all__ = [
    "PROBE_SECONDS",
    "answer",
    "answers",
    "gather",
    "has_child",
    "holder",
    "host_platform",
    "master_process",
    "queue_counts",
]

Facts = Dict[str, Any]

UNITS = ("postfix.service", "postfix@-.service", paths.LOG_TIMER)
QUEUES = ("maildrop", "incoming", "active", "deferred", "hold")
DEFAULT_QUEUE = "/var/spool/postfix"
# Ports SELinux knows as mail ports; those from 1024 up Postfix may use anyway.
LABELLED_PORTS = (25, 465, 587)
PROBE_SECONDS = 5.0
LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp


def host_platform() -> Platform:
    """Return the table row of this host. Raises RoleError where there is none."""
    try:
        return platform_of(os_release())
    except PlatformError as error:
        raise RoleError("facts", str(error)) from None


def gather(settings: Dict[str, Any], state: str) -> Facts:
    """Return the facts as JSON can hold them. ``state`` is the role's directory."""
    platform = host_platform()
    names = platform.packages + platform.sasl_packages + platform.competitors + (PACKAGES[platform.family],)
    packages = installed_packages(names)
    units = _units()
    daemon = "postfix@-.service" if units["postfix@-.service"]["LoadState"] == "loaded" else "postfix.service"
    recorded = json.loads(read(os.path.join(state, "applied.json")) or "{}")
    facts: Facts = {
        "family": platform.family,
        "packages": packages,
        "postfix": _postfix() if "postfix" in packages else None,
        "service": {
            "unit": daemon,
            "active": units[daemon]["ActiveState"] == "active" and units["postfix.service"]["ActiveState"] == "active",
            "enabled": units["postfix.service"]["UnitFileState"] in ("enabled", "enabled-runtime", "static"),
            "masked": units["postfix.service"]["LoadState"] == "masked",
        },
        "log_timer": units[paths.LOG_TIMER]["ActiveState"] == "active",
        "files": {path: _file(path) for path in _managed_now(recorded)},
        "log_directory": _directory(os.path.dirname(platform.log_file)),
        "recorded": recorded.get("files", {}),
        "recorded_hostname": recorded.get("hostname"),
        "master_started": _master_started(),
        "queue_manager": _queue_manager_runs(),
        "pending": os.path.exists(os.path.join(state, "pending.json")),
        "answers": answers(settings["listen"]),
        "python": sys.executable,
        "submission_active": is_active() if settings.get("submission") else None,
    }
    facts["metrics"] = monitoring.look(settings, sys.executable, platform.log_file)
    facts["selinux_ports"] = _unlabelled_ports(settings["listen"])
    return facts


def _managed_now(recorded: Dict[str, Any]) -> List[str]:
    found = [paths.MAIN_CF, paths.MASTER_CF]
    found += [file.path for file in monitoring.tools(sys.executable)]
    found += [os.path.join(paths.SYSTEM_UNITS, name) for name in (paths.LOG_SERVICE, paths.LOG_TIMER)]
    found += paths.LOG_DROP_INS
    found += glob.glob(os.path.join(paths.MAPS_DIRECTORY, "*")) + glob.glob(os.path.join(paths.AUTH_DIRECTORY, "*"))
    return sorted(set(found) | set(recorded.get("files", {})))


def _file(path: str) -> Optional[Dict[str, Any]]:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            return {"sha256": None, "mode": 0, "owner": "", "ctime": 0.0, "text": None}
        with open(path, "rb") as handle:
            content = handle.read()
    except OSError:
        return None
    return {
        "sha256": hashlib.sha256(content).hexdigest(),
        "mode": stat.S_IMODE(status.st_mode),
        "owner": f"{_user(status.st_uid)}:{_group(status.st_gid)}",
        "ctime": status.st_ctime,
        # For saying what differs. Maps may hold a password, so only these two are kept.
        "text": content.decode(errors="replace") if path in (paths.MAIN_CF, paths.MASTER_CF) else None,
    }


def _directory(path: str) -> Optional[Dict[str, Any]]:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return {"mode": stat.S_IMODE(status.st_mode), "owner": _user(status.st_uid)}


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def _postfix() -> Dict[str, Any]:
    """Ask the installed build. An empty configuration of our own: the host's may be missing or broken."""
    directory = tempfile.mkdtemp(prefix="mailstack-")
    try:
        empty = os.path.join(directory, "main.cf")
        with open(empty, "w"):
            pass
        backdate(empty)
        text = run(["postconf", "-c", directory, "-d"]).out
        supported = run(["postconf", "-c", directory, "-m"]).out.split()
    finally:
        shutil.rmtree(directory)
    return {"defaults": parameters_of(text), "maps": supported}


def _units() -> Dict[str, Dict[str, str]]:
    result = run(["systemctl", "show", "-p", "Id,LoadState,ActiveState,UnitFileState", *UNITS], check=False)
    units = {name: {"LoadState": "", "ActiveState": "", "UnitFileState": ""} for name in UNITS}
    for block in result.out.strip().split("\n\n"):
        properties = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        # A masked unit has no Id of its own; the blocks come in the order asked for.
        units.setdefault(properties.get("Id", ""), {}).update(properties)
    return units


def master_process() -> Optional[int]:
    """Return the process id of the running Postfix master, None where none runs."""
    text = read(os.path.join(DEFAULT_QUEUE, "pid", "master.pid"))
    if text is None or not text.strip().isdigit():
        return None
    pid = int(text)
    return pid if (read(f"/proc/{pid}/comm") or "").strip() == "master" else None


def has_child(parent: int, name: str) -> bool:
    """Tell whether the process ``parent`` has a child whose program is ``name``."""
    for entry in os.listdir("/proc"):
        # "pid (name) state parent ...", see proc(5)
        status = read(f"/proc/{entry}/stat") if entry.isdigit() else None
        if status and f"({name})" in status and status.rpartition(")")[2].split()[1] == str(parent):
            return True
    return False


def _queue_manager_runs() -> bool:
    master = master_process()
    return master is not None and has_child(master, "qmgr")


def _master_started() -> Optional[float]:
    if master_process() is None:
        return None
    return os.stat(os.path.join(DEFAULT_QUEUE, "pid", "master.pid")).st_mtime


def queue_counts() -> Dict[str, int]:
    """Return queue name → number of messages in it, by looking at the files; Postfix need not run."""
    counts = {}
    for queue in QUEUES:
        counts[queue] = sum(len(files) for _, _, files in os.walk(os.path.join(DEFAULT_QUEUE, queue)))
    return counts


def answers(listen: Sequence[Sequence[Any]]) -> Dict[str, str]:
    """Return ``address port`` → first words of the greeting, or why there is none."""
    return {f"{address} {port}": answer(address, port) for address, port in listen}


def answer(address: str, port: int, timeout: float = PROBE_SECONDS) -> str:
    """Return ``220 NAME`` as the server greets, after it has also answered EHLO; else a text without 220."""
    # Nobody connects to the unspecified address; whoever listens there listens on loopback.
    target = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 - a name to look up
    try:
        with socket.create_connection((target, port), timeout=timeout) as connection:
            stream = connection.makefile("rwb")
            greeting = stream.readline(1000).decode(errors="replace").split()
            stream.write(b"EHLO localhost\r\n")
            stream.flush()
            reply = stream.readline(1000)
            while reply[3:4] == b"-":
                reply = stream.readline(1000)
            stream.write(b"QUIT\r\n")
            stream.flush()
            stream.readline(1000)
    except OSError as error:
        return f"no answer: {error.strerror or error}"
    if not reply.startswith(b"250"):
        return f"refused EHLO: {reply.decode(errors='replace').strip()}"
    return " ".join(greeting[:2])


def _unlabelled_ports(listen: Sequence[Sequence[Any]]) -> List[int]:
    """Return the ports that SELinux would not let Postfix listen on."""
    wanted = sorted({port for _, port in listen if port < 1024 and port not in LABELLED_PORTS})
    if not wanted or not os.path.isdir("/sys/fs/selinux"):
        return []
    labelled = ""
    for line in run(["semanage", "port", "-l"], check=False).out.splitlines():
        if line.startswith("smtp_port_t") and " tcp " in line:
            labelled = line.split("tcp", 1)[1]
    return [port for port in wanted if str(port) not in labelled.replace(",", " ").split()]


def holder(address: str, port: int) -> Optional[str]:
    """Return ``name (pid N)`` of the program that listens where we want to, None where nobody does.

    A container may hide whose it is: then ``another program``, or None where it may be Postfix itself.
    """
    inodes = set()
    for table, family in (("/proc/net/tcp", socket.AF_INET), ("/proc/net/tcp6", socket.AF_INET6)):
        for line in (read(table) or "").splitlines()[1:]:
            fields = line.split()
            host, number = _endpoint(fields[1], family)
            if fields[3] == LISTENING and number == port and _overlaps(host, address):
                inodes.add(f"socket:[{fields[9]}]")
    if not inodes:
        return None
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.readlink(link) in inodes:
                pid = link.split("/")[2]
                return "{} (pid {})".format((read(f"/proc/{pid}/comm") or "?").strip(), pid)
        except OSError:  # it has ended meanwhile
            continue
    return None if master_process() is not None else "another program"


def _endpoint(text: str, family: int) -> Tuple[str, int]:
    """Decode ``0100007F:0019``: 32-bit words in host order, then the port."""
    words, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(words[i : i + 8])[::-1] for i in range(0, len(words), 8))
    return socket.inet_ntop(family, raw), int(port, 16)


def _overlaps(first: str, second: str) -> bool:
    anywhere = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound
    return first == second or first in anywhere or second in anywhere
