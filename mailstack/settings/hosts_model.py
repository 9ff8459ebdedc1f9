"""The shape of ``ssh`` and ``hosts``: the machines and how Pulumi logs in to them."""

from pydantic import Field

from mailstack.settings.host_types import FirewallKind
from mailstack.settings.section import Section
from mailstack.settings.types import HostAddress, HostKey, IpAddress, Ipv4, Ipv6, Port, PrivateKey, UserName

__all__ = ["Host", "Jump", "Ssh"]


class Ssh(Section):
    """How Pulumi logs in to every host that does not say otherwise."""

    private_key: PrivateKey | None = Field(
        default=None, description="Private key, OpenSSH or PEM. Absent: the SSH agent of whoever runs Pulumi."
    )
    connect_attempts: int = Field(
        default=20, ge=1, le=200, description="Tries before a host counts as unreachable; 15 s each at most."
    )


class Jump(Section):
    """A host in between, as with `ssh -J`."""

    address: HostAddress = Field(description="Name or address of the jump host.")
    port: Port = Field(default=22, description="SSH port.")
    user: UserName = Field(default="root", description="Login name there.")
    private_key: PrivateKey | None = Field(default=None, description="Absent: the key of `ssh`.")
    host_key: HostKey | None = Field(default=None, description="Pinned key of the jump host.")


class Host(Section):
    """A machine that Pulumi configures over SSH."""

    address: HostAddress = Field(description="Name or address that SSH connects to.")
    port: Port = Field(default=22, description="SSH port.")
    user: UserName = Field(default="root", description="root, or a user with sudo without a password.")
    private_key: PrivateKey | None = Field(default=None, description="Absent: the key of `ssh`.")
    host_key: HostKey | None = Field(default=None, description="The host's public SSH key, pinned.")
    jump: Jump | None = Field(default=None, description="Host to go through.")
    public_ipv4: Ipv4 | None = Field(default=None, description="The IPv4 address its mail leaves from.")
    public_ipv6: Ipv6 | None = Field(default=None, description="The IPv6 address its mail leaves from.")
    private_address: IpAddress | None = Field(
        default=None, description="Address that the other hosts of this stack reach it at. Absent: public_ipv4."
    )
    firewall: FirewallKind = Field(
        default="none", description="What closes every port that is not declared. none: leaves the host as it is."
    )
    security_updates: bool | None = Field(
        default=None, description="Security updates of the system by itself, no reboot. Absent: left as it is."
    )
    minimum_memory_mb: int = Field(default=400, ge=64, le=1_048_576, description="Memory it must have.")
    minimum_disk_gb: int = Field(default=2, ge=1, le=65_536, description="Free space under /var.")

    @property
    def inner_address(self) -> str | None:
        """Return the address the other hosts reach it at, None where only a name for SSH is known."""
        return self.private_address or self.public_ipv4 or self.public_ipv6
