"""The API of a Docker engine: on this machine, over SSH, or over TLS. Standard library only.

Source: docs.docker.com/reference/api/engine, and for ``ssh://`` connhelper of github.com/docker/cli: the far side
of the connection is ``docker system dial-stdio``, started by the ssh program.
"""

import contextlib
import http.client
import json
import socket
import ssl
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mailstack.reach.connection import Connection
from mailstack.reach.ssh_words import reason

__all__ = ["DockerApi", "DockerError", "EngineAccess", "ssh_options"]

TIMEOUT_SECONDS = 660.0
DIAL_SECONDS = 30
TLS_PORT = 2376
NOT_FOUND = 404
# Bytes before each piece of a stream without a terminal: which stream, and in the last four how long the piece is.
FRAME = 8


class DockerError(RuntimeError):
    """The engine refused, or was not reached; ``status`` is its HTTP status, 0 for the latter."""

    def __init__(self, text: str, status: int = 0) -> None:
        """Keep both."""
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, kw_only=True)
class EngineAccess:
    """How an engine is reached: ``unix://``, ``ssh://`` with options for the ssh program, ``tcp://`` with PEM texts."""

    endpoint: str
    ssh_options: tuple[str, ...] = ()
    ca_certificate: str | None = None
    certificate: str | None = None
    private_key: str | None = field(default=None, repr=False)


def ssh_options(connection: Connection, identity_file: str | None) -> tuple[str, ...]:
    """Return the options with which ssh accepts exactly the pinned host key and asks nobody anything.

    No file is needed: ``KnownHostsCommand`` (OpenSSH 8.5) prints the key, %H is the name that is looked for. An older
    ssh refuses the option, and so connects to nobody. ``identity_file`` None: the agent.
    """
    algorithm, _, _ = str(connection.host_key).partition(" ")
    found = [
        "-oBatchMode=yes",
        "-oStrictHostKeyChecking=yes",
        "-oUserKnownHostsFile=/dev/null",
        "-oGlobalKnownHostsFile=/dev/null",
        f"-oHostKeyAlgorithms={algorithm}",
        f"-oKnownHostsCommand=/bin/echo %H {connection.host_key}",
        f"-oConnectTimeout={connection.dial_seconds}",
    ]
    if identity_file is not None:
        found += [f"-oIdentityFile={identity_file}", "-oIdentitiesOnly=yes"]
    return tuple(found)


class DockerApi:
    """Calls one engine, each call over a connection of its own."""

    def __init__(self, access: EngineAccess) -> None:
        """Connect to nothing yet."""
        self._access = access

    def call(
        self,
        method: str,
        place: str,
        /,
        body: Any = None,
        *,
        missing_is_none: bool = False,
        raw: bool = False,
        headers: Mapping[str, str] | None = None,
        **query: str,
    ) -> Any:
        """Return the JSON answer, a list of them for a stream, None for none. ``body`` is bytes (a tar) or JSON data.

        ``raw`` returns the bytes of an answer that is no JSON.

        Raises DockerError.
        """
        target = f"{place}?{urllib.parse.urlencode(query)}" if query else place
        tar = isinstance(body, bytes)
        sent_body = body if tar or body is None else json.dumps(body).encode()
        sent = {
            "Host": "docker",
            "Connection": "close",
            "Content-Type": "application/x-tar" if tar else "application/json",
            **(headers or {}),
        }
        with self._connection() as connection:
            try:
                connection.request(method, target, body=sent_body, headers=sent)
                response = connection.getresponse()
                content = response.read()
            except (OSError, http.client.HTTPException) as error:
                raise DockerError(f"no answer from {self._access.endpoint}: {error}") from None
        if response.status == NOT_FOUND and missing_is_none:
            return None
        text = content.decode(errors="replace")
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise DockerError(_message(text) or f"{response.status} {response.reason}", response.status)
        return content if raw else _parsed(text)

    def stream(self, place: str, /, **query: str) -> Iterator[bytes]:
        """Yield what an answer without an end says, piece by piece, without the frames around them.

        Raises DockerError.
        """
        target = f"{place}?{urllib.parse.urlencode(query)}" if query else place
        with self._connection() as connection:
            connection.sock.settimeout(None)
            try:
                connection.request("GET", target, headers={"Host": "docker", "Connection": "close"})
                response = connection.getresponse()
                if response.status >= http.HTTPStatus.BAD_REQUEST:
                    text = response.read().decode(errors="replace")
                    raise DockerError(_message(text) or f"{response.status} {response.reason}", response.status)
                while len(head := response.read(FRAME)) == FRAME:
                    yield response.read(int.from_bytes(head[4:], "big"))
            except (OSError, http.client.HTTPException) as error:
                raise DockerError(f"no answer from {self._access.endpoint}: {error}") from None

    @contextlib.contextmanager
    def _connection(self) -> Iterator[http.client.HTTPConnection]:
        place = urllib.parse.urlsplit(self._access.endpoint)
        with contextlib.ExitStack() as cleanup:
            if place.scheme == "ssh":
                near = cleanup.enter_context(self._over_ssh(place))
            elif place.scheme == "unix":
                near = cleanup.enter_context(socket.socket(socket.AF_UNIX))
                with _reported(self._access.endpoint):
                    near.connect(place.path)
            else:
                with _reported(self._access.endpoint):
                    plain = socket.create_connection((place.hostname or "", place.port or TLS_PORT), DIAL_SECONDS)
                    near = cleanup.enter_context(
                        _context(self._access).wrap_socket(plain, server_hostname=place.hostname)
                    )
            near.settimeout(TIMEOUT_SECONDS)
            connection = http.client.HTTPConnection("docker")
            connection.sock = near
            yield connection

    @contextlib.contextmanager
    def _over_ssh(self, place: urllib.parse.SplitResult) -> Iterator[socket.socket]:
        near, far = socket.socketpair()
        argv = ["ssh", "-l", place.username or "root", "-p", str(place.port or 22), *self._access.ssh_options, "-T"]
        argv += ["--", str(place.hostname), "docker system dial-stdio"]
        with near, tempfile.TemporaryFile() as errors:
            with far:
                process = subprocess.Popen(argv, stdin=far.fileno(), stdout=far.fileno(), stderr=errors)
            try:
                yield near
            except DockerError as error:
                near.close()
                process.wait(DIAL_SECONDS)
                errors.seek(0)
                said = reason(errors.read().decode(errors="replace"))
                raise DockerError(f"{error}{f': {said}' if said and not error.status else ''}", error.status) from None
            finally:
                near.close()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(DIAL_SECONDS)
                process.kill()
                process.wait()


@contextlib.contextmanager
def _reported(endpoint: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DockerError(f"{endpoint} is not reached: {error}") from None


def _context(access: EngineAccess) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=access.ca_certificate)
    # The standard library takes certificate and key from files only; these are gone before a byte is sent.
    with tempfile.TemporaryDirectory(prefix="mailstack-tls-") as folder:
        pair = Path(folder) / "pair.pem"
        pair.touch(mode=0o600)
        pair.write_text(f"{access.certificate}\n{access.private_key}")
        context.load_cert_chain(pair)
    return context


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return text.strip()


def _parsed(text: str) -> Any:
    lines = [line for line in text.splitlines() if line.strip()]
    if not lines:
        return None
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in lines]
    except ValueError:
        return text
