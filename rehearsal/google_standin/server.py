"""The stand-in as a whole: listeners, sessions, rule, faults and the control API, with start and stop."""

import contextlib
import logging
import socket
import ssl
import threading
from typing import Self

from rehearsal.serving import StartStop

from .config import ListenerConfig, RelayRule, StandinConfig
from .control import ControlServer
from .faults import FaultSet, parse_fault
from .policy import LimitTracker
from .records import FaultStatus
from .session import Session
from .state import StandinState
from .tls import server_context

__all__ = ["GoogleStandin"]

_LOG = logging.getLogger("google_standin")
_BACKLOG = 256


class GoogleStandin(StartStop):
    """A running stand-in; usable as a context manager.

    Every listener and the control API run in their own threads, every session in one more. Certificates are
    read by the constructor.

    Raises:
        OSError: a certificate file cannot be read, or (from :meth:`start`) a port is taken.
        ssl.SSLError: a certificate and its key do not fit.
    """

    def __init__(self, config: StandinConfig) -> None:
        """Prepare everything; nothing listens before :meth:`start`."""
        self.config = config
        self.state = StandinState()
        self.faults = FaultSet()
        self.limits = LimitTracker()
        self._rule = config.rule
        self._lock = threading.RLock()
        self._stopping = threading.Event()
        self._good_context = server_context(config.certificate, config.client_ca)
        self._faulty_contexts = {
            name: server_context(files, config.client_ca) for name, files in config.faulty_certificates.items()
        }
        self._ports = [listener.port for listener in config.listeners]
        self._listening: list[socket.socket] = []
        self._sessions: set[Session] = set()
        self._control = ControlServer(self)

    # -- start and stop -----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Open all ports and return at once."""
        try:
            self._open_listeners()
            self._control.start()
            _LOG.info("control API on %s", self.control_url)
        except OSError:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Close all ports and sessions."""
        self._stopping.set()
        self._close_listeners()
        self._control.stop()

    @property
    def control_url(self) -> str:
        """Base address of the control API, for the client class."""
        return self._control.url

    def port(self, number: int = 0) -> int:
        """The port of the listener at this place in the configuration."""
        return self._ports[number]

    def _open_listeners(self) -> None:
        with self._lock:
            if self._listening or self._stopping.is_set():
                return
            for number, listener in enumerate(self.config.listeners):
                opened = _listen(listener.host, self._ports[number])
                self._ports[number] = int(opened.getsockname()[1])
                self._listening.append(opened)
                threading.Thread(
                    target=self._accept,
                    args=(opened, listener),
                    name=f"listener-{self._ports[number]}",
                    daemon=True,
                ).start()
                _LOG.info("listening on %s port %d (%s)", listener.host, self._ports[number], listener.tls)

    def _close_listeners(self) -> None:
        with self._lock:
            listening, self._listening = self._listening, []
            sessions = list(self._sessions)
        for opened in listening:
            # Only shutdown wakes the thread that waits in accept.
            with contextlib.suppress(OSError):
                opened.shutdown(socket.SHUT_RDWR)
            opened.close()
        for session in sessions:
            session.interrupt()

    def _accept(self, opened: socket.socket, listener: ListenerConfig) -> None:
        while True:
            try:
                connection, _ = opened.accept()
            except OSError:
                return
            threading.Thread(
                target=self._serve, args=(opened, connection, listener), name="session", daemon=True
            ).start()

    def _serve(self, opened: socket.socket, connection: socket.socket, listener: ListenerConfig) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = Session(self, connection, listener)
        except OSError:
            connection.close()
            return
        with self._lock:
            # The listener may have been closed between accept and here.
            wanted = opened in self._listening
            if wanted:
                self._sessions.add(session)
        if not wanted:
            session.close()
            return
        try:
            session.run()
        finally:
            with self._lock:
                self._sessions.discard(session)

    # -- what sessions and the control API use ------------------------------------------------------------

    def rule(self) -> RelayRule:
        """The rule in force now."""
        with self._lock:
            return self._rule

    def set_rule(self, rule: RelayRule) -> None:
        """Replace the rule; sessions use it from their next command on."""
        with self._lock:
            self._rule = rule
        _LOG.info("rule replaced: domains %s, senders %s", ", ".join(rule.domains), rule.allowed_senders)

    def tls_context(self) -> ssl.SSLContext:
        """The context for a handshake that starts now."""
        faulty = self.faults.certificate()
        return self._faulty_contexts[faulty] if faulty else self._good_context

    def wait(self, seconds: float) -> None:
        """Sleep, but wake up when the server stops."""
        self._stopping.wait(seconds)

    def add_fault(self, description: object) -> FaultStatus:
        """Switch a failure on.

        Raises:
            FaultError: the description is not valid.
        """
        fault = self.faults.add(parse_fault(description, frozenset(self._faulty_contexts)))
        self._apply_faults()
        _LOG.info("fault %d on: %s", fault.id, fault.kind)
        return fault

    def clear_faults(self) -> None:
        """Switch all failures off."""
        self.faults.clear()
        self._apply_faults()
        _LOG.info("all faults off")

    def remove_fault(self, fault_id: int) -> bool:
        """Switch one failure off; false when there is none of that id."""
        found = self.faults.remove(fault_id)
        self._apply_faults()
        return found

    def _apply_faults(self) -> None:
        if self.faults.is_down():
            self._close_listeners()
        else:
            self._open_listeners()

    def reset(self) -> None:
        """Forget messages, counters, limits and faults; the rule stays."""
        self.clear_faults()
        self.limits.reset()
        self.state.reset()


def _listen(host: str, port: int) -> socket.socket:
    if host == "::":
        return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=True)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=_BACKLOG)
