"""What a container is in the inputs of pulumi-docker, and what in the API of an engine."""

import base64
import fnmatch
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["build_context", "container_body", "demultiplexed", "registry_header", "upload_tar"]

MEGABYTE = 1024 * 1024
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
DEFAULT_MODE = "0644"
FRAME_HEAD = 8
Told = Mapping[str, Any]


def container_body(told: Told) -> dict[str, Any]:
    """Return the body of ``POST /containers/create``."""
    ports = told.get("ports") or []
    bound = {
        f"{port['internal']}/{port.get('protocol') or 'tcp'}": [
            {"HostIp": port.get("ip") or "0.0.0.0", "HostPort": str(port.get("external") or "")}
        ]
        for port in ports
    }
    volumes = told.get("volumes") or []
    body = {
        "Image": told["image"],
        "Hostname": told.get("hostname") or "",
        "Cmd": told.get("command"),
        "Entrypoint": told.get("entrypoints"),
        "Env": told.get("envs"),
        "StopTimeout": told.get("stopTimeout"),
        "Healthcheck": _healthcheck(told.get("healthcheck")),
        "Volumes": {volume["containerPath"]: {} for volume in volumes if volume.get("containerPath")} or None,
        "Labels": {label["label"]: label["value"] for label in told.get("labels") or []} or None,
        "ExposedPorts": {name: {} for name in bound} or None,
        "HostConfig": _host_config(told, volumes, bound),
    }
    return {key: value for key, value in body.items() if value is not None}


def _host_config(told: Told, volumes: list[Told], bound: Told) -> dict[str, Any]:
    capabilities = told.get("capabilities") or {}
    log = {"Type": told.get("logDriver") or "", "Config": told.get("logOpts") or {}}
    found = {
        "Binds": [
            f"{volume.get('hostPath') or volume['volumeName']}:{volume['containerPath']}:"
            f"{'ro' if volume.get('readOnly') else 'rw'}"
            for volume in volumes
            if volume.get("hostPath") or volume.get("volumeName")
        ],
        "VolumesFrom": [volume["fromContainer"] for volume in volumes if volume.get("fromContainer")],
        "Tmpfs": told.get("tmpfs"),
        "CapAdd": capabilities.get("adds"),
        "CapDrop": capabilities.get("drops"),
        "SecurityOpt": told.get("securityOpts"),
        "ReadonlyRootfs": bool(told.get("readOnly")),
        "Init": bool(told.get("init")),
        **resources(told),
        "Ulimits": [
            {"Name": limit["name"], "Soft": limit["soft"], "Hard": limit["hard"]} for limit in told.get("ulimits") or []
        ],
        "LogConfig": log if log["Type"] else None,
        "NetworkMode": told.get("networkMode") or "bridge",
        "PortBindings": bound,
    }
    return {key: value for key, value in found.items() if value not in (None, [], {})}


def resources(told: Told) -> dict[str, Any]:
    """Return what can be changed while a container runs."""
    swap = told.get("memorySwap") or 0
    return {
        "RestartPolicy": {"Name": told.get("restart") or "no", "MaximumRetryCount": told.get("maxRetryCount") or 0},
        "Memory": (told.get("memory") or 0) * MEGABYTE,
        "MemoryReservation": (told.get("memoryReservation") or 0) * MEGABYTE,
        "MemorySwap": swap * MEGABYTE if swap > 0 else swap,
    }


def _healthcheck(told: Told | None) -> dict[str, Any] | None:
    if not told:
        return None
    seconds = {"Interval": "interval", "Timeout": "timeout", "StartPeriod": "startPeriod"}
    found: dict[str, Any] = {name: _nanoseconds(told.get(key) or "0s") for name, key in seconds.items()}
    return found | {"Test": told["tests"], "Retries": told.get("retries") or 0}


def _nanoseconds(text: str) -> int:
    """Read a duration as Go writes it: ``1m30s``."""
    return round(sum(float(number) * UNITS[unit] for number, unit in re.findall(r"([\d.]+)(ms|h|m|s)", text)) * 1e9)


def upload_tar(upload: Told) -> bytes:
    """Return the archive that puts one ``uploads`` entry below the root."""
    content = base64.b64decode(upload["contentBase64"]) if upload.get("contentBase64") else upload["content"].encode()
    entry = tarfile.TarInfo(upload["file"])
    entry.size = len(content)
    entry.mode = int(upload.get("permissions") or DEFAULT_MODE, 8)
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def demultiplexed(stream: bytes) -> str:
    """Return the text of a container's log: each piece has a head with the stream and its length."""
    found, place = b"", 0
    while place + FRAME_HEAD <= len(stream):
        size = int.from_bytes(stream[place + 4 : place + FRAME_HEAD], "big")
        found += stream[place + FRAME_HEAD : place + FRAME_HEAD + size]
        place += FRAME_HEAD + size
    return found.decode(errors="replace")


def registry_header(login: Told) -> str:
    """Return a login as the API's headers carry it."""
    return base64.urlsafe_b64encode(json.dumps(login).encode()).decode()


def build_context(folder: Path, dockerfile: Path) -> tuple[bytes, str]:
    """Return a build's context as a tar, without what .dockerignore leaves out, and a digest of it."""
    made, digest = io.BytesIO(), hashlib.sha256()
    kept = [path for path in _files(folder, _ignored(folder)) if path != dockerfile]
    with tarfile.open(fileobj=made, mode="w") as archive:
        for path in [*kept, dockerfile]:
            entry = tarfile.TarInfo(str(path.relative_to(folder)))
            content = path.read_bytes()
            entry.size, entry.mode = len(content), path.stat().st_mode & 0o777
            archive.addfile(entry, io.BytesIO(content))
            digest.update(f"{entry.name} {entry.mode:o}\n".encode() + content)
    return made.getvalue(), digest.hexdigest()


def _ignored(folder: Path) -> list[str]:
    path = folder / ".dockerignore"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [line.strip().lstrip("/") for line in lines if line.strip() and not line.startswith("#")]


def _files(folder: Path, patterns: list[str]) -> list[Path]:
    """Return the files of a context. With exceptions from "everything", only where they lead is looked."""
    if patterns[:1] == ["*"]:
        listed = {path for pattern in patterns if pattern.startswith("!") for path in folder.glob(pattern[1:])}
        return sorted(path for path in listed if path.is_file())
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        path for path in found if not any(fnmatch.fnmatch(str(path.relative_to(folder)), each) for each in patterns)
    )
