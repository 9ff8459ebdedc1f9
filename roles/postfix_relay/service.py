"""Starting, reloading and asking Postfix on the host."""

import os
import time
from typing import Any, Dict, List, Optional, Sequence

from postfix_relay.facts import answer, has_child, holder, master_process
from rolelib.commands import run
from rolelib.files import read
from rolelib.host import RoleError, service_is_active, systemctl

__all__ = [
    "FAULT_WORDS",
    "check_ports_free",
    "log_size",
    "new_faults",
    "reload_or_restart",
    "start",
    "stop",
    "wait_until_it_answers",
]

ANSWER_SECONDS = 20
# After the first answer: a daemon that cannot start is logged by master within this time.
SETTLE_SECONDS = 0.4
FAULT_WORDS = (" fatal: ", " panic: ", "bad command startup")


def check_ports_free(listen: Sequence[Sequence[Any]]) -> None:
    """Raise RoleError where another program listens on an address we want."""
    for address, port in listen:
        by = holder(address, port)
        if by is not None and not by.startswith("master "):
            raise RoleError("check", f"{address} port {port} is taken by {by}: stop it, or choose another listen_port")


def reload_or_restart(restart: bool) -> None:
    """Make the running Postfix read its files. Raises RoleError where systemd or Postfix says no."""
    if restart:
        start("restart")
        return
    result = run(["postfix", "reload"], check=False)
    if not result.ok:
        raise RoleError("service", f"postfix reload failed: {result.err.strip()}")


def start(how: str = "start") -> None:
    """Start or restart the service. Raises RoleError with the unit's last log lines."""
    # Several restarts in a short time are ours, not a crash loop.
    run(["systemctl", "reset-failed", "postfix.service", "postfix@-.service"], check=False)
    systemctl(how, "postfix.service")


def stop() -> None:
    """Stop the service and all its processes."""
    systemctl("stop", "postfix.service")


def log_size(log: str) -> int:
    """Return the size of the relay's log in bytes, 0 where there is none."""
    return os.path.getsize(log) if os.path.exists(log) else 0


def new_faults(log: str, offset: int) -> List[str]:
    """Return the lines since ``offset`` with which Postfix reports that one of its programs does not work."""
    text = (read(log) or "").encode("utf-8", "surrogateescape")
    lines = text[offset if offset <= len(text) else 0 :].decode(errors="replace").splitlines()
    return [line for line in lines if any(word in line for word in FAULT_WORDS)]


def wait_until_it_answers(
    hostname: Optional[str], listen: Sequence[Sequence[Any]], unit: str, log: str, offset: int
) -> None:
    """Return once every address greets with ``hostname`` and answers EHLO, the queue manager runs and no program
    has failed since ``offset`` of the log. ``hostname`` None: any greeting. Raises RoleError after 20 s.
    """
    deadline = time.monotonic() + ANSWER_SECONDS
    expected = f"220 {hostname}" if hostname else "220 "
    while True:
        trouble = _trouble(expected, listen)
        if trouble is None:
            break
        if time.monotonic() >= deadline or (trouble == _NO_MASTER and not service_is_active(unit)):
            faults = new_faults(log, offset)
            raise RoleError("verify", "; ".join([trouble, *faults[-3:]]))
        time.sleep(0.1)
    time.sleep(SETTLE_SECONDS)
    faults = new_faults(log, offset)
    if faults:
        raise RoleError("verify", f"Postfix answers, but: {faults[-1]}")
    if not service_is_active(unit):
        raise RoleError("verify", f"Postfix answers, but systemd does not count {unit} as running")


_NO_MASTER = "no Postfix master process is running"


def _trouble(expected: str, listen: Sequence[Sequence[Any]]) -> Optional[str]:
    master = master_process()
    if master is None:
        return _NO_MASTER
    for address, port in listen:
        greeting = answer(address, port)
        if not (greeting == expected or (expected == "220 " and greeting.startswith("220 "))):
            return f"{address} port {port}: {greeting}, expected {expected}"
    if not has_child(master, "qmgr"):
        return "the queue manager (qmgr) is not running"
    return None


def unit_of(facts: Dict[str, Any]) -> str:
    """Return the unit whose state is that of the processes (Debian 12 and older: the instance)."""
    return str(facts["service"]["unit"])
