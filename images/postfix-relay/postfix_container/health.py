"""The probe: is every part there that mail needs? It leaves no line in the log."""

import socket
import time

from postfix_container import paths
from postfix_container.logs import PROBE_ADDRESS
from postfix_container.processes import children, listeners, master

__all__ = ["dead", "trouble"]

TIMEOUT_SECONDS = 5.0
# What runs all the time; the others, the log daemon too, end when they are idle and are started when needed, and the
# log tells when that fails.
ALWAYS = ("qmgr",)
# For so long master does not try again to start what failed, see throttle_time in postconf(5).
FAULT_SECONDS = 60


def trouble() -> str | None:
    """Return what is wrong, None for a relay that accepts mail."""
    if paths.DRAINING.exists():
        return "it is shutting down"
    ended = dead()
    if ended is not None:
        return ended
    if paths.FAULTS.exists() and time.time() - paths.FAULTS.stat().st_mtime < FAULT_SECONDS:
        return paths.FAULTS.read_text(encoding="utf-8").strip()
    for port in listeners():
        answer = _greeting(port)
        if not answer.startswith("220 "):
            return f"port {port}: {answer}"
    return None


def dead() -> str | None:
    """Return what only a new start mends, None otherwise. Load, and what a daemon complains about, do not count."""
    running = master()
    if running is None:
        return "Postfix does not run"
    names = set(children(running))
    missing = [name for name in ALWAYS if name not in names]
    return f"not running: {', '.join(missing)}" if missing else None


def _greeting(port: int) -> str:
    try:
        with socket.create_connection(
            ("127.0.0.1", port), timeout=TIMEOUT_SECONDS, source_address=(PROBE_ADDRESS, 0)
        ) as connection:
            stream = connection.makefile("rwb")
            greeting = stream.readline(1000).decode(errors="replace").strip()
            stream.write(b"QUIT\r\n")
            stream.flush()
            stream.readline(1000)
    except OSError as error:
        return f"no answer: {error}"
    return greeting or "no greeting"
