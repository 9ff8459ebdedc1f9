"""Calls the ``docker`` command line client. Every call is an argv list; nothing goes through a shell."""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from rehearsal.ground.errors import GroundError

__all__ = ["docker", "docker_bytes", "docker_json", "docker_try", "labelled"]

DEFAULT_TIMEOUT = 120.0
"""Seconds a docker call may take unless the caller knows better."""


def docker_try(
    arguments: Sequence[str], *, stdin: bytes | None = None, timeout: float = DEFAULT_TIMEOUT
) -> subprocess.CompletedProcess[bytes]:
    """Run ``docker ARGUMENTS`` and return the result whatever its exit status is.

    Raises ``GroundError`` when there is no client or when ``timeout`` (seconds) has passed.
    """
    stream: dict[str, Any] = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        return subprocess.run(["docker", *arguments], capture_output=True, timeout=timeout, check=False, **stream)
    except FileNotFoundError as error:
        raise GroundError(
            "The docker command was not found on PATH. Fix: install Docker, or run as root on Debian or "
            "Ubuntu and let the rehearsal ground install docker.io."
        ) from error
    except subprocess.TimeoutExpired as error:
        raise GroundError(
            f"docker {arguments[0]} did not finish within {timeout:.0f} s. Fix: look at `docker ps` and "
            "at the daemon's log, then try again."
        ) from error


def docker_bytes(arguments: Sequence[str], *, stdin: bytes | None = None, timeout: float = DEFAULT_TIMEOUT) -> bytes:
    """Run ``docker ARGUMENTS``; return its stdout. Raises ``GroundError`` when it exits non-zero."""
    result = docker_try(arguments, stdin=stdin, timeout=timeout)
    if result.returncode != 0:
        said = (result.stderr or result.stdout).decode(errors="replace").strip()
        raise GroundError(f"docker {' '.join(arguments[:2])} failed with status {result.returncode}: {said}")
    return result.stdout


def docker(arguments: Sequence[str], *, stdin: bytes | None = None, timeout: float = DEFAULT_TIMEOUT) -> str:
    """Like :func:`docker_bytes`, as text without the trailing newline."""
    return docker_bytes(arguments, stdin=stdin, timeout=timeout).decode(errors="replace").strip()


def docker_json(arguments: Sequence[str]) -> Any:
    """Run ``docker ARGUMENTS`` and parse its stdout as one JSON document."""
    return json.loads(docker_bytes(arguments))


def labelled(kind: str, label: str) -> list[dict[str, Any]]:
    """Return ``docker inspect`` records of every container, network, volume or image carrying ``label``.

    ``kind`` is one of ``container``, ``network``, ``volume``, ``image``. Something that disappears between
    the listing and the inspection is left out: another process may be cleaning up at the same time.
    """
    everything = ["--all"] if kind == "container" else []
    names = docker([kind, "ls", *everything, "--quiet", "--filter", f"label={label}"]).split()
    if not names:
        return []
    result = docker_try([kind, "inspect", *dict.fromkeys(names)])
    found: list[dict[str, Any]] = json.loads(result.stdout or b"[]")
    return found
