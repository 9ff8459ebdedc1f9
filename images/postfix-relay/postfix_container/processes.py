"""What runs and who is connected, from /proc: looking leaves no line in any log."""

import os
from collections.abc import Iterator
from pathlib import Path

from postfix_container import paths

__all__ = ["children", "held", "listeners", "master", "queued", "sessions", "waiting"]

ESTABLISHED = "01"
# What is being accepted or sent; deferred mail waits in its own directory and is not in hand.
IN_HAND = ("maildrop", "incoming", "active")


def master() -> int | None:
    """Return the process id of Postfix's master, None where none runs."""
    try:
        pid = int(paths.PID.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return None
    return pid if name == "master" else None


def children(parent: int) -> Iterator[str]:
    """Yield the program names of a process's children."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                # "pid (name) state parent ...", see proc(5)
                name, _, rest = (entry / "stat").read_text().partition("(")[2].rpartition(")")
            except OSError:  # it has ended meanwhile
                continue
            if rest.split()[1] == str(parent):
                yield name


def listeners() -> list[int]:
    """Return the ports that master.cf listens on, without those that start with TLS."""
    found, wrapped = [], False
    for line in reversed((paths.CONFIGURATION / "master.cf").read_text().splitlines()):
        if line.startswith(" "):
            wrapped = wrapped or line.strip() == "-o smtpd_tls_wrappermode=yes"
            continue
        fields = line.split()
        if len(fields) > 1 and fields[1] == "inet" and not line.startswith("#") and not wrapped:
            found.append(int(fields[0].rpartition(":")[2]))
        wrapped = False
    return sorted(set(found))


def sessions(ports: list[int]) -> int:
    """Return how many clients are connected."""
    count = 0
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else ():
            fields = line.split()
            count += fields[3] == ESTABLISHED and int(fields[1].rpartition(":")[2], 16) in ports
    return count


def waiting() -> int:
    """Return how many messages are in hand: accepted, and neither delivered nor put off."""
    return _messages(*IN_HAND)


def queued() -> int:
    """Return how many messages wait for their delivery, those that were put off too."""
    return _messages(*IN_HAND, "deferred")


def held() -> int:
    """Return how many messages somebody has put on hold; no delivery is tried until they are released by hand."""
    return _messages("hold")


def _messages(*queues: str) -> int:
    return sum(len(files) for name in queues for _, _, files in os.walk(paths.QUEUE / name))
