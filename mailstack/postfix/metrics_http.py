"""Serves the metrics over HTTP: two paths to read, nothing to change, few connections, none of them for long.

A role and the container image carry this module, so it keeps to Python 3.6 and the standard library.
"""

import contextlib
import ipaddress
import socket
import socketserver
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Callable, Optional, Sequence, Tuple

from mailstack.postfix.exposition import CONTENT_TYPE
from mailstack.postfix.metrics import RelayMetrics
from mailstack.postfix.queue_listing import SHOWQ, QueueWatch
from mailstack.postfix.served_certificate import CertificateWatch, Place

__all__ = ["PATH", "MetricsServer", "Scrape"]

PATH = "/metrics"
HEALTH_PATH = "/healthz"
# Prometheus asks one at a time; a few more for people. Who comes beyond them is turned away at once.
MOST_CONNECTIONS = 8
# The longest a connection lives, however slowly somebody writes or reads; Prometheus waits for 10 s.
CONNECTION_SECONDS = 15.0


class Scrape:
    """Puts the text together: what was counted, the queue now, the certificates. Askers wait for each other."""

    def __init__(
        self,
        metrics: RelayMetrics,
        places: Sequence[Place] = (),
        *,
        socket_path: str = SHOWQ,
        before: Callable[[], None] = lambda: None,
    ) -> None:
        """``before`` runs before each answer, for counters whose log is read only when somebody asks."""
        self._metrics, self._before = metrics, before
        self._queue, self._certificates = QueueWatch(socket_path), CertificateWatch(places)
        self._lock = threading.Lock()

    def text(self) -> str:
        """Return the answer."""
        with self._lock:
            self._before()
            up, queue = self._queue.look()
            certificates = self._certificates.look()
        return self._metrics.render(up=up, queue=queue, certificates=certificates)


class MetricsServer(socketserver.ThreadingMixIn, HTTPServer):
    """``GET /metrics``, and ``GET /healthz`` where there is a ``trouble`` to ask; everything else is not found."""

    daemon_threads = True
    request_queue_size = MOST_CONNECTIONS

    def __init__(
        self,
        place: Tuple[str, int],
        scrape: Callable[[], str],
        *,
        trouble: Optional[Callable[[], Optional[str]]] = None,
        networks: Optional[Sequence[str]] = None,
        version: str = "",
    ) -> None:
        """Listen at ``place``; ``::`` takes both IP versions. Raises OSError where that cannot be.

        ``networks`` may ask besides the host itself; None: everybody who can connect. ``trouble`` says what is wrong
        with the relay, None for nothing. ``version`` is told in the header Server.
        """
        self.address_family = socket.AF_INET6 if ":" in place[0] else socket.AF_INET
        self.scrape, self.trouble, self.version = scrape, trouble, version
        self._networks = None if networks is None else [ipaddress.ip_network(text) for text in networks]
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        HTTPServer.__init__(self, place, _Handler)

    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which may take a resolver's time-out."""
        if self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - of socketserver
        """Turn strangers away, and whoever comes while all rooms are taken."""
        return self._may_ask(str(client_address[0])) and self._room.acquire(blocking=False)

    def _may_ask(self, text: str) -> bool:
        address = ipaddress.ip_address(text.partition("%")[0])
        mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
        address = mapped or address
        return self._networks is None or address.is_loopback or any(address in net for net in self._networks)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the connection's thread; without one its room is free again."""
        try:
            socketserver.ThreadingMixIn.process_request(self, request, client_address)
        except RuntimeError:
            self._room.release()
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve one connection, within its time."""
        timer = threading.Timer(CONNECTION_SECONDS, _end, [request])
        timer.daemon = True
        timer.start()
        try:
            socketserver.ThreadingMixIn.process_request_thread(self, request, client_address)
        finally:
            timer.cancel()
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a client that goes away is no fault."""


def _end(request: socket.socket) -> None:
    with contextlib.suppress(OSError):
        request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One question, one answer, then the connection ends."""

    server: MetricsServer
    timeout = 5

    def version_string(self) -> str:
        """Return the header Server: which of our versions, nothing of Python's."""
        return "mailstack-relay" + (f"/{self.server.version}" if self.server.version else "")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == PATH:
            self._answer(200, self.server.scrape(), CONTENT_TYPE)
        elif path == HEALTH_PATH and self.server.trouble is not None:
            trouble = self.server.trouble()
            self._answer(503 if trouble else 200, f"{trouble or 'healthy'}\n")
        else:
            self._answer(404, "here is only /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - of http.server

    def _answer(self, status: int, text: str, kind: str = "text/plain; charset=utf-8") -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name is http.server's
        """Log nothing: Prometheus asks several times a minute."""
