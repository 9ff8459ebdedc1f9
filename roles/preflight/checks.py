"""What a host must have. Each check returns what is missing; none of them changes anything."""

import errno
import os
import pwd
import re
import socket
import sys
import threading
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from rolelib.files import read
from rolelib.host import os_release

__all__ = [
    "CONNECT_SECONDS",
    "Listener",
    "Missing",
    "access",
    "disk",
    "holds",
    "limit_files",
    "listening",
    "memory",
    "memory_mb",
    "outbound",
    "ports",
    "supported",
    "system",
    "unit_of",
]

CONNECT_SECONDS = 10
MEGABYTE = 1024 * 1024
GIGABYTE = 1024 * MEGABYTE
# A "1 GB" machine shows about 960 MB: the kernel and the firmware keep the rest.
MEMORY_TOLERANCE = 0.9
OLDEST_PYTHON = (3, 6)
ARCHITECTURES = ("x86_64", "aarch64")


class Missing(NamedTuple):
    """Something a host lacks: what, what was found, what is needed, how to mend it."""

    what: str
    found: str
    needed: str
    fix: str


class Listener(NamedTuple):
    """Who listens: command name, systemd unit and user; "" where it cannot be told."""

    process: str
    unit: str
    user: str


# ID of os-release(5) -> name, oldest VERSION_ID, newest major one where later ones are unknown.
SYSTEMS: Dict[str, Tuple[str, Tuple[int, ...], Optional[int]]] = {
    "debian": ("Debian", (11,), None),
    "ubuntu": ("Ubuntu", (20, 4), None),
    "rocky": ("Rocky Linux", (8,), 10),
    "almalinux": ("AlmaLinux", (8,), 10),
    "rhel": ("Red Hat Enterprise Linux", (8,), 10),
}
SYSTEMS_FOR_PEOPLE = "Debian 11 or later, Ubuntu 20.04 or later, Rocky Linux, AlmaLinux or RHEL 8 to 10"


def supported(release: Dict[str, str]) -> bool:
    """Tell whether os-release values name a system the roles are made for."""
    entry = SYSTEMS.get(release.get("ID", ""))
    digits = re.match(r"(\d+)(?:\.(\d+))?", release.get("VERSION_ID", ""))
    if entry is None or digits is None:
        return False
    version = tuple(int(part) for part in digits.groups() if part)
    return version >= entry[1] and (entry[2] is None or version[0] <= entry[2])


def system(facts: Dict[str, Any]) -> List[Missing]:
    """Check distribution, processor and Python."""
    release = os_release()
    machine = os.uname().machine
    facts["os"] = {
        "id": release.get("ID", ""),
        "version": release.get("VERSION_ID", ""),
        "name": release.get("PRETTY_NAME", ""),
    }
    facts["architecture"] = machine
    facts["kernel"] = os.uname().release
    facts["python"] = ".".join(str(part) for part in sys.version_info[:3])
    missing = []
    if not supported(release):
        name = release.get("PRETTY_NAME") or release.get("ID") or "unknown"
        if not release.get("VERSION_ID"):
            name += " (without a version number)"
        missing.append(Missing("operating system", name, SYSTEMS_FOR_PEOPLE, "install one of these on the host"))
    if machine not in ARCHITECTURES:
        missing.append(Missing("processor", machine, " or ".join(ARCHITECTURES), "use a 64-bit x86 or ARM machine"))
    if sys.version_info[:2] < OLDEST_PYTHON:
        missing.append(Missing("python", facts["python"], "Python 3.6 or later", "install the package python3"))
    return missing


