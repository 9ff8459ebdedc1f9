"""A way into hosts: what a host says about itself, read over SSH by the role ``host_facts``. Changes nothing there."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from mailstack.reach.bundle import command_line, payload
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import SshError, run_over_ssh

__all__ = ["CertificateFile", "HostAccess", "HostAccessError", "HostFacts", "Machine", "SshAccess"]

ROLE = "host_facts"
# Package managers take their time to count updates.
LOOK_SECONDS = 60


class HostAccessError(RuntimeError):
    """The host was not reached, or could not answer; the text says why."""


@dataclass(frozen=True, kw_only=True)
class CertificateFile:
    """A PEM file on the host: ``sha256`` of its first certificate in hexadecimal, or the ``error`` in reading it."""

    path: str
    sha256: str = ""
    error: str = ""


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What a host says about itself. None: it could not tell.

    ``certificates`` maps a port to the file it is served from. ``disks`` maps a mount point to its free part, 0 to 1,
    and ``memory`` is the available part. ``last_backup`` is the age of the newest backup in seconds, ``backups`` tells
    whether there are to be any. ``updates`` counts packages, ``security_updates`` those of them that mend holes.
    ``password_login`` is sshd's PasswordAuthentication, ``system`` the distribution with its version.
    """

    certificates: Mapping[int, CertificateFile] = field(default_factory=dict)
    clock_synchronised: bool | None = None
    disks: Mapping[str, float] = field(default_factory=dict)
    memory: float | None = None
    backups: bool = False
    last_backup: float | None = None
    reboot_required: bool | None = None
    updates: int | None = None
    security_updates: int | None = None
    password_login: bool | None = None
    system: str | None = None


class HostAccess(Protocol):
    """A way into machines. ``SshAccess`` is the real one. Machines have names of their own: many host names may lead
    to one of them.
    """

    def machines(self) -> Sequence[str]:
        """Return the names of all machines there is a way into."""

    def at(self, address: str) -> str | None:
        """Return the machine that has an address; None where it is none of them."""

    def facts(self, machine: str) -> HostFacts:
        """Return what a machine says. Raises HostAccessError."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """A machine: the way in, its public addresses, its PEM files by the port they are served at, its backups."""

    connection: Connection
    addresses: tuple[str, ...] = ()
    certificates: Mapping[int, str] = field(default_factory=dict)
    backups: str | None = None


@dataclass(frozen=True, kw_only=True)
class SshAccess:
    """Ways into machines over SSH, by their names."""

    known: Mapping[str, Machine]

    def machines(self) -> Sequence[str]:
        """Return their names."""
        return tuple(self.known)

    def at(self, address: str) -> str | None:
        """Look an address up."""
        return next((name for name, machine in self.known.items() if address in machine.addresses), None)

    def facts(self, machine: str) -> HostFacts:
        """Run the role and read its facts."""
        known = self.known[machine]
        settings = {
            "certificates": {str(port): path for port, path in known.certificates.items()},
            "backups": known.backups,
        }
        command = command_line("check", timeout_seconds=LOOK_SECONDS)
        try:
            finished = run_over_ssh(known.connection, command, payload(ROLE, settings, {}))
        except (SshError, OSError) as error:
            raise HostAccessError(str(error)) from None
        lines = finished.stdout.strip().splitlines()
        if finished.code != 0 or not lines:
            last = (finished.stderr.strip().splitlines() or ["no output"])[-1]
            raise HostAccessError(f"looking at the host failed with exit code {finished.code}: {last}")
        return read_facts(json.loads(lines[-1])["facts"])


def read_facts(said: Mapping[str, Any]) -> HostFacts:
    """Read what the role says. Raises TypeError for what it does not say."""
    certificates = {int(port): CertificateFile(**one) for port, one in said["certificates"].items()}
    return HostFacts(**{**said, "certificates": certificates})
