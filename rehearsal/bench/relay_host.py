"""What the bench does on a relay host: nothing that changes how fast it is, the same on both.

It installs the bench's CA into the system's bundle, points the resolver at the bench's upstream, and
restarts Postfix so that every process sees both. The hand-made relay is set up here too.
"""

from __future__ import annotations

from rehearsal.bench.docker import Container
from rehearsal.bench.errors import BenchError
from rehearsal.bench.guide_config import guide_arguments

__all__ = ["QueueError", "point_at_upstream", "require_empty_queue", "set_up_guide", "trust_ca"]

INSTALL_SECONDS = 600

# Debian's and Red Hat's way of adding a CA to the bundle that programs read.
TRUST_SCRIPT = """
set -eu
if ! command -v systemctl >/dev/null; then
    # A container with a read-only root: its bundle is a file of ours.
    cat >/etc/ssl/certs/ca-certificates.crt
elif command -v update-ca-certificates >/dev/null; then
    mkdir -p /usr/local/share/ca-certificates
    cat >/usr/local/share/ca-certificates/mailstack-bench.crt
    update-ca-certificates
else
    cat >/etc/pki/ca-trust/source/anchors/mailstack-bench.pem
    update-ca-trust
fi
"""

# Docker mounts /etc/resolv.conf, so it is written in place. Debian's unit copies it into the chroot.
RESOLVER_SCRIPT = """
set -eu
cat >/etc/resolv.conf
if command -v systemctl >/dev/null; then systemctl restart postfix; else postfix reload; fi
"""

INSTALL_SCRIPT = """
set -eu
command -v postconf >/dev/null && exit 0
export DEBIAN_FRONTEND=noninteractive
apt-get -q update
apt-get -q install -y --no-install-recommends postfix ca-certificates
"""


class QueueError(BenchError):
    """Mail lies in a relay's queue when there should be none."""


def set_up_guide(host: Container) -> None:
    """Turn a fresh Debian host into the relay of the hand-made guide, see `guide_config`."""
    host.run("sh", "-c", INSTALL_SCRIPT, seconds=INSTALL_SECONDS)
    host.run("postconf", "-e", *guide_arguments())
    host.run("systemctl", "restart", "postfix")


def trust_ca(host: Container, pem: str) -> None:
    """Add a CA certificate (PEM) to the host's bundle."""
    host.run("sh", "-c", TRUST_SCRIPT, stdin=pem)


def point_at_upstream(host: Container, resolver: str) -> None:
    """Make `resolver` (IPv4 address) the host's only DNS server and restart Postfix."""
    host.run("sh", "-c", RESOLVER_SCRIPT, stdin=f"nameserver {resolver}\noptions attempts:2 timeout:2\n")


def require_empty_queue(host: Container) -> None:
    """QueueError, with the end of the listing, unless the queue is empty."""
    listing = host.run("postqueue", "-p").strip()
    if listing != "Mail queue is empty":
        raise QueueError(f"queue of {host.name} is not empty:\n{listing[-1500:]}")