def access(facts: Dict[str, Any], sudo_user: Optional[str], expected_user: Optional[str]) -> List[Missing]:
    """Check that the connection came in as the right user (``sudo_user``; none for root) and reached root."""
    user = sudo_user or "root"
    facts["user"] = user
    missing = []
    if os.geteuid() != 0:
        missing.append(
            Missing(
                "root",
                f"the role runs as user number {os.geteuid()}",
                "root, by sudo without a password",
                f"allow it: echo '{user} ALL=(ALL) NOPASSWD:ALL' > /etc/sudoers.d/mailstack",
            )
        )
    if expected_user and user != expected_user:
        missing.append(
            Missing("user", f"the connection came in as {user}", expected_user, "correct the user in the settings")
        )
    return missing


def memory_mb(meminfo: str, limits: Sequence[Optional[str]]) -> int:
    """Return the memory in MB from /proc/meminfo and control group limits in bytes ("max" or null for none)."""
    total = re.search(r"^MemTotal:\s+(\d+) kB", meminfo, re.MULTILINE)
    sizes = [int(total.group(1)) // 1024 if total else 0]
    sizes += [int(limit) // MEGABYTE for limit in limits if limit and limit.strip().isdigit()]
    return min(sizes)


def limit_files(cgroup: str) -> List[str]:
    """Return the files with the memory limits of a process, from its /proc/PID/cgroup: its group's and those above.

    See cgroups(7): version 2 has one line with an empty list of controllers, version 1 one per hierarchy.
    """
    found = []
    for line in cgroup.splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers == "":
            root, name = "/sys/fs/cgroup", "memory.max"
        elif controllers == "memory":
            root, name = "/sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        parts = [part for part in path.split("/") if part]
        found += ["/".join([root, *parts[:count], name]) for count in range(len(parts) + 1)]
    return found


def memory(facts: Dict[str, Any], minimum_mb: int) -> List[Missing]:
    """Check the size of the memory, or of the share a container has."""
    limits = [read(path) for path in limit_files(read("/proc/self/cgroup") or "")]
    size = memory_mb(read("/proc/meminfo") or "", limits)
    facts["memory_mb"] = size
    if size >= minimum_mb * MEMORY_TOLERANCE:
        return []
    return [Missing("memory", f"{size} MB", f"{minimum_mb} MB", "use a larger machine")]


def disk(facts: Dict[str, Any], minimum_gb: float, path: str = "/var") -> List[Missing]:
    """Check free space and free inodes where the mail queue and the packages go."""
    status = os.statvfs(path)
    free = status.f_bavail * status.f_frsize / GIGABYTE
    facts["disk_free_gb"] = round(free, 1)
    missing = []
    if free < minimum_gb:
        missing.append(
            Missing(
                "disk",
                f"{free:.1f} GB free on {path}",
                f"{minimum_gb:g} GB",
                f"free space (du -xh -d2 {path} | sort -h | tail) or use a larger disk",
            )
        )
    # A queue holds many small files. File systems that make inodes as needed report none at all.
    if status.f_files and status.f_favail * 20 < status.f_files:
        missing.append(
            Missing(
                "inodes",
                f"{status.f_favail} of {status.f_files} free on {path}",
                "a twentieth of them",
                f"find what holds so many small files: du --inodes -x -d2 {path} | sort -n | tail",
            )
        )
    return missing


def ports(wanted: Sequence[Dict[str, Any]]) -> List[Missing]:
    """Check that each port can be bound, or is held by the service it is meant for."""
    missing = []
    for entry in wanted:
        address, port = str(entry["address"]), int(entry["port"])
        protocol = str(entry.get("protocol") or "tcp")
        place = f"port {port}/{protocol} on {address}"
        error = _bind_error(address, port, protocol)
        if error is None:
            continue
        if error.errno == errno.EADDRNOTAVAIL:
            missing.append(
                Missing(
                    place,
                    f"{address} is not an address of this host",
                    "an address the host has",
                    "correct the address in the settings; the host's own are shown by: ip address",
                )
            )
            continue
        if error.errno != errno.EADDRINUSE:
            missing.append(
                Missing(place, f"cannot be used: {error.strerror}", "a port that can be bound", "see the reason")
            )
            continue
        holder = str(entry.get("holder") or "")
        listeners = _listeners(address, port, protocol)
        if holder and listeners and all(holds(listener, holder) for listener in listeners):
            continue
        missing.append(_taken(place, listeners, holder))
    return missing


def _taken(place: str, listeners: Sequence[Listener], holder: str) -> Missing:
    names = sorted({_describe(listener) for listener in listeners})
    units = sorted({listener.unit for listener in listeners if listener.unit})
    stop = f" (systemctl disable --now {' '.join(units)})" if units else ""
    return Missing(
        place,
        f"held by {', '.join(names) or 'a process that cannot be seen'}",
        f"free, or held by {holder}" if holder else "free",
        f"choose another port or address in the settings, or stop what holds it{stop}",
    )


def _describe(listener: Listener) -> str:
    if not listener.process:
        return f"a process of user {listener.user}"
    return f"{listener.process} (unit {listener.unit})" if listener.unit else listener.process


def holds(listener: Listener, holder: str) -> bool:
    """Tell whether ``listener`` is the service ``holder`` (a process name, or a unit with or without suffix).

    Debian runs Postfix as ``postfix@-.service``, so an instance counts as its template.
    """
    unit = re.sub(r"\.(service|socket)$", "", listener.unit)
    wanted = re.sub(r"\.(service|socket)$", "", holder)
    if not listener.process:  # hidden from us: the user a daemon has to itself is named after it
        return wanted == listener.user
    return wanted in (listener.process, unit, unit.split("@")[0])


def _bind_error(address: str, port: int, protocol: str) -> Optional[OSError]:
    """Return why the port cannot be bound, or None. The port is given back at once, nothing listens."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(family, kind) as probe:
            if kind == socket.SOCK_STREAM:
                # Connections of an earlier server that have yet to time out do not count.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind((address, port))
    except OSError as error:
        return error
    return None


def _listeners(address: str, port: int, protocol: str) -> List[Listener]:
    """Return who holds the port on this address or on all addresses."""
    owners: Dict[str, str] = {}
    for table in (f"/proc/net/{protocol}", f"/proc/net/{protocol}6"):
        for local, uid, inode in listening(read(table) or "", protocol):
            if local[1] == port and _clashes(local[0], address):
                owners[inode] = _user_name(uid)
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        held = _sockets(pid) & set(owners)
        for inode in held:
            process = (read(f"/proc/{pid}/comm") or "").strip()
            found.add(Listener(process, unit_of(read(f"/proc/{pid}/cgroup") or ""), owners[inode]))
    # In a container even root may not look into the processes of other users.
    seen = {listener.user for listener in found}
    found.update(Listener("", "", user) for user in owners.values() if user not in seen)
    return sorted(found)


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def listening(table: str, protocol: str) -> List[Tuple[Tuple[str, int], int, str]]:
    """Return ((address, port), user number, inode) of each listening socket in /proc/net/tcp or a sibling."""
    # proc(5): state 0A is LISTEN; an unconnected UDP socket has 07.
    wanted = "0A" if protocol == "tcp" else "07"
    found = []
    for line in table.splitlines()[1:]:
        parts = line.split()
        if len(parts) > 9 and parts[3] == wanted:
            raw, _, port = parts[1].rpartition(":")
            found.append(((_address(raw), int(port, 16)), int(parts[7]), parts[9]))
    return found


def _address(raw: str) -> str:
    """Turn the kernel's spelling (32-bit words in the machine's byte order) into an address."""
    data = b"".join(int(raw[start : start + 8], 16).to_bytes(4, sys.byteorder) for start in range(0, len(raw), 8))
    return socket.inet_ntop(socket.AF_INET6 if len(data) == 16 else socket.AF_INET, data)


def _clashes(held: str, wanted: str) -> bool:
    if held == "::":  # may take IPv4 as well; the table does not tell
        return True
    if held == "0.0.0.0":  # noqa: S104 - compared, not bound
        return ":" not in wanted
    if wanted == "0.0.0.0":  # noqa: S104 - compared, not bound
        return ":" not in held
    if wanted == "::":
        return ":" in held
    return held == wanted


def _sockets(pid: str) -> "set[str]":
    """Return the inodes of a process's sockets; none for one that has gone or belongs to someone else."""
    found = set()
    try:
        for name in os.listdir(f"/proc/{pid}/fd"):
            target = os.readlink(f"/proc/{pid}/fd/{name}")
            if target.startswith("socket:["):
                found.add(target[8:-1])
    except OSError:
        pass
    return found


def unit_of(cgroup: str) -> str:
    """Return the systemd unit in a /proc/PID/cgroup text; "" where there is none."""
    for line in cgroup.splitlines():
        for part in reversed(line.split(":", 2)[-1].split("/")):
            if part.endswith((".service", ".socket", ".scope")):
                return part
    return ""


def outbound(facts: Dict[str, Any], warnings: List[str], wanted: Sequence[Dict[str, Any]]) -> List[Missing]:
    """Check that each upstream resolves and accepts a connection in the address families asked for.

    ``facts["egress"]`` gets, per ``host:port``, the source address of this host in each family.
    """
    results: List[Tuple[List[Missing], Dict[str, str], List[str]]] = [([], {}, []) for _ in wanted]

    def try_one(index: int, entry: Dict[str, Any]) -> None:
        results[index] = _reach(str(entry["host"]), int(entry["port"]), str(entry.get("ip_protocol") or "any"))

    threads = [threading.Thread(target=try_one, args=(index, entry), daemon=True) for index, entry in enumerate(wanted)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    missing: List[Missing] = []
    facts["egress"] = {}
    for index, entry in enumerate(wanted):
        problems, sources, notes = results[index]
        facts["egress"]["{host}:{port}".format(**entry)] = sources
        missing += problems
        warnings += notes
    return missing


FAMILIES = (("ipv4", socket.AF_INET), ("ipv6", socket.AF_INET6))


def _reach(host: str, port: int, ip_protocol: str) -> Tuple[List[Missing], Dict[str, str], List[str]]:
    """Return what is missing, the source address per family, and notes."""
    sources: Dict[str, str] = {}
    failures: List[str] = []
    unresolved = 0
    families = [pair for pair in FAMILIES if ip_protocol in ("any", pair[0])]
    for label, family in families:
        try:
            found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
        except socket.gaierror as error:
            unresolved += 1
            failures.append(f"{label}: no address ({error.strerror})")
            continue
        failure = ""
        for address in [entry[4] for entry in found][:2]:
            source, failure = _connect(family, address)
            if source:
                sources[label] = source
                break
        else:
            failures.append(f"{label}: {failure}")
    notes = []
    if sources:
        notes += [
            f"{host}:{port} is not reachable by {failure}; pin the relay to {'/'.join(sorted(sources))}"
            for failure in failures
            if "no address" not in failure
        ]
        return [], sources, notes
    if unresolved == len(families):
        fix = "check the name, and the resolver in /etc/resolv.conf: getent ahosts " + host
    else:
        fix = (
            "allow outgoing connections to this port in the firewall of the host and of the provider "
            "(many cloud providers block port 25, fewer 587)"
        )
    return [Missing(f"{host}:{port}", "; ".join(failures), "a connection within 10 seconds", fix)], {}, []


def _connect(family: int, address: Any) -> Tuple[str, str]:
    """Return (source address, "") or ("", reason)."""
    try:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(CONNECT_SECONDS)
            connection.connect(address)
            return str(connection.getsockname()[0]), ""
    except socket.timeout:
        return "", f"no answer from {address[0]} within {CONNECT_SECONDS} seconds"
    except OSError as error:
        return "", f"{address[0]}: {error.strerror or error}"
