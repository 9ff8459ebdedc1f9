"""What a ground hands out: hosts, and services beside them."""

import os
from dataclasses import dataclass, field

__all__ = ["Host", "Service"]


@dataclass(frozen=True, kw_only=True)
class Host:
    """A booted host that answers SSH."""

    name: str
    ground: str
    container_id: str
    container: str
    """Name of the container."""
    address: str
    """IPv4 address on the ground's network; stays the same over stop and start."""
    ssh_host: str
    """Where SSH is reached from this machine: ``address``, or 127.0.0.1 when the port is published."""
    ssh_port: int
    user: str
    """``root``, or ``admin`` with passwordless sudo."""
    host_key: str
    """``ssh-ed25519 AAAA...``, put in before the first boot and thus known out of band."""
    private_key_file: str
    known_hosts_file: str
    private_key: str = field(repr=False)
    """Client key in OpenSSH format."""

    def ssh_command(self, *options: str) -> list[str]:
        """Return the ssh(1) argv, without a command, that accepts nothing but the pinned host key."""
        settings = {
            "BatchMode": "yes",
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": self.known_hosts_file,
            "GlobalKnownHostsFile": os.devnull,
            "HostKeyAlgorithms": "ssh-ed25519",
            "ConnectTimeout": "10",
            "LogLevel": "ERROR",
        }
        pairs = [part for name, value in settings.items() for part in ("-o", f"{name}={value}")]
        return [
            "ssh", "-F", os.devnull, *pairs, "-i", self.private_key_file, "-p", str(self.ssh_port),
            *options, f"{self.user}@{self.ssh_host}",
        ]  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Service:
    """A plain container (no systemd, no SSH) on the ground's network: for stand-ins."""

    name: str
    ground: str
    container_id: str
    container: str
    address: str
