"""Where SSH can be reached: every port that has to stay open whatever the settings say."""

import os
import re
from typing import List, Optional, Set

from rolelib.commands import run
from rolelib.files import read

__all__ = ["connection", "listening_ports", "ports", "socket_ports"]

SOCKETS = ("ssh.socket", "sshd.socket")


def listening_ports(ss_output: str) -> Set[int]:
    """Return the ports sshd listens on, from ``ss -Htlnp``.

    Loopback is left out: there sshd also listens for forwarded X11 and ports of its users.
    """
    found = set()
    for line in ss_output.splitlines():
        fields = line.split()
        if len(fields) < 5 or '("sshd"' not in line:
            continue
        address, _, port = fields[3].rpartition(":")
        if port.isdigit() and not address.startswith("127.") and address != "[::1]":
            found.add(int(port))
    return found


def socket_ports(show_output: str) -> Set[int]:
    """Return the ports systemd listens on for sshd (Ubuntu 22.10 and later), from ``systemctl show -p Listen``."""
    return {int(port) for port in re.findall(r"^Listen=(?:\S*:)?(\d+) \(Stream\)", show_output, re.MULTILINE)}


def connection() -> str:
    """Return SSH_CONNECTION of the login this role runs in ("client port server port"), empty on a console.

    sudo drops the variable, so the processes above this one are asked.
    """
    pid = os.getpid()
    while pid > 1:
        found = _variable(pid)
        if found:
            return found
        parent = re.search(r"^PPid:\s+(\d+)", read(f"/proc/{pid}/status") or "", re.MULTILINE)
        pid = int(parent.group(1)) if parent else 0
    return ""


def _variable(pid: int) -> Optional[str]:
    for entry in (read(f"/proc/{pid}/environ") or "").split("\0"):
        if entry.startswith("SSH_CONNECTION="):
            return entry.split("=", maxsplit=1)[1]
    return None


def ports(declared: List[int]) -> List[int]:
    """Return the declared ports, those sshd listens on, those it is configured for, and the one in use now."""
    found = set(declared)
    found |= listening_ports(run(["ss", "-Htlnp"], check=False).out)
    for socket in SOCKETS:
        if run(["systemctl", "is-active", "--quiet", socket], check=False).ok:
            found |= socket_ports(run(["systemctl", "show", "-p", "Listen", socket], check=False).out)
    configured = run(["sshd", "-T"], check=False).out
    found |= {int(port) for port in re.findall(r"^port (\d+)$", configured, re.MULTILINE)}
    fields = connection().split()
    if len(fields) == 4 and fields[3].isdigit():
        found.add(int(fields[3]))
    return sorted(found)
