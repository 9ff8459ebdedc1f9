"""Daemons with a log file each, and what to say of one that ends too early."""

import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from rehearsal.ground.state import process_start
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.waiting import wait_for

__all__ = ["Daemons", "kill"]

END_SECONDS = 20.0
"""Seconds a killed process may take to be gone: its mounts and namespaces are taken down first."""

# A cluster talks to nobody outside; a proxy that the machine uses would only be asked for addresses it cannot reach.
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")


class Daemons:
    """Starts the daemons of one cluster; each writes ``NAME.log`` in ``logs``."""

    def __init__(self, logs: Path) -> None:
        """Nothing is started yet."""
        self._logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: Sequence[str | Path], *, path: str = "") -> tuple[int, str]:
        """Start a daemon in a session of its own; return its process id and start time (``process_start``).

        ``path`` stands before the machine's PATH.
        """
        environment = {key: value for key, value in os.environ.items() if key not in PROXIES}
        environment["PATH"] = ":".join(filter(None, (path, os.environ.get("PATH", ""), "/usr/sbin", "/sbin")))
        with (self._logs / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                start_new_session=True,
                cwd="/",
            )
        self._running[name] = process
        return process.pid, process_start(process.pid) or ""

    def wait_until(self, ask: Callable[[], bool], what: str, seconds: float) -> None:
        """Return once ``ask`` is true. Raises ``KubernetesError`` when time is up or a daemon has ended."""

        def answer() -> bool:
            ended = [name for name, process in self._running.items() if process.poll() is not None]
            if ended:
                raise KubernetesError(f"{ended[0]} ended while waiting for {what}. It said:\n{self.tail(ended[0])}")
            return ask()

        if not wait_for(answer, seconds, pause=0.15):
            tails = "\n".join(f"{name}: {self.tail(name, 2)}" for name in self._running)
            raise KubernetesError(f"No {what} after {seconds:.0f} s. Last words of each daemon:\n{tails}")

    def tail(self, name: str, lines: int = 12) -> str:
        """Return the end of a daemon's log."""
        text = (self._logs / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def reap(self) -> None:
        """Wait for daemons that were killed, so that none stays as a zombie of this process."""
        for process in self._running.values():
            process.wait(timeout=END_SECONDS)
        self._running.clear()


def kill(processes: Sequence[tuple[int, str]]) -> None:
    """Kill processes, each known by id and start time, and wait until they are gone.

    Raises ``KubernetesError`` where one is still there after :data:`END_SECONDS`.
    """

    def alive() -> list[int]:
        return [pid for pid, started in processes if process_start(pid) == started]

    for pid in alive():
        os.kill(pid, signal.SIGKILL)
    if not wait_for(lambda: not alive(), END_SECONDS):
        raise KubernetesError(
            f"Killed, but still there: processes {alive()}. Fix: see what they wait for (ps -o wchan)."
        )
