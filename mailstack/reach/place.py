"""One place where Postfix or Postal runs, and how a role is run there: a host, a container, a pod."""

import json
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from mailstack.reach.bundle import LOADER, Action, command_line, payload
from mailstack.reach.connection import Connection
from mailstack.reach.docker_api import DockerApi, DockerError
from mailstack.reach.kubectl import Kubectl
from mailstack.reach.ssh import run_over_ssh

__all__ = [
    "ContainerPlace",
    "Follower",
    "HostPlace",
    "Place",
    "PlaceError",
    "PodPlace",
    "Report",
    "StoppedError",
    "StoppedPlace",
]

# Follows a log: calls what it is given with each line, and returns when there is no more. Raises RuntimeError.
Follower = Callable[[Callable[[str], None]], None]
SECONDS = 300
FOLLOW_SECONDS = 12 * 3600
# What a role begins the lines of a log with, among those of its progress.
LINE = "| "
# A role's exit code when its check found something to do.
EXIT_CHANGE = 2
SHOWN_LINES = 12
# Docker's streams: eight bytes before each piece, the first says which stream, the last four how long it is.
FRAME = 8
# Linux takes no longer argument than 128 KB (MAX_ARG_STRLEN).
LONGEST_ARGUMENT = 120 * 1024
STDERR = 2
# How the engine answers where there is no such container, or it is stopped, paused or about to start again.
NO_SUCH_CONTAINER, NOT_RUNNING = 404, 409


class PlaceError(RuntimeError):
    """What was asked of a place failed there; the text names the place and carries the reason."""


class StoppedError(PlaceError):
    """The place itself does not run: that was seen, unlike what a place that is out of reach does."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a role told: ``changed`` in words, and its ``facts``."""

    place: str
    changed: tuple[str, ...]
    facts: Mapping[str, Any]


class Place(Protocol):
    """Where something runs. ``name`` is for people: a host, a container or a pod."""

    @property
    def name(self) -> str:
        """Return its name."""

    def run(self, role: str, settings: Mapping[str, Any], action: Action = "apply", seconds: int = SECONDS) -> Report:
        """Run a role there, without secrets. Raises PlaceError, or the error of the way there."""


def _report(place: str, code: int, stdout: str, stderr: str) -> Report:
    lines = stdout.strip().splitlines()
    try:
        summary = json.loads(lines[-1])
        error = summary["error"]
    except (ValueError, LookupError, TypeError):
        tail = "\n".join(stderr.strip().splitlines()[-SHOWN_LINES:])
        raise PlaceError(f"{place}: the command there ended with {code}: {tail or 'nothing was said'}") from None
    if error is not None:
        raise PlaceError(f"{place}: {error['message']}")
    if code not in {0, EXIT_CHANGE}:
        raise PlaceError(f"{place}: the command there ended with {code}")
    return Report(place=place, changed=tuple(summary["changed"]), facts=summary["facts"])


