"""What every stand-in needs to serve: start and stop, HTTP with JSON answers, a configuration file, a command line.

Standard library only: a stand-in runs in a bare container with nothing but python3, this module beside it.
"""

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

__all__ = ["Answer", "ConfigError", "HttpServer", "Request", "StartStop", "read_json", "run_program"]

_LOG = logging.getLogger(__name__)
_MAX_BODY_BYTES = 1_048_576
_POLL_SECONDS = 0.1


class ConfigError(ValueError):
    """The configuration is wrong; ``problems`` lists every fault found."""

    def __init__(self, problems: Sequence[str]) -> None:
        """Keep the single problems for callers that show them one by one."""
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def read_json(path: Path) -> object:
    """Return the document in a JSON file.

    Raises:
        OSError: the file cannot be read.
        ConfigError: the text is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ConfigError([f"{path}: not JSON: {error}"]) from error


class StartStop:
    """A server that is a context manager: started at its beginning, stopped at its end."""

    def start(self) -> Self:
        """Listen, and return at once."""
        raise NotImplementedError

    def stop(self) -> None:
        """Close what :meth:`start` opened; nothing when it is closed already."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        """Start."""
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


@dataclass(frozen=True, kw_only=True)
class Request:
    """One HTTP request; ``path`` without the query, of which each key has its first value."""

    method: str
    path: str
    query: Mapping[str, str]
    authorization: str | None
    body: bytes

    @property
    def parts(self) -> list[str]:
        """The parts of the path, empty ones left out."""
        return [part for part in self.path.split("/") if part]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One HTTP answer: bytes of the type ``kind``, or anything else as JSON."""

    content: Any
    status: int = HTTPStatus.OK
    kind: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class HttpServer(StartStop):
    """HTTP in a thread of its own, a further thread for each connection. ``answer`` is called from these."""

    def __init__(self, answer: Callable[[Request], Answer], host: str, port: int, *, name: str) -> None:
        """``port`` 0 takes a free one; ``name`` is the thread's. Nothing listens before :meth:`start`."""
        self._answer = answer
        self._address = (host, port)
        self._name = name
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> Self:
        """Bind the port and return at once.

        Raises:
            OSError: the port is taken.
        """
        answerer = self._answer

        class Handler(_Handler):
            answer = staticmethod(answerer)

        server = ThreadingHTTPServer(self._address, Handler)
        server.daemon_threads = True
        self._server = server
        threading.Thread(
            target=server.serve_forever, kwargs={"poll_interval": _POLL_SECONDS}, name=self._name, daemon=True
        ).start()
        return self

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    @property
    def url(self) -> str:
        """Root of the server; on loopback when it is bound to all addresses."""
        if self._server is None:
            raise RuntimeError(f"{self._name} is not started")
        host, port = str(self._server.server_address[0]), self._server.server_address[1]
        return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"


class _Handler(BaseHTTPRequestHandler):
    answer: Callable[[Request], Answer]
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
        _LOG.debug(format, *args)

    def _respond(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if length > _MAX_BODY_BYTES:
            # What is not read would be taken for the next request.
            self.close_connection = True
            error = {"error": "body: more than 1 MiB"}
            self._send(Answer(status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE, content=error))
            return
        url = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=url.path,
            query={key: values[0] for key, values in parse_qs(url.query).items()},
            authorization=self.headers.get("Authorization"),
            body=self.rfile.read(length),
        )
        self._send(self.answer(request))

    # The base class looks a method up by its name.
    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _respond  # noqa: N815 - as the base class spells them

    def _send(self, answer: Answer) -> None:
        data = answer.content if isinstance(answer.content, bytes) else json.dumps(answer.content).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.kind)
        self.send_header("Content-Length", str(len(data)))
        for name, text in answer.headers.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)


def run_program(
    name: str,
    description: str,
    standin: Callable[[Path], AbstractContextManager[object]],
    arguments: Sequence[str] | None = None,
) -> int:
    """Run a stand-in as a program with ``--config FILE`` until SIGTERM or SIGINT; return the exit code.

    ``standin`` makes it from the file. 1 when it raises ConfigError or OSError (``ssl.SSLError`` is one), each problem
    in a line on standard error.
    """
    parser = argparse.ArgumentParser(prog=name, description=description)
    parser.add_argument("--config", type=Path, required=True, help="JSON file, see the package's config module")
    options = parser.parse_args(arguments)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format=f"%(asctime)s [{name}] %(message)s")
    finished = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: finished.set())
    try:
        with standin(options.config):
            finished.wait()
    except ConfigError as error:
        problems = [f"config: {problem}" for problem in error.problems]
    except OSError as error:
        problems = [f"cannot start: {error}"]
    else:
        return 0
    for problem in problems:
        _LOG.error(problem)
    return 1
