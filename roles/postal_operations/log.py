"""The log of Postal's containers: the last lines, and on wish what comes after them."""

import subprocess
import sys
import threading
import time
from typing import Any, List, Optional

from mailstack.postal.compose import PROJECT
from rolelib.commands import run
from rolelib.containers import containers
from rolelib.host import RoleError
from rolelib.protocol import Plan, Role

__all__ = ["search"]

# As role relay_operations marks them: a line of the log, and the question whether anybody still listens.
LINE, ALIVE = "| ", "~"
ALIVE_SECONDS = 5.0
DEFAULT_LIMIT = 200


def search(role: Role) -> Plan:
    """Tell the last ``limit`` lines of each container of ``process`` (none: all) since ``since`` (seconds since 1970).

    With ``follow_seconds`` they and what comes are written to standard error, for so long.
    """
    settings, process = role.settings, role.settings.get("process")
    found = [each for each in containers(PROJECT) if process in (None, each.service)]
    if not found:
        known = sorted({each.service for each in containers(PROJECT)})
        raise RoleError("log", f"Postal has no process {process!r} here; there are: {', '.join(known) or 'none'}")
    options = ["--tail", str(int(settings.get("limit") or DEFAULT_LIMIT))]
    if settings.get("since") is not None:
        options += ["--since", str(int(settings["since"]))]
    follow = float(settings.get("follow_seconds") or 0)
    if follow:
        _follow(found, options, time.monotonic() + follow)
        return []
    role.facts["lines"] = {}
    for each in found:
        done = run(["docker", "logs", *options, each.id], check=False)
        role.facts["lines"][each.name] = (done.out + done.err).splitlines()
    return []


def _follow(found: List[Any], options: List[str], deadline: float) -> None:
    running = [
        (each.name, subprocess.Popen(["docker", "logs", "--follow", *options, each.id], stdout=subprocess.PIPE,
                                     stderr=subprocess.STDOUT))
        for each in found
    ]  # fmt: skip
    for name, process in running:
        threading.Thread(target=_tell, args=(name, process.stdout), daemon=True).start()
    try:
        while time.monotonic() < deadline and any(process.poll() is None for _, process in running):
            time.sleep(ALIVE_SECONDS)
            _send(ALIVE)
    finally:
        for _, process in running:
            process.kill()
            process.wait()


def _tell(name: str, stream: Optional[Any]) -> None:
    for line in stream or ():
        _send(f"{LINE}{name}  {line.decode('utf-8', 'replace').rstrip()}")


def _send(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