@dataclass(frozen=True, kw_only=True)
class HostPlace:
    """A host, over SSH."""

    name: str
    connection: Connection

    def run(
        self,
        role: str,
        settings: Mapping[str, Any],
        action: Action = "apply",
        seconds: int = SECONDS,
        on_line: Callable[[str], None] = lambda _line: None,
    ) -> Report:
        """Run a role there; ``on_line`` gets each line of its standard error as it comes."""
        done = run_over_ssh(
            self.connection, command_line(action, seconds), payload(role, settings, {}), on_line=on_line
        )
        return _report(self.name, done.code, done.stdout, done.stderr)

    def follow(self, role: str, choice: Mapping[str, Any], on_line: Callable[[str], None]) -> None:
        """Give each line of the log that the role's operation ``log`` finds by ``choice``, until interrupted."""
        self.run(
            role, {"operation": "log", **choice, "follow_seconds": FOLLOW_SECONDS}, "check", FOLLOW_SECONDS + 60,
            on_line=lambda line: on_line(line.removeprefix(LINE)) if line.startswith(LINE) else None,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ContainerPlace:
    """A container of a Docker engine."""

    name: str
    api: DockerApi

    def run(self, role: str, settings: Mapping[str, Any], action: Action = "apply", seconds: int = SECONDS) -> Report:
        """Run a role there.

        What it is told goes as an argument, since an engine behind TLS cannot be told that standard input has ended:
        so no secret may ever be in it.
        """
        told = payload(role, settings, {})
        if len(told) > LONGEST_ARGUMENT:
            raise PlaceError(
                f"{self.name}: {len(told) // 1024} KB are more than a container's engine takes this way "
                f"({LONGEST_ARGUMENT // 1024} KB); send a smaller message, or through Postal"
            )
        script = f'printf %s "$1" | bash -c {shlex.quote(LOADER)} mailstack {action} {seconds}'
        command = ["bash", "-c", script, "mailstack", told]
        try:
            made = self.api.call(
                "POST", f"/containers/{self.name}/exec", {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
            )
        except DockerError as error:
            if error.status in {NO_SUCH_CONTAINER, NOT_RUNNING}:
                raise StoppedError(f"container {self.name} does not run: {error}") from None
            raise
        stream = self.api.call("POST", f"/exec/{made['Id']}/start", {"Detach": False, "Tty": False}, raw=True)
        stdout, stderr = frames(stream)
        code = self.api.call("GET", f"/exec/{made['Id']}/json")["ExitCode"]
        return _report(self.name, int(code or 0), stdout, stderr)

    def log(self, since: float | None, tail: int | None = None) -> list[str]:
        """Return the container's log from ``since`` on, in seconds since 1970; at most the last ``tail`` lines."""
        first = "0" if since is None else str(int(since))
        last = "all" if tail is None else str(tail)
        place = f"/containers/{self.name}/logs"
        stdout, stderr = frames(self.api.call("GET", place, raw=True, stdout="1", stderr="1", since=first, tail=last))
        return [*stdout.splitlines(), *stderr.splitlines()]

    def follow(self, since: float, on_line: Callable[[str], None]) -> None:
        """Give each line from ``since`` on as it comes, until the container ends or the caller is interrupted."""
        query = {"stdout": "1", "stderr": "1", "follow": "1", "since": str(int(since))}
        rest = b""
        for piece in self.api.stream(f"/containers/{self.name}/logs", **query):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                on_line(line.decode("utf-8", "replace"))


def frames(stream: bytes) -> tuple[str, str]:
    """Return standard output and standard error of what an engine sends without a terminal."""
    found: dict[int, list[bytes]] = {}
    at = 0
    while at + FRAME <= len(stream):
        kind, size = stream[at], int.from_bytes(stream[at + 4 : at + FRAME], "big")
        found.setdefault(kind, []).append(stream[at + FRAME : at + FRAME + size])
        at += FRAME + size
    stderr = b"".join(found.pop(STDERR, []))
    return b"".join(piece for pieces in found.values() for piece in pieces).decode("utf-8", "replace"), stderr.decode(
        "utf-8", "replace"
    )


@dataclass(frozen=True, kw_only=True)
class StoppedPlace:
    """A place that is known and does not run; ``why`` in the words of who knows."""

    name: str
    why: str

    def run(self, *_asked: object, **_options: object) -> Report:
        """Raise StoppedError, whatever is asked."""
        raise StoppedError(f"{self.name} does not run: {self.why}")


@dataclass(frozen=True, kw_only=True)
class PodPlace:
    """A container of a pod, by kubectl."""

    name: str
    kubectl: Kubectl
    namespace: str
    container: str

    def run(self, role: str, settings: Mapping[str, Any], action: Action = "apply", seconds: int = SECONDS) -> Report:
        """Run a role there."""
        command = ("bash", "-c", LOADER, "mailstack", action, str(seconds))
        done = self.kubectl.finish(
            "exec", "--stdin", *self._where, "--", *command,
            stdin=payload(role, settings, {}), seconds=seconds + 30,
        )  # fmt: skip
        return _report(self.name, done.returncode, done.stdout, done.stderr)

    def execute(self, *command: str, stdin: str = "", seconds: float = SECONDS) -> str:
        """Run a program there and return what it prints. Raises KubectlError."""
        return self.kubectl.run("exec", "--stdin", *self._where, "--", *command, stdin=stdin, seconds=seconds)

    def log(self, since: float | None, tail: int | None = None) -> list[str]:
        """Return the pod's log from ``since`` on, in seconds since 1970; at most the last ``tail`` lines."""
        return self.kubectl.run("logs", *self._log_options(since, tail)).splitlines()

    def follow(self, since: float | None, on_line: Callable[[str], None], *, tail: int | None = None) -> None:
        """Give what ``log`` tells, then each line as it comes, until the pod ends or the caller is interrupted."""
        for line in self.kubectl.lines("logs", "--follow", *self._log_options(since, tail)):
            on_line(line)

    @property
    def _where(self) -> tuple[str, ...]:
        container = (f"--container={self.container}",) if self.container else ()
        return (f"--namespace={self.namespace}", self.name, *container)

    def _log_options(self, since: float | None, tail: int | None) -> tuple[str, ...]:
        options = [*self._where]
        if since is not None:
            options.append(f"--since-time={datetime.fromtimestamp(since, UTC):%Y-%m-%dT%H:%M:%SZ}")
        if tail is not None:
            options.append(f"--tail={tail}")
        return tuple(options)
