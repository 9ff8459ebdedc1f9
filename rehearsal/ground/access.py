"""What can be done with a host or service that is there: commands, files, power."""

import shlex
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from rehearsal.ground.archive import Entry, pack, pack_tree, unpack_file
from rehearsal.ground.docker import docker, docker_bytes, docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.host import Host, Service
from rehearsal.ground.ports import wait_for_ssh

__all__ = ["COMMAND_TIMEOUT", "Access", "Log"]

Log = Callable[[str], None]

BOOT_TIMEOUT = 120.0
"""Seconds from start to a booted systemd; four are usual."""

COMMAND_TIMEOUT = 600.0
"""Seconds a command on a host may take unless the caller knows better."""


class Access:
    """The ways into hosts and services. It knows nothing of a ground; each of them says where it is."""

    def __init__(self, log: Log) -> None:
        """``log`` is told of what does not stop a host from being used."""
        self._log = log

    def exec(
        self,
        target: Host | Service,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - the name subprocess.run uses
        check: bool = True,
        timeout: float = COMMAND_TIMEOUT,
        user: str = "root",
    ) -> subprocess.CompletedProcess[str]:
        """Run a command through Docker, not SSH. Raises ``GroundError`` when it fails and ``check`` is on."""
        interactive = [] if input is None else ["--interactive"]
        data = input.encode() if isinstance(input, str) else input
        result = docker_try(
            ["exec", *interactive, "--user", user, target.container_id, *argv], stdin=data, timeout=timeout
        )
        return _finish(result, argv, target.name, check=check)

    def ssh(
        self,
        host: Host,
        argv: Sequence[str],
        *,
        input: str | bytes | None = None,  # noqa: A002 - the name subprocess.run uses
        check: bool = True,
        timeout: float = COMMAND_TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command the way a deployment does: over SSH, as ``host.user``, with the host key pinned."""
        data = input.encode() if isinstance(input, str) else (input or b"")
        try:
            result = subprocess.run(
                [*host.ssh_command(), shlex.join(argv)],
                input=data,
                capture_output=True,
                timeout=timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise GroundError(f"{argv[0]} on {host.name} did not finish within {timeout:.0f} s.") from error
        return _finish(result, argv, host.name, check=check)

    def copy_in(
        self,
        target: Host | Service,
        source: Path | bytes | str,
        path: str,
        *,
        mode: int | None = None,
        owner: str = "root",
    ) -> None:
        """Put a file, a directory tree or contents at the absolute ``path`` of a running host.

        ``mode`` is for the top entry; by default that of the source, 0644 for contents.
        """
        if isinstance(source, Path):
            entries = pack_tree(source, path, owner=owner)
            if mode is not None:
                top = entries[0]
                entries[0] = Entry(target=top.target, content=top.content, mode=mode, owner=owner)
        else:
            data = source.encode() if isinstance(source, str) else source
            entries = [Entry(target=path, content=data, mode=0o644 if mode is None else mode, owner=owner)]
        self.put(target, entries)

    def put(self, target: Host | Service, entries: Sequence[Entry]) -> None:
        """Put files and directories, each with its own owner and mode, on a running host."""
        # Not `docker cp`: on a running host that writes below /run and /tmp, which are mounts of their own.
        self.exec(target, ["tar", "-C", "/", "-x", "-p", "-f", "-"], input=pack(entries))

    def copy_out(self, target: Host | Service, path: str) -> bytes:
        """Return the contents of a file of a running host."""
        stream = docker_bytes(["exec", target.container_id, "tar", "-C", "/", "-c", "-f", "-", path.lstrip("/")])
        return unpack_file(stream)

    def logs(self, target: Host | Service) -> str:
        """Return what the container's first process wrote (stdout, then stderr)."""
        result = docker_try(["logs", target.container_id])
        return (result.stdout + result.stderr).decode(errors="replace")

    def stop(self, target: Host | Service) -> None:
        """Shut down in order."""
        docker(["stop", target.container_id])

    def cut_power(self, target: Host | Service) -> None:
        """End everything at once, as when the power fails. Disks keep what was written."""
        docker(["kill", target.container_id])

    def start(self, target: Host | Service) -> None:
        """Start again after :meth:`stop` or :meth:`cut_power`; a host is booted when this returns."""
        docker(["start", target.container_id])
        if isinstance(target, Host):
            self._wait_until_booted(target)
            wait_for_ssh(target.ssh_host, target.ssh_port)

    def pause(self, target: Host | Service) -> None:
        """Freeze all processes: connections stay open and nothing answers."""
        docker(["pause", target.container_id])

    def unpause(self, target: Host | Service) -> None:
        """Let the processes go on."""
        docker(["unpause", target.container_id])

    def _wait_until_booted(self, host: Host) -> None:
        deadline = time.monotonic() + BOOT_TIMEOUT
        while True:
            # --wait makes systemctl answer once booting is over; before systemd listens it fails at once.
            result = docker_try(
                ["exec", host.container_id, "systemctl", "is-system-running", "--wait"], timeout=BOOT_TIMEOUT
            )
            state = result.stdout.decode(errors="replace").strip()
            if state == "running":
                return
            if state == "degraded":
                failed = self.exec(host, ["systemctl", "--failed", "--plain", "--no-legend"], check=False)
                self._log(f"host {host.name} is up, with failed units: {failed.stdout.strip()}")
                return
            running = docker(["inspect", "--format", "{{.State.Running}}", host.container_id])
            if running != "true" or time.monotonic() > deadline:
                logs = docker_try(["logs", "--tail", "20", host.container_id])
                raise GroundError(
                    f"Host {host.name!r} did not boot (state {state or 'unknown'!r}, running: {running}). "
                    f"Its console says: {(logs.stdout + logs.stderr).decode(errors='replace')[-1500:]!r}"
                )
            time.sleep(0.1)


def _finish(
    result: subprocess.CompletedProcess[bytes], argv: Sequence[str], name: str, *, check: bool
) -> subprocess.CompletedProcess[str]:
    stdout, stderr = (stream.decode(errors="replace") for stream in (result.stdout, result.stderr))
    if check and result.returncode != 0:
        raise GroundError(
            f"{' '.join(argv[:4])} on {name} failed with status {result.returncode}: "
            f"{stderr.strip()[-1500:]} {stdout.strip()[-500:]}"
        )
    return subprocess.CompletedProcess(list(argv), result.returncode, stdout, stderr)
