"""Ports of hosts and services: waiting for one, finding a free one."""

import secrets
import socket

from rehearsal.ground.errors import GroundError
from rehearsal.waiting import wait_for

__all__ = ["free_port", "wait_for_port", "wait_for_ssh"]

SSH_TIMEOUT = 30.0
"""Seconds from a booted systemd to an SSH banner."""

PORTS = range(12000, 32000)
TRIES = 100


def wait_for_port(address: str, port: int, timeout: float = 30.0) -> None:
    """Return once something accepts TCP at ``address:port``; ``GroundError`` after ``timeout`` seconds."""
    errors: list[OSError] = []

    def accepts() -> bool:
        try:
            with socket.create_connection((address, port), timeout=2.0):
                return True
        except OSError as error:
            errors[:] = [error]
            return False

    if not wait_for(accepts, timeout):
        raise GroundError(
            f"Nothing accepts connections at {address} port {port} after {timeout:.0f} s ({errors[0]}). "
            "Fix: look at the log of what should listen there."
        ) from errors[0]


def wait_for_ssh(address: str, port: int) -> None:
    """Return once an SSH server greets at ``address:port``; ``GroundError`` after ``SSH_TIMEOUT`` seconds."""

    def greets() -> bool:
        try:
            with socket.create_connection((address, port), timeout=2.0) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    if not wait_for(greets, SSH_TIMEOUT):
        raise GroundError(
            f"No SSH banner from {address} port {port} after {SSH_TIMEOUT:.0f} s. "
            "Fix: look at `journalctl -u ssh` with Ground.exec."
        )


def free_port() -> int:
    """Return a TCP port of the loopback interface that nobody listens on now.

    Below those that Linux gives to connections going out (ip_local_port_range, from 32768): one of these may be taken
    before whoever asked listens there.
    """
    for _ in range(TRIES):
        port = secrets.choice(PORTS)
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise GroundError(f"No port of {PORTS.start} to {PORTS.stop - 1} is free. Fix: end what listens on so many.")
