"""One SMTP session, from the greeting to the end (RFC 5321, 3207, 4954, 1870, 2920)."""

import base64
import contextlib
import datetime as dt
import hmac
import ipaddress
import logging
import re
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from typing import Protocol

from .config import ListenerConfig, RelayRule, StandinConfig
from .faults import FaultSet
from .policy import LimitTracker, SenderVerdict, ehlo_is_generic, judge_sender
from .records import ReceivedMessage, TlsFacts
from .replies import REPLIES, Stage
from .state import StandinState
from .wire import LineTooLongError, SessionEndedError, Wire

__all__ = ["Session", "SessionHost"]

_LOG = logging.getLogger("google_standin")
_PATH = re.compile(r"<([^<>\s]*)>\s*(.*)")
_TRANSACTION_STAGES = frozenset({Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.END_OF_DATA})


class SessionHost(Protocol):
    """What a session needs from the server that runs it."""

    config: StandinConfig
    state: StandinState
    faults: FaultSet
    limits: LimitTracker

    def rule(self) -> RelayRule:
        """The rule in force now."""

    def tls_context(self) -> ssl.SSLContext:
        """The context for a handshake that starts now."""

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up when the server stops."""


class Session:
    """Serves one accepted connection in the calling thread."""

    def __init__(self, host: SessionHost, connection: socket.socket, listener: ListenerConfig) -> None:
        """Take over ``connection``; :meth:`run` closes it."""
        self._host = host
        self._wire = Wire(connection)
        self._listener = listener
        self.peer_ip = _plain_ip(connection.getpeername()[0])
        self._port = int(connection.getsockname()[1])
        self._number = 0
        self._tls: TlsFacts | None = None
        self._ehlo = ""
        self._auth_user: str | None = None
        self._clear_transaction()

    def _clear_transaction(self) -> None:
        self._sender: str | None = None
        self._verdict: SenderVerdict | None = None
        self._recipients: list[str] = []
        self._taken: dict[Stage, str] = {}

    # -- life of the connection ---------------------------------------------------------------------------

    def run(self) -> None:
        """Talk until either side ends it. Never raises for what a client does."""
        self._number = self._host.state.connection_opened(self.peer_ip, self._port)
        try:
            self._wire.set_timeout(self._host.config.idle_timeout_seconds)
            if self._listener.tls == "implicit":
                self._handshake()
            if not self._fault(Stage.CONNECT):
                self._say(f"220 {self._host.config.hostname} ESMTP {self._token()} - gsmtp")
                self._serve()
        except SessionEndedError:
            pass
        except TimeoutError:
            with contextlib.suppress(OSError, SessionEndedError):
                self._refuse("timeout")
        except OSError as error:
            _LOG.info("connection %d from %s: %s", self._number, self.peer_ip, error.strerror or error)
        finally:
            self.close()
            self._host.state.connection_closed(self._number)

    def close(self) -> None:
        """End the connection, by the thread that runs the session; safe more than once."""
        self._wire.close()

    def interrupt(self) -> None:
        """End the connection from another thread; the session's own closes it."""
        self._wire.interrupt()

    def _handshake(self) -> None:
        try:
            self._tls = self._wire.handshake(self._host.tls_context())
        except OSError as error:
            self._host.state.handshake_failed()
            reason = getattr(error, "reason", None) or error.strerror or error
            _LOG.info("connection %d from %s: TLS: %s", self._number, self.peer_ip, reason)
            raise SessionEndedError from error
        self._host.state.handshake_done(self._number, self._tls)

    def _serve(self) -> None:
        commands: dict[str, Callable[[str], None]] = {
            "EHLO": self._on_ehlo,
            "HELO": self._on_helo,
            "STARTTLS": self._on_starttls,
            "AUTH": self._on_auth,
            "MAIL": self._on_mail,
            "RCPT": self._on_rcpt,
            "DATA": self._on_data,
            "RSET": self._on_rset,
            "NOOP": lambda _: self._say("250 2.0.0 OK"),
            "VRFY": lambda _: self._say("252 2.1.5 Send some mail, I'll try my best"),
            "QUIT": self._on_quit,
        }
        while True:
            line = self._read_line()
            verb, _, argument = line.partition(" ")
            action = commands.get(verb.upper())
            if action is None:
                self._protocol_error("502 5.5.1 Unrecognized command.")
            else:
                action(argument.strip())

    # -- reading and writing ------------------------------------------------------------------------------

    def _read_line(self) -> str:
        try:
            return self._wire.read_line()
        except LineTooLongError as error:
            self._say("500 5.5.1 Line too long.")
            self._wire.flush()
            raise SessionEndedError from error

    def _say(self, *lines: str) -> None:
        """Queue a reply; it leaves when there is no pipelined command left to read."""
        self._write(("\r\n".join(lines) + "\r\n").encode("utf-8", "replace"))

    def _write(self, reply: bytes) -> None:
        delay = self._host.faults.delay_seconds()
        if delay:
            self._wire.flush()
            self._host.wait(delay)
        self._wire.write(reply)

    def _token(self) -> str:
        return f"{secrets.token_hex(6)}-{self._number}si"

    def _protocol_error(self, text: str) -> None:
        self._host.state.refused(text[:3])
        self._say(f"{text} {self._token()} - gsmtp")

    def _refuse(self, name: str) -> None:
        """Give a reply of the table; end the connection when the reply says so."""
        reply = REPLIES[name]
        self._host.state.refused(name)
        domains = self._verdict.tried_domains if self._verdict else self._ehlo
        _LOG.info("connection %d from %s: %s %s %s", self._number, self.peer_ip, reply.code, reply.enhanced, name)
        self._write(reply.render(self._token(), ip=self.peer_ip, domains=domains))
        if reply.closes:
            self._wire.flush()
            raise SessionEndedError

    def _fault(self, stage: Stage) -> bool:
        """Apply a switched-on failure of this stage; true when an answer was given."""
        name = self._taken.get(stage)
        if name is None:
            fault = self._host.faults.take(stage)
            if fault is None:
                return False
            if fault.reply is None:
                self._wire.flush()
                raise SessionEndedError
            name = fault.reply
            if stage in _TRANSACTION_STAGES:
                self._taken[stage] = name
        self._refuse(name)
        return True

    # -- greeting, TLS, AUTH ------------------------------------------------------------------------------

    def _greeted(self, name: str) -> bool:
        if not name:
            self._protocol_error("501 5.5.4 Empty HELO/EHLO argument not allowed, closing connection.")
            self._wire.flush()
            raise SessionEndedError
        self._clear_transaction()
        self._ehlo = name
        if self._fault(Stage.EHLO):
            self._ehlo = ""
            return False
        if ehlo_is_generic(name):
            self._refuse("ehlo-refused")
        return True

    def _on_ehlo(self, name: str) -> None:
        if not self._greeted(name):
            return
        size = self._host.rule().limits.message_size_bytes
        extensions = [f"SIZE {size}", "8BITMIME", "AUTH LOGIN PLAIN" if self._tls else "STARTTLS"]
        extensions += ["ENHANCEDSTATUSCODES", "PIPELINING", "SMTPUTF8"]
        lines = [f"{self._host.config.hostname} at your service, [{self.peer_ip}]", *extensions]
        self._say(*(f"250{'-' if i < len(lines) - 1 else ' '}{line}" for i, line in enumerate(lines)))

    def _on_helo(self, name: str) -> None:
        if self._greeted(name):
            self._say(f"250 {self._host.config.hostname} at your service")

    def _on_starttls(self, argument: str) -> None:
        if self._tls or argument:
            self._protocol_error("503 5.5.1 STARTTLS is not allowed now.")
            return
        if self._wire.unread:
            # RFC 3207 section 4: what came in clear must not count as part of the protected session.
            self._refuse("pipelined-after-starttls")
            self._wire.flush()
            raise SessionEndedError
        if self._fault(Stage.STARTTLS):
            return
        self._say("220 2.0.0 Ready to start TLS")
        self._wire.flush()
        self._handshake()
        self._ehlo = ""
        self._auth_user = None
        self._clear_transaction()

    def _on_auth(self, argument: str) -> None:
        if not self._ehlo:
            self._protocol_error("503 5.5.1 EHLO/HELO first.")
        elif not self._tls:
            self._refuse("starttls-required")
        elif self._auth_user:
            self._protocol_error("503 5.5.1 Already authenticated.")
        elif not self._fault(Stage.AUTH):
            self._authenticate(argument)

    def _authenticate(self, argument: str) -> None:
        mechanism, _, initial = argument.partition(" ")
        if mechanism.upper() not in {"PLAIN", "LOGIN"}:
            self._refuse("unknown-auth-type")
            return
        try:
            user, password = self._credentials(mechanism.upper(), initial)
        except ValueError:  # bad base64, bad UTF-8, wrong number of parts, or "*"
            self._protocol_error("501 5.5.2 Cannot Decode response.")
            return
        expected = self._host.rule().smtp_auth_users.get(user.lower())
        if expected is None or not hmac.compare_digest(expected.encode(), password.encode()):
            self._refuse("bad-credentials")
            return
        self._auth_user = user.lower()
        self._say("235 2.7.0 Accepted")

    def _credentials(self, mechanism: str, initial: str) -> tuple[str, str]:
        if mechanism == "PLAIN":
            _identity, user, password = self._decoded(initial, prompt="").split("\0")
            return user, password
        user = self._decoded(initial, prompt="VXNlcm5hbWU6")
        return user, self._decoded("", prompt="UGFzc3dvcmQ6")

    def _decoded(self, initial: str, *, prompt: str) -> str:
        text = initial
        if not text:
            self._say(f"334 {prompt}")
            text = self._read_line()
        if text == "*":
            raise ValueError("cancelled by the client")
        return base64.b64decode(text, validate=True).decode()

    # -- the transaction ----------------------------------------------------------------------------------

    def _on_rset(self, _argument: str) -> None:
        self._clear_transaction()
        self._say("250 2.1.5 Flushed")

    def _on_quit(self, _argument: str) -> None:
        self._say(f"221 2.0.0 closing connection {self._token()} - gsmtp")
        self._wire.flush()
        raise SessionEndedError

    def _on_mail(self, argument: str) -> None:
        if not self._ehlo:
            self._protocol_error("503 5.5.1 EHLO/HELO first.")
            return
        if self._sender is not None:
            self._protocol_error("503 5.5.1 Sender already given.")
            return
        path = _parse_path(argument, "FROM:")
        if path is None or (path[0] and "@" not in path[0]):
            self._protocol_error("555 5.5.2 Syntax error.")
            return
        self._clear_transaction()
        if self._fault(Stage.MAIL):
            return
        sender, parameters = path
        rule = self._host.rule()
        if _declared_size(parameters) > rule.limits.message_size_bytes:
            self._refuse("message-too-large")
            return
        self._verdict = judge_sender(
            rule,
            ip=self.peer_ip,
            ehlo=self._ehlo,
            auth_user=self._auth_user,
            tls=self._tls is not None,
            sender=sender,
        )
        if self._denied_at(Stage.MAIL):
            return
        self._sender = sender
        self._host.state.transaction_started()
        self._say(f"250 2.1.0 OK {self._token()} - gsmtp")

    def _denied_at(self, stage: Stage) -> bool:
        verdict = self._verdict
        if verdict is None or verdict.refusal is None or verdict.stage is not stage:
            return False
        self._refuse(verdict.refusal)
        return True

    def _on_rcpt(self, argument: str) -> None:
        if self._sender is None:
            self._protocol_error("503 5.5.1 MAIL first.")
            return
        path = _parse_path(argument, "TO:")
        if path is None:
            self._protocol_error("555 5.5.2 Syntax error.")
            return
        if "@" not in path[0]:
            self._protocol_error("553 5.1.3 The recipient address is not a valid RFC 5321 address.")
            return
        if self._fault(Stage.RCPT) or self._denied_at(Stage.RCPT):
            return
        if len(self._recipients) >= self._host.rule().limits.recipients_per_transaction:
            self._refuse("too-many-recipients")
            return
        self._recipients.append(path[0])
        self._say(f"250 2.1.5 OK {self._token()} - gsmtp")

    def _on_data(self, _argument: str) -> None:
        if self._sender is None or not self._recipients:
            self._protocol_error(f"503 5.5.1 {'MAIL' if self._sender is None else 'RCPT'} first.")
            return
        if self._fault(Stage.DATA) or self._denied_at(Stage.DATA):
            return
        rule = self._host.rule()
        limit = self._host.limits.refusal(rule, self._sender, self._recipients)
        if limit:
            self._refuse(limit)
            return
        self._say("354 Go ahead")
        content = self._wire.read_content(rule.limits.message_size_bytes)
        if content is None:
            self._refuse("message-too-large")
        elif not self._fault(Stage.END_OF_DATA):
            self._accept(content)
        self._clear_transaction()

    def _accept(self, content: bytes) -> None:
        sender, verdict = self._sender, self._verdict
        if sender is None or verdict is None:
            raise SessionEndedError
        self._host.limits.record(sender, self._recipients)
        message = ReceivedMessage(
            id=0,
            connection=self._number,
            port=self._port,
            mail_from=sender,
            rcpt_to=tuple(self._recipients),
            ehlo=self._ehlo,
            peer_ip=self.peer_ip,
            tls=self._tls,
            auth_user=self._auth_user,
            relaying_domain=verdict.relaying_domain,
            received_at=dt.datetime.now(dt.UTC).isoformat(timespec="milliseconds"),
            size=len(content),
            headers=(),
        )
        marked = f"X-Relaying-Domain: {verdict.relaying_domain}\r\n".encode() + content
        number = self._host.state.accept(message, marked)
        _LOG.info(
            "connection %d from %s: message %d, %d recipients, %d bytes, %s",
            self._number,
            self.peer_ip,
            number,
            len(self._recipients),
            len(content),
            self._tls.version if self._tls else "in clear",
        )
        self._say(f"250 2.0.0 OK {int(time.time())} {self._token()} - gsmtp")


def _plain_ip(text: str) -> str:
    address = ipaddress.ip_address(text.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)


def _parse_path(argument: str, keyword: str) -> tuple[str, str] | None:
    if argument[: len(keyword)].upper() != keyword:
        return None
    match = _PATH.fullmatch(argument[len(keyword) :].strip())
    return (match.group(1), match.group(2)) if match else None


def _declared_size(parameters: str) -> int:
    match = re.search(r"(?:^|\s)SIZE=(\d{1,20})(?:\s|$)", parameters, re.IGNORECASE)
    return int(match.group(1)) if match else 0
