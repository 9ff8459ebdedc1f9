"""The upstream of the bench: the counting sink in a container of its own, and its control port."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path

from rehearsal.bench.docker import Container, DockerError, docker, inspect, remove
from rehearsal.bench.errors import BenchError

__all__ = ["UPSTREAM_NAME", "Counters", "Upstream", "UpstreamError", "remove_upstream", "start_upstream"]

UPSTREAM_NAME = "smtp-relay.gmail.com"
CONTROL_PORT = 8025
READY_SECONDS = 15.0
HTTP_SECONDS = 10.0
POLL_SECONDS = 0.1
IMAGE = "mailstack-bench-sink"
LABEL_PREFIX = "mailstack."
NAME_LABEL = "mailstack.name"


class UpstreamError(BenchError):
    """The sink did not start or does not answer."""


@dataclass(frozen=True, kw_only=True)
class Counters:
    """What the sink counted since its last reset. Times are Unix nanoseconds, 0 for no message."""

    mails: int
    recipients: int
    connections: int
    connections_with_mail: int
    open_connections: int
    peak_open_connections: int
    full_handshakes: int
    resumed_handshakes: int
    failed_handshakes: int
    max_messages_per_connection: int
    smallest_rtt_us: int
    first_message_ns: int
    last_message_ns: int
    mails_after: int


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A running sink. `address` is where its control port and DNS responder are reached."""

    container: Container
    address: str
    ca_pem: str

    def counters(self, *, after_ns: int = 0) -> Counters:
        """The counters; `mails_after` counts messages accepted after that time."""
        answer = json.loads(self._ask("GET", f"/counters?after={after_ns}"))
        return Counters(**{field.name: answer[field.name] for field in fields(Counters)})

    def reset(self) -> None:
        """Start counting again. Open connections stay open."""
        self._ask("POST", "/reset")

    def answer_dns(self, answers: Mapping[str, str]) -> None:
        """A record of the upstream's name by client address; the key "" is for all other clients."""
        self._ask("PUT", "/answers", json.dumps(dict(answers)).encode())

    def _ask(self, method: str, path: str, body: bytes | None = None) -> bytes:
        request = urllib.request.Request(f"http://{self.address}:{CONTROL_PORT}{path}", data=body, method=method)
        # No proxy from the environment may come between the harness and a container on this machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HTTP_SECONDS) as response:
                content: bytes = response.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace").strip()
            raise UpstreamError(f"sink refused {method} {path}: {said}") from error
        except OSError as error:
            raise UpstreamError(f"sink at {self.address} does not answer {method} {path}: {error}") from error
        return content


def start_upstream(*, program: Path, directory: Path, beside: Container, network: str, name: str) -> Upstream:
    """Run the sink in a container called `name` on a Docker network, `beside` a relay host.

    The image holds nothing but the program, so no base image is needed. `directory` receives the CA and
    the certificate, made anew each time, and is mounted read-only. A left-over of the same name is removed.
    The container carries the labels of the relay host's ground, so what takes that away takes it too.
    """
    certificates = directory.resolve()
    certificates.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [str(program), "-make-certificates", str(certificates), "-name", UPSTREAM_NAME],
        check=True,
        capture_output=True,
        timeout=HTTP_SECONDS,
    )
    remove(name)
    labels = {key: value for key, value in beside.labels.items() if key.startswith(LABEL_PREFIX)}
    labels[NAME_LABEL] = name
    docker(
        "run",
        "--detach",
        f"--name={name}",
        *(f"--label={key}={value}" for key, value in labels.items()),
        f"--network={network}",
        f"--volume={certificates}:/certificates:ro",
        _image(program),
        "/sink",
        "-name",
        UPSTREAM_NAME,
        "-certificate",
        "/certificates/certificate.pem",
        "-key",
        "/certificates/key.pem",
    )
    container = inspect(name)
    upstream = Upstream(
        container=container,
        address=container.addresses[network],
        ca_pem=(certificates / "ca.pem").read_text(),
    )
    deadline = time.monotonic() + READY_SECONDS
    while True:
        try:
            upstream.counters()
        except UpstreamError as error:
            if time.monotonic() > deadline:
                raise UpstreamError(f"{error}; its log: {docker('logs', container.id)}") from error
            time.sleep(POLL_SECONDS)
        else:
            return upstream


def remove_upstream(*, program: Path, name: str) -> None:
    """Take away the container and the image that `start_upstream` made; neither has to exist."""
    remove(name)
    with suppress(DockerError):
        docker("image", "rm", "--force", _image_name(program))


def _image_name(program: Path) -> str:
    return f"{IMAGE}:{program.parent.name}"


def _image(program: Path) -> str:
    """Image with nothing but the program in it."""
    image = _image_name(program)
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        tar.add(program, arcname="sink")
    subprocess.run(
        ["docker", "import", "-", image],
        check=True,
        capture_output=True,
        input=archive.getvalue(),
        timeout=60,
    )
    return image
