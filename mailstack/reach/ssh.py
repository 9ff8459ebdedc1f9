"""SSH to a host with the OpenSSH client."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from mailstack.reach.connection import Connection, Jump
from mailstack.reach.ssh_words import MISMATCH, reason

__all__ = ["Finished", "SshError", "begun", "end_all", "run_over_ssh"]

# What OpenSSH exits with when it never got to the remote command, or the connection broke while that ran.
SSH_FAILED = 255
RETRY_SECONDS = 1.0
# The file that is there once a connection came about.
ARRIVED = "arrived"
# The programs that reach somewhere now, each with the command it was given for a host ("" for one that only reads).
RUNNING: dict["subprocess.Popen[str]", str] = {}
# None starts unseen. A signal may come to the thread that starts one, so that has to get in again.
STARTING = threading.RLock()


class SshError(RuntimeError):
    """The host was not reached, or the wrong host answered."""


@dataclass(frozen=True, kw_only=True)
class Finished:
    """Exit code and output of a remote command."""

    code: int
    stdout: str
    stderr: str


def run_over_ssh(
    connection: Connection,
    command: str,
    stdin: str = "",
    *,
    on_line: Callable[[str], None] = lambda _line: None,
) -> Finished:
    """Run ``command`` on the host and return its result; ``on_line`` gets each line of standard error as it comes.

    Raises SshError when the host cannot be reached in ``connection.attempts`` tries, and when the connection breaks:
    what has begun there is never begun a second time.
    """
    with tempfile.TemporaryDirectory(prefix="mailstack-ssh-") as name:
        folder = Path(name)
        config, arrived = _write_config(folder, connection), folder / ARRIVED
        for attempt in range(1, connection.attempts + 1):
            finished = _once(["ssh", "-F", str(config), "target", command], stdin, on_line)
            if finished.code != SSH_FAILED:
                return finished
            if arrived.exists():
                _, _, last = finished.stderr.strip().rpartition("\n")
                raise SshError(
                    f"the connection to {connection.address} broke, and what was begun there goes on: {reason(last)}"
                )
            if attempt == connection.attempts or MISMATCH in finished.stderr:
                break
            time.sleep(RETRY_SECONDS)
    raise SshError(f"{connection.address} was not reached over SSH: {reason(finished.stderr)}")


@contextmanager
def begun(start: Callable[[], "subprocess.Popen[str]"], command: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a program that ``end_all`` ends, for as long as it is read."""
    with STARTING:
        process = start()
        RUNNING[process] = command
    with process:
        try:
            yield process
        finally:
            del RUNNING[process]


def end_all() -> list[str]:
    """End every such program of this process: whoever waits for one goes on, and clears away what it logged in with.

    Returns the commands they had begun.
    """
    with STARTING:
        running = dict(RUNNING)
    for process in running:
        process.terminate()
    return list(running.values())


def _once(argv: list[str], stdin: str, on_line: Callable[[str], None]) -> Finished:
    errors: list[str] = []

    def start() -> "subprocess.Popen[str]":
        return subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            encoding="utf-8", errors="replace",
        )  # fmt: skip

    with begun(start, argv[-1]) as process:
        assert process.stderr is not None  # noqa: S101 - tells the type checker what PIPE means
        stream = process.stderr

        def read_errors() -> None:
            for line in stream:
                errors.append(line)
                # Where nobody listens any more, what runs there is not to wait for somebody to read.
                with suppress(OSError):
                    on_line(line.rstrip("\n"))

        reader = threading.Thread(target=read_errors, daemon=True)
        reader.start()
        output = _talk(process, stdin)
        reader.join()
    return Finished(code=process.returncode, stdout=output, stderr="".join(errors))


def _talk(process: "subprocess.Popen[str]", stdin: str) -> str:
    assert process.stdin is not None  # noqa: S101 - tells the type checker what PIPE means
    assert process.stdout is not None  # noqa: S101 - likewise
    try:
        process.stdin.write(stdin)
        process.stdin.close()
    except BrokenPipeError:
        pass  # the far side ended early; its exit code and standard error tell why
    output = process.stdout.read()
    process.wait()
    return output


def _write_config(folder: Path, connection: Connection) -> Path:
    lines = _host_lines(folder, "target", connection, connection.dial_seconds)
    # Performed once somebody is logged in.
    lines += ["  PermitLocalCommand yes", f"  LocalCommand touch {folder / ARRIVED}"]
    if connection.jump is not None:
        lines += ["  ProxyJump jump", *_host_lines(folder, "jump", connection.jump, connection.dial_seconds)]
    config = folder / "config"
    config.write_text("\n".join(lines) + "\n")
    return config


def _host_lines(folder: Path, alias: str, place: Jump, seconds: int) -> list[str]:
    lines = [
        f"Host {alias}",
        f"  HostName {place.address}",
        f"  Port {place.port}",
        f"  User {place.user}",
        "  BatchMode yes",
        f"  ConnectTimeout {seconds}",
        "  ServerAliveInterval 15",
        "  LogLevel ERROR",
        "  GlobalKnownHostsFile /dev/null",
    ]
    known_hosts = folder / f"{alias}.known_hosts"
    if place.host_key:
        known_hosts.write_text(f"mailstack-{alias} {place.host_key}\n")
        lines += ["  StrictHostKeyChecking yes", f"  HostKeyAlgorithms {place.host_key.split()[0]}"]
    else:
        known_hosts.touch()
        lines.append("  StrictHostKeyChecking accept-new")
    lines += [f"  UserKnownHostsFile {known_hosts}", f"  HostKeyAlias mailstack-{alias}"]
    if place.private_key:
        key = folder / f"{alias}.key"
        key.touch(mode=0o600)
        key.write_text(place.private_key)
        lines += [f"  IdentityFile {key}", "  IdentitiesOnly yes"]
    return lines
