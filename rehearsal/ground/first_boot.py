"""What a host is made of before its first boot: arguments of its container, files on its disk, its admin."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from rehearsal.ground.archive import Entry
from rehearsal.ground.keys import KeyPair
from rehearsal.ground.machine import split_certificates

__all__ = ["ADMIN", "SYSTEMD_ARGUMENTS", "admin_files", "first_boot_files", "ipv6_arguments"]

ADMIN = "admin"
"""Login name of a host that nobody enters as root."""

# What lets systemd boot as process 1 without --privileged.
SYSTEMD_ARGUMENTS = (
    # SYS_PTRACE: root sees which process holds a port, as it does on a server.
    "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN", "--cap-add", "SYS_PTRACE",
    "--cap-add", "DAC_READ_SEARCH",  # root of a machine has it, and services are given it
    "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
    "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec",  # noqa: S108 - inside the host
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw", "--cgroupns=host",
    "--stop-signal", "SIGRTMIN+3", "--stop-timeout", "60",
)  # fmt: skip


def ipv6_arguments() -> tuple[str, ...]:
    """Give hosts ::1 as servers have it, where this machine's kernel knows IPv6 at all."""
    if not Path("/proc/sys/net/ipv6").is_dir():
        return ()
    return ("--sysctl", "net.ipv6.conf.all.disable_ipv6=0", "--sysctl", "net.ipv6.conf.default.disable_ipv6=0")


def first_boot_files(
    client: KeyPair,
    host_keys: KeyPair,
    ca_certificates: Sequence[str],
    *,
    network: str,
    unsafe_dpkg: bool,
) -> list[Entry]:
    """Return what a cloud would put on the disk before the first boot.

    ``network`` is for the host's own preparation (image_files/prepare.sh): range, ``internet`` or ``isolated``, and
    ``docker`` or ``plain``.
    """
    entries = [
        Entry(target="/etc/ssh/ssh_host_ed25519_key", content=host_keys.private.encode(), mode=0o600),
        Entry(target="/etc/ssh/ssh_host_ed25519_key.pub", content=f"{host_keys.public}\n".encode()),
        Entry(target="/root/.ssh", content=None, mode=0o700),
        Entry(target="/root/.ssh/authorized_keys", content=f"{client.public}\n".encode(), mode=0o600),
        # A snapshot brings the identity of the host it was taken from.
        Entry(target="/etc/machine-id", content=b""),
        Entry(target="/etc/rehearsal", content=None, mode=0o755),
        Entry(target="/etc/rehearsal/first-boot", content=b""),
        Entry(target="/etc/rehearsal/network", content=f"{network}\n".encode()),
    ]
    certificates = [pem for text in ca_certificates for pem in split_certificates(text)]
    entries += [
        Entry(target=f"/usr/local/share/ca-certificates/ground-{_digest(pem)}.crt", content=pem.encode())
        for pem in certificates
    ]
    if unsafe_dpkg:
        entries.append(Entry(target="/etc/dpkg/dpkg.cfg.d/rehearsal-unsafe-io", content=b"force-unsafe-io\n"))
    return entries


def admin_files(public_key: str) -> list[Entry]:
    """Return what makes ``ADMIN`` the one who logs in, with passwordless sudo, as on a cloud image."""
    home = f"/home/{ADMIN}/.ssh"
    return [
        Entry(target=home, content=None, mode=0o700, owner=ADMIN),
        Entry(target=f"{home}/authorized_keys", content=f"{public_key}\n".encode(), mode=0o600, owner=ADMIN),
        Entry(target="/etc/sudoers.d/90-rehearsal", content=f"{ADMIN} ALL=(ALL) NOPASSWD:ALL\n".encode(), mode=0o440),
        Entry(target="/root/.ssh/authorized_keys", content=b"", mode=0o600),
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
