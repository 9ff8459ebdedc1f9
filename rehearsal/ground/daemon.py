"""Makes sure a Docker daemon answers, and starts one where no service manager can."""

import logging
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rehearsal.ground.docker import docker_try
from rehearsal.ground.errors import GroundError
from rehearsal.ground.state import APT_INSTALL, STATE_ROOT, exclusive, private_directory, process_start
from rehearsal.waiting import wait_for

__all__ = ["DaemonFiles", "default_mtu", "ensure_docker", "stop_docker_if_ours"]

Log = Callable[[str], None]
_LOG = logging.getLogger(__name__)

START_TIMEOUT = 60.0
"""Seconds a daemon of ours may take to answer."""

STOP_TIMEOUT = 30.0
"""Seconds a daemon of ours may take to stop its containers and exit."""

ETHERNET_MTU = 1500


@dataclass(frozen=True, kw_only=True)
class DaemonFiles:
    """Where a daemon of ours keeps its log and the note that says it is ours."""

    directory: Path

    @property
    def log(self) -> Path:
        """What dockerd writes."""
        return self.directory / "dockerd.log"

    @property
    def note(self) -> Path:
        """Two words: process id and start time (see ``process_start``)."""
        return self.directory / "dockerd.started"


DEFAULT_FILES = DaemonFiles(directory=STATE_ROOT / ".daemon")


def _answers() -> bool:
    if shutil.which("docker") is None:
        return False
    return docker_try(["version", "--format", "{{.Server.Version}}"], timeout=20).returncode == 0


def _our_process(files: DaemonFiles) -> int | None:
    """Return the id of the daemon we started if that very process is still alive."""
    try:
        pid, started = files.note.read_text(encoding="utf-8").split()
    except (FileNotFoundError, ValueError):
        return None
    return int(pid) if process_start(int(pid)) == started else None


def default_mtu(routes: Path = Path("/proc/net/route"), interfaces: Path = Path("/sys/class/net")) -> int:
    """Return the MTU in bytes of the interface with the default route, 1500 where that cannot be read.

    Docker always uses 1500. Behind a tunnel with a smaller MTU large packets of a host would be lost.
    """
    try:
        lines = routes.read_text(encoding="utf-8").splitlines()[1:]
        for line in lines:
            fields = line.split()
            if fields[1] == "00000000" and fields[7] == "00000000":
                return min(ETHERNET_MTU, int((interfaces / fields[0] / "mtu").read_text(encoding="utf-8")))
    except (OSError, ValueError, IndexError):
        return ETHERNET_MTU
    return ETHERNET_MTU


def _refuse_to_start(environment: Mapping[str, str]) -> None:
    """Raise ``GroundError`` when starting a daemon here is not ours to do."""
    remote = environment.get("DOCKER_HOST")
    if remote:
        raise GroundError(
            f"No Docker daemon answers at DOCKER_HOST={remote}. Fix: start that daemon, or unset DOCKER_HOST."
        )
    if Path("/run/systemd/system").is_dir():
        raise GroundError(
            "Docker is not running, or this user may not use it. Fix: `sudo systemctl start docker` "
            "(install it first with `sudo apt-get install docker.io`), and put your user in the docker group."
        )
    if os.geteuid() != 0:
        raise GroundError(
            "No Docker daemon answers and this user may not start one. Fix: start Docker, or run as root."
        )


def _find(program: str) -> str | None:
    """Return the path of a program, also where PATH lacks the administrator's directories."""
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def _install(log: Log) -> None:
    missing = [
        package
        for package, programs in (("docker.io", ("dockerd", "docker")), ("iptables", ("iptables",)))
        if any(_find(program) is None for program in programs)
    ]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        raise GroundError(
            "dockerd is not installed and there is no apt-get to install it. Fix: install Docker by hand."
        )
    log(f"installing {' and '.join(missing)} with apt-get")
    done = subprocess.run(
        [APT_INSTALL, *missing], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise GroundError(f"apt-get failed: {done.stderr.strip()[-600:]}. Fix: install docker.io by hand.")


def _start_dockerd(files: DaemonFiles, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Start dockerd in a session of its own, so that it outlives this process, and note that it is ours."""
    private_directory(files.directory)
    program = _find("dockerd") or "dockerd"
    with files.log.open("ab") as output:
        process = subprocess.Popen(
            [program, "--storage-driver", "overlay2", "--mtu", str(default_mtu()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    files.note.write_text(f"{process.pid} {process_start(process.pid)}\n", encoding="utf-8")
    return process


def _wait_for_daemon(process: subprocess.Popen[bytes], files: DaemonFiles) -> None:
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers():
        exited = process.poll() is not None
        if exited or time.monotonic() > deadline:
            state = "exited" if exited else f"did not answer within {START_TIMEOUT:.0f} s"
            tail = "\n".join(files.log.read_text(encoding="utf-8", errors="replace").splitlines()[-8:])
            raise GroundError(
                f"dockerd {state}. Its last words, from {files.log}:\n{tail}\n"
                "Fix: run dockerd by hand to see what this machine refuses."
            )
        time.sleep(0.3)


def ensure_docker(log: Log = _LOG.info, files: DaemonFiles = DEFAULT_FILES, arguments: Sequence[str] = ()) -> None:
    """Return once a Docker daemon answers. ``arguments`` are further ones for a dockerd we have to start.

    A running daemon is used as it is. Otherwise, as root on a machine without a service manager, Docker is
    installed from the machine's own packages and dockerd is started by hand. Raises ``GroundError``.
    """
    if _answers():
        return
    with exclusive("daemon"):
        if _answers():
            return
        _refuse_to_start(os.environ)
        _install(log)
        log("starting dockerd by hand: no service manager runs here")
        _wait_for_daemon(_start_dockerd(files, arguments), files)


def stop_docker_if_ours(log: Log = _LOG.info, files: DaemonFiles = DEFAULT_FILES) -> bool:
    """Stop the daemon that :func:`ensure_docker` started. Return whether there was one.

    A daemon somebody else started is never touched. Containers that still run are stopped by the daemon.
    """
    pid = _our_process(files)
    if pid is None:
        files.note.unlink(missing_ok=True)
        return False
    log(f"stopping dockerd (process {pid}), which this checkout had started")
    os.kill(pid, signal.SIGTERM)
    if not wait_for(lambda: _our_process(files) is None, STOP_TIMEOUT, pause=0.2):
        raise GroundError(
            f"dockerd (process {pid}) is still there {STOP_TIMEOUT:.0f} s after SIGTERM. "
            f"Fix: read {files.log}, then end it by its process id."
        )
    files.note.unlink(missing_ok=True)
    return True
