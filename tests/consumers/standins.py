"""What applications talk to: an SMTP server and Postal's API, each of which answers what a test tells it."""

import asyncio
import base64
import json
import ssl
import threading
from collections.abc import Callable
from email import message_from_bytes
from email.message import Message
from email.policy import default
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

__all__ = ["ApiStandin", "SmtpStandin"]

OK = "250 OK"
LOST = "lost"


class SmtpStandin:
    """Speaks SMTP at ``host`` and ``port``. ``rcpt`` and ``data`` are its next answers, then it takes everything.

    ``LOST`` as an answer to data closes the connection; ``farewell`` is the answer to QUIT. With ``login`` (user,
    password) a client has to log in; with ``tls`` it offers STARTTLS, and takes a login in clear too, as Postal does.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        rcpt: tuple[str, ...] = (),
        data: tuple[str, ...] = (),
        farewell: str = "221 bye",
        tls: ssl.SSLContext | None = None,
        login: tuple[str, str] | None = None,
    ) -> None:
        self.port = port
        self._rcpt, self._data = list(rcpt), list(data)
        self._login, self._farewell = login, farewell
        self.messages: list[Message] = []
        # Every message that came in whole, taken or not.
        self.offered: list[Message] = []
        self.recipients: list[str] = []
        # Whether the connection was below TLS, at each login.
        self.logins: list[bool] = []
        self._controller = Controller(
            self,
            hostname=host,
            port=port,
            tls_context=tls,
            auth_required=login is not None,
            auth_require_tls=False,
            authenticator=self._authenticate if login else None,
        )

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._controller.stop()

    def _authenticate(
        self, _server: SMTP, session: Session, _envelope: Envelope, _mechanism: str, given: object
    ) -> AuthResult:
        self.logins.append(session.ssl is not None)
        wanted = LoginPassword(*(word.encode() for word in self._login or ()))
        # Not handled: then aiosmtpd itself answers 535.
        return AuthResult(success=given == wanted, handled=False)

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        self.recipients.append(address)
        answer = self._rcpt.pop(0) if self._rcpt else OK
        if answer == OK:
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_QUIT(self, _server: SMTP, _session: Session, _envelope: Envelope) -> str:  # noqa: N802 - the same
        return self._farewell

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - the same
        answer = self._data.pop(0) if self._data else OK
        message = message_from_bytes(envelope.original_content or b"", policy=default)
        self.offered.append(message)
        if answer == LOST:
            transport = server.transport
            assert isinstance(transport, asyncio.Transport)
            transport.abort()
        elif answer == OK:
            self.messages.append(message)
        return answer


Answer = tuple[int, Any]
CUT = "cut"
TOLD = (200, {"status": "success", "data": {"id": 7, "status": {"status": "Sent"}}})


class ApiStandin:
    """Postal's API. ``answers`` are (HTTP status, body) of the next sends; the last one stays.

    ``CUT`` as a body is one that ends too early; a text with status 302 is the place it leads to. ``status`` is the
    answer to who asks for a message; with ``busy`` each 429 says to come back after so many seconds.
    """

    def __init__(
        self, *answers: Answer, status: Answer = TOLD, busy: int | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self._answers, self._status, self._busy = list(answers), status, busy
        # (path, key, body) of each call.
        self.calls: list[tuple[str, str | None, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if tls is not None:
            # The handshake waits for a thread of the connection: a client that refuses the certificate stops nobody.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self._server.server_address[1]}/api/v1"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answer, busy = self._answer, self._busy

        class Handler(BaseHTTPRequestHandler):
            log_message: Callable[..., None] = lambda *_words: None

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = answer(self.path, self.headers.get("X-Server-API-Key"), json.loads(body))
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data) + (10 if content == CUT else 0)))
                if status == HTTPStatus.FOUND:
                    self.send_header("Location", str(content))
                if status == HTTPStatus.TOO_MANY_REQUESTS and busy is not None:
                    self.send_header("Retry-After", str(busy))
                self.end_headers()
                self.wfile.write(data)

        return Handler

    def _answer(self, path: str, key: str | None, body: Any) -> Answer:
        self.calls.append((path.removeprefix("/api/v1/"), key, body))
        if path.endswith("/messages/message"):
            return self._status
        if path.endswith("/messages/deliveries"):
            return 200, {"status": "success", "data": [{"status": "Sent", "details": "taken", "output": "250 OK"}]}
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    @property
    def messages(self) -> list[Message]:
        """What was sent."""
        return [message_from_bytes(base64.b64decode(body["data"]), policy=default) for body in self.sends]

    @property
    def sends(self) -> list[Any]:
        """The bodies of the calls that send."""
        return [body for path, _, body in self.calls if path == "send/raw"]
