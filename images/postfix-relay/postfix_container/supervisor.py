"""The container's main process: starts Postfix, passes its log on, and ends it in an orderly way.

Asked to stop (SIGTERM, SIGINT), it refuses new mail and lets what is in hand be finished. The rest it leaves in the
queue, whose volume the next container goes on with, or hands it to siblings where the settings say so. Towards the
upstream the queue is never flushed: what was put off would be tried all at once.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import BinaryIO

from mailstack.postfix.files import backdate
from postfix_container import hand_over, paths
from postfix_container.configuration import Configuration
from postfix_container.log_pipe import log_pipe
from postfix_container.logs import fault, formatted
from postfix_container.networks import own_addresses
from postfix_container.processes import held, listeners, master, queued, sessions, waiting

__all__ = ["Supervisor"]

TICK_SECONDS = 0.1
# Of the grace, for Postfix to end once it is told to: it lets deliveries come to their next step.
RESERVE_SECONDS = 6.0
REFUSAL = "421 4.3.2 this relay is shutting down, try again"
REFUSING = (
    "postconf",
    "-e",
    "smtpd_delay_reject = no",
    f"smtpd_client_restrictions = check_client_access static:{{{REFUSAL}}}",
)
# While siblings are asked again and again; the upstream is not.
FLUSH_SECONDS = 5.0


class Supervisor:
    """Runs Postfix with one configuration until it ends or is to end."""

    def __init__(self, configuration: Configuration) -> None:
        """Start nothing yet."""
        self._configuration = configuration
        self._stop_at: float | None = None
        self._ended: int | None = None

    def run(self) -> int:
        """Return the exit code: 0 when it was asked to stop, 1 when Postfix ended by itself."""
        postfix, reader = self._start()
        while self._stop_at is None and self._alive(postfix.pid):
            time.sleep(TICK_SECONDS)
        if self._stop_at is None:
            reader.join(timeout=1.0)
            self._say("Postfix has ended by itself")
            return 1
        self._drain(self._stop_at, postfix.pid)
        reader.join(timeout=1.0)
        return 0

    def drain(self) -> int:
        """Hand the queue to siblings, within the grace. Return 0 when nothing is left, 1 otherwise."""
        self._postfix(*REFUSING)
        # Nothing may go to the upstream from here: what was put off would be tried at once.
        self._point_at(())
        self._backdate()
        postfix, reader = self._start()
        paths.DRAINING.touch()
        stop_at = time.monotonic() + self._configuration.grace_seconds
        while self._alive(postfix.pid) and master() is None and time.monotonic() < stop_at:
            time.sleep(TICK_SECONDS)
        self._flush_until(stop_at - self._reserve(), postfix.pid)
        self._end(stop_at, postfix.pid)
        reader.join(timeout=1.0)
        return 1 if queued() or held() else 0

    def _start(self) -> "tuple[subprocess.Popen[bytes], threading.Thread]":
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked_to_stop)
        paths.FAULTS.parent.mkdir(parents=True, exist_ok=True)
        for mark in (paths.DRAINING, paths.FAULTS):
            mark.unlink(missing_ok=True)
        from postfix_container.metrics import start_metrics  # noqa: PLC0415 - the probe needs no HTTP server

        count = start_metrics(self._configuration.settings, self._configuration.metrics_port, self._say)
        told, telling = log_pipe()
        try:
            # A session of its own: a terminal's Ctrl+C is for this process alone, which then stops Postfix in order.
            postfix = subprocess.Popen(
                ["postfix", "start-fg"],
                stdin=subprocess.DEVNULL,
                stdout=telling,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(telling)
        reader = threading.Thread(target=self._pass_on, args=(os.fdopen(told, "rb"), count), daemon=True)
        reader.start()
        return postfix, reader

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

    def _pass_on(self, told: BinaryIO, count: Callable[[str], None]) -> None:
        for raw in told:
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
        self._postfix(*REFUSING)
        self._reload()
        asked = self._configuration.hand_over
        hands_over = asked is not None and not asked.keeps
        deadline = stop_at - self._reserve()
        begun = time.monotonic()
        first = begun + (deadline - begun) / 2 if hands_over else deadline
        # A client may keep a connection open and say nothing: it gets half of the time.
        idle_deadline = begun + (first - begun) / 2
        while self._alive(pid) and time.monotonic() < first:
            if not waiting() and (not sessions(ports) or time.monotonic() >= idle_deadline):
                break
            time.sleep(TICK_SECONDS)
        if hands_over and queued():
            self._say(f"stopping: {queued()} messages go to siblings")
            self._flush_until(deadline, pid)
        self._end(stop_at, pid)

    def _point_at(self, next_hops: Sequence[str]) -> None:
        own_name = f"{socket.gethostname().partition('.')[0]}.{self._configuration.settings['hostname']}"
        for command in hand_over.commands(next_hops, own_name):
            self._postfix(*command)

    def _reserve(self) -> float:
        return min(RESERVE_SECONDS, self._configuration.grace_seconds / 2)

    def _reload(self) -> None:
        self._backdate()
        self._postfix("postfix", "reload")

    def _backdate(self) -> None:
        for name in ("main.cf", "master.cf"):
            backdate(str(paths.CONFIGURATION / name))

    def _flush_until(self, deadline: float, pid: int) -> None:
        """Hand what is queued to siblings, until they have all or ``deadline``; they may come and go meanwhile."""
        asked, next_time = self._configuration.hand_over, 0.0
        known: frozenset[str] = frozenset()
        while asked is not None and self._alive(pid) and queued() and time.monotonic() < deadline:
            if time.monotonic() >= next_time and not (known and waiting()):
                found = hand_over.siblings(asked, own_addresses())
                if found and known != frozenset(found):
                    self._point_at(found)
                    self._reload()
                    known = frozenset(found)
                if known:
                    self._postfix("postqueue", "-f")
                next_time = time.monotonic() + FLUSH_SECONDS
            time.sleep(TICK_SECONDS)

    def _end(self, stop_at: float, pid: int) -> None:
        """Stop Postfix, at the latest at ``stop_at``."""
        self._say(f"stopping: {queued() + held()} messages stay in the queue")
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
