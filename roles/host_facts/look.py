"""Single looks at a host. Each returns None for what this host cannot tell."""

import hashlib
import os
import re
import shutil
import ssl
import time
from typing import Dict, Optional, Tuple

from preflight.ready import clock_answer
from rolelib.commands import CommandError, run
from rolelib.files import read

__all__ = [
    "certificate",
    "clock",
    "disks",
    "memory",
    "newest",
    "password_login",
    "reboot_required",
    "system",
    "updates",
]

FIRST = re.compile("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
# Where mail, databases and logs grow; those on one file system count once.
PLACES = ("/", "/var", "/var/lib/docker", "/opt")
REBOOT_FLAG = "/var/run/reboot-required"
COMMAND_SECONDS = 25
# dnf: there are updates.
UPDATES_THERE = 100


def certificate(path: str) -> Dict[str, str]:
    """Return path and fingerprint of the first certificate in a PEM file, or path and error."""
    try:
        found = FIRST.search(read(path) or "")
        if found is None:
            return {"path": path, "error": "no certificate in it" if os.path.exists(path) else "no such file"}
        der = ssl.PEM_cert_to_DER_cert(found.group(0))
    except (OSError, ValueError) as error:
        return {"path": path, "error": str(error)}
    return {"path": path, "sha256": hashlib.sha256(der).hexdigest()}


def clock() -> Optional[bool]:
    """Tell whether the clock is synchronised."""
    return clock_answer(
        _out("timedatectl", "show", "-p", "NTPSynchronized") or _out("timedatectl"),
        _out("chronyc", "-n", "tracking"),
        _out("ntpq", "-c", "rv"),
    )


def disks(more: Optional[str]) -> Dict[str, float]:
    """Return the free part of each file system that grows, by the first place that is on it."""
    found, seen = {}, set()
    for place in PLACES + ((more,) if more else ()):
        try:
            device, usage = os.stat(place).st_dev, shutil.disk_usage(place)
        except OSError:
            continue
        if device not in seen and usage.total:
            seen.add(device)
            found[place] = usage.free / usage.total
    return found


def memory() -> Optional[float]:
    """Return the available part of the memory, as the kernel estimates it."""
    values = dict(re.findall(r"^(MemTotal|MemAvailable):\s+(\d+) kB", read("/proc/meminfo") or "", re.MULTILINE))
    return int(values["MemAvailable"]) / int(values["MemTotal"]) if len(values) == 2 else None


def newest(folder: str) -> Optional[float]:
    """Return the age of the newest file in a folder, in seconds."""
    try:
        times = [entry.stat().st_mtime for entry in os.scandir(folder) if entry.is_file()]
    except OSError:
        return None
    return max(0.0, time.time() - max(times)) if times else None


def reboot_required() -> Optional[bool]:
    """Tell whether updates wait for a reboot: the flag of Debian and Ubuntu, else needs-restarting of dnf."""
    if shutil.which("apt-get"):
        return os.path.exists(REBOOT_FLAG)
    answer = run(["needs-restarting", "-r"], check=False, timeout=COMMAND_SECONDS)
    return bool(answer.code) if answer.code in (0, 1) else None


def system() -> Optional[str]:
    """Return the distribution with its version, as it calls itself."""
    found = re.search('^PRETTY_NAME="?([^"\n]+)', read("/etc/os-release") or "", re.MULTILINE)
    return found.group(1) if found else None


def updates() -> Tuple[Optional[int], Optional[int]]:
    """Return how many packages have updates, and how many of those are for security."""
    try:
        if shutil.which("apt-get"):
            answer = run(["apt-get", "-s", "-o", "Debug::NoLocking=true", "upgrade"], timeout=COMMAND_SECONDS)
            return apt_updates(answer.out)
        if shutil.which("dnf"):
            every = run(["dnf", "-q", "-C", "check-update"], check=False, timeout=COMMAND_SECONDS)
            holes = run(["dnf", "-q", "-C", "check-update", "--security"], check=False, timeout=COMMAND_SECONDS)
            if {every.code, holes.code} <= {0, UPDATES_THERE}:
                return dnf_updates(every.out), dnf_updates(holes.out)
    except CommandError:
        pass  # too slow, or locked: then it is not known
    return None, None


def apt_updates(text: str) -> Tuple[int, int]:
    """Count the lines ``Inst package [old] (new origin...)`` of a simulated upgrade."""
    lines = [line for line in text.splitlines() if line.startswith("Inst ")]
    return len(lines), sum(1 for line in lines if re.search("-security|Debian-Security", line))


def dnf_updates(text: str) -> int:
    """Count the lines ``name.arch version repository``; what is obsoleted comes after them."""
    return len(re.findall(r"^\S+\.\S+\s+\S+\s+\S+\s*$", text.partition("Obsoleting Packages")[0], re.MULTILINE))


def password_login() -> Optional[bool]:
    """Tell whether sshd takes passwords, from its own reading of its configuration."""
    sshd = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:" + os.environ.get("PATH", "")) or "sshd"
    answers = dict(re.findall(r"^(\w+) (yes|no)$", _out(sshd, "-T"), re.MULTILINE))
    # Passwords also come in by PAM's questions.
    asked = [answers[name] for name in ("passwordauthentication", "kbdinteractiveauthentication") if name in answers]
    return "yes" in asked if asked else None


def _out(*argv: str) -> str:
    try:
        answer = run(list(argv), check=False, timeout=COMMAND_SECONDS)
    except CommandError:
        return ""
    return answer.out if answer.ok else ""
