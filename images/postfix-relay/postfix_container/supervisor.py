"""The container's main process: starts Postfix, passes its log on, and ends it in an orderly way.

Asked to stop (SIGTERM, SIGINT), it refuses new mail, lets what is in hand be finished, and leaves the rest in the
queue, whose volume the next container goes on with. The queue is never flushed: what was put off would be tried all at
once.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

from mailstack.postfix.files import backdate
from postfix_container import paths
from postfix_container.configuration import Configuration
from postfix_container.logs import fault, formatted
from postfix_container.processes import listeners, sessions, waiting

__all__ = ["Supervisor"]

TICK_SECONDS = 0.1
# Of the grace, for Postfix to end once it is told to: it lets deliveries come to their next step.
RESERVE_SECONDS = 6.0
REFUSAL = "421 4.3.2 this relay is shutting down, try again"


class Supervisor:
    """Runs Postfix with one configuration until it ends or is to end."""

    def __init__(self, configuration: Configuration) -> None:
        """Start nothing yet."""
        self._configuration = configuration
        self._stop_at: float | None = None
        self._ended: int | None = None

    def run(self) -> int:
        """Return the exit code: 0 when it was asked to stop, 1 when Postfix ended by itself."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        paths.FAULTS.parent.mkdir(parents=True, exist_ok=True)
        for mark in (paths.DRAINING, paths.FAULTS):
            mark.unlink(missing_ok=True)
        from postfix_container.metrics import start_metrics  # noqa: PLC0415 - the probe needs no HTTP server

        count = start_metrics(self._configuration.settings, self._configuration.metrics_port, self._say)
        # A session of its own: a terminal's Ctrl+C is for this process alone, which then stops Postfix in order.
        postfix = subprocess.Popen(
            ["postfix", "start-fg"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        reader = threading.Thread(target=self._pass_on, args=(postfix, count), daemon=True)
        reader.start()
        while self._stop_at is None and self._alive(postfix.pid):
            time.sleep(TICK_SECONDS)
        if self._stop_at is None:
            reader.join(timeout=1.0)
            self._say("Postfix has ended by itself")
            return 1
        self._drain(self._stop_at, postfix.pid)
        reader.join(timeout=1.0)
        return 0

    def _asked_to_stop(self, _number: int, _frame: object) -> None:
        if self._stop_at is None:
            self._stop_at = time.monotonic() + self._configuration.grace_seconds

    def _alive(self, pid: int) -> bool:
        """Tell whether Postfix runs, and reap whatever ended: this is process 1, orphans are its children."""
        while self._ended is None:
            try:
                ended, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                self._ended = -1
                break
            if ended == 0:
                return True
            if ended == pid:
                self._ended = os.waitstatus_to_exitcode(status)
        return False

    def _pass_on(self, postfix: "subprocess.Popen[bytes]", count: Callable[[str], None]) -> None:
        assert postfix.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
        for raw in postfix.stdout:
            line = raw.decode(errors="replace").rstrip("\n")
            count(line)
            found = fault(line)
            if found is not None:
                paths.FAULTS.write_text(f"{found}\n", encoding="utf-8")
            shown = formatted(line, self._configuration.log_format)
            if shown is not None:
                self._write(shown)

    def _say(self, text: str) -> None:
        stamp, name = time.strftime("%b %e %H:%M:%S"), str(self._configuration.settings["hostname"]).partition(".")[0]
        shown = formatted(f"{stamp} {name} postfix-relay[{os.getpid()}]: {text}", self._configuration.log_format)
        self._write(shown or text)

    def _write(self, line: str) -> None:
        # Nobody may read any more; mail goes on.
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.write(f"{line}\n")
            sys.stdout.flush()

    def _drain(self, stop_at: float, pid: int) -> None:
        paths.DRAINING.touch()
        ports = listeners()
        self._say(f"stopping: no new mail; {waiting()} messages in hand")
        refusing = ("smtpd_delay_reject = no", f"smtpd_client_restrictions = check_client_access static:{{{REFUSAL}}}")
        self._postfix("postconf", "-e", *refusing)
        backdate(str(paths.CONFIGURATION / "main.cf"))
        self._postfix("postfix", "reload")
        deadline = stop_at - min(RESERVE_SECONDS, self._configuration.grace_seconds / 2)
        # A client may keep a connection open and say nothing: it gets half of the time.
        idle_deadline = time.monotonic() + (deadline - time.monotonic()) / 2
        while self._alive(pid) and time.monotonic() < deadline:
            if not waiting() and (not sessions(ports) or time.monotonic() >= idle_deadline):
                break
            time.sleep(TICK_SECONDS)
        self._say(f"stopping: {waiting()} messages in hand stay in the queue")
        self._postfix("postfix", "stop")
        while self._alive(pid) and time.monotonic() < stop_at:
            time.sleep(TICK_SECONDS)
        if self._alive(pid):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)

    def _postfix(self, *command: str) -> None:
        """Run a command to its end; where it fails, its words go where the log goes."""
        started = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
        )
        assert started.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
        words = started.stdout.read().decode(errors="replace").strip()
        if started.wait() != 0 and words:
            self._say(f"{command[0]}: {words}")
