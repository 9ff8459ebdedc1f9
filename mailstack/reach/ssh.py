"""SSH to a host with the OpenSSH client."""

import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mailstack.reach.connection import Connection, Jump

__all__ = ["Finished", "SshError", "run_over_ssh"]

# What OpenSSH exits with when it never got to the remote command.
SSH_FAILED = 255
RETRY_SECONDS = 1.0


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

    Raises SshError when the host cannot be reached in ``connection.attempts`` tries.
    """
    with tempfile.TemporaryDirectory(prefix="mailstack-ssh-") as folder:
        config = _write_config(Path(folder), connection)
        for attempt in range(1, connection.attempts + 1):
            finished = _once(["ssh", "-F", str(config), "target", command], stdin, on_line)
            if finished.code != SSH_FAILED:
                return finished
            if attempt == connection.attempts or "verification failed" in finished.stderr:
                break
            time.sleep(RETRY_SECONDS)
    raise SshError(f"{connection.address} was not reached over SSH: {finished.stderr.strip()}")


def _once(argv: list[str], stdin: str, on_line: Callable[[str], None]) -> Finished:
    errors: list[str] = []
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None  # noqa: S101 - tells the type checker what PIPE means
        stream = process.stderr

        def read_errors() -> None:
            for line in stream:
                errors.append(line)
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
    if connection.jump is not None:
        lines.append("  ProxyJump jump")
        lines += _host_lines(folder, "jump", connection.jump, connection.dial_seconds)
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
