"""What `mailstack init` has to know of a new stack."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Literal

from mailstack.settings.environments import Environment
from mailstack.settings.host_types import FirewallKind
from mailstack.upstreams import PresetName

__all__ = ["SSH_PORT", "Answers", "HostPlace", "InDns", "host_place"]

SSH_PORT = 22


@dataclass(frozen=True, kw_only=True)
class HostPlace:
    """Where SSH finds a host."""

    user: str
    address: str
    port: int


@dataclass(frozen=True, kw_only=True)
class InDns:
    """What DNS has of a domain already: exchangers as ``(preference, host)``, and the texts of its records.

    ``zone`` is the parent whose zone at Cloudflare has its records; None for a domain with its own, or elsewhere.
    """

    mx: tuple[tuple[int, str], ...] = ()
    spf: str | None = None
    dmarc: str | None = None
    zone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Answers:
    """Everything a stack file is made of. ``host`` None: no machine is configured over SSH.

    ``today`` is the day the file is made, and the month of its DKIM keys. ``in_dns`` maps a domain to what is there.
    ``postal`` none: applications talk to the relay. ``tls`` is what Postal's names have, and none without Postal.
    ``engine`` is whose Docker runs the relay. ``digests`` maps images to what pins them, ``undigested`` to why nobody
    knows.
    """

    stack: str
    environment: Environment
    domains: tuple[str, ...]
    placement: Literal["vm", "docker", "kubernetes", "none"]
    upstream: PresetName
    dns: Literal["cloudflare", "server", "none"]
    postal: Literal["vm", "kubernetes", "none"]
    tls: Literal["acme", "custom", "internal", "cert-manager", "secret", "none"]
    contact: str
    today: date
    host: HostPlace | None = None
    host_key: str | None = None
    public_ipv4: str | None = None
    public_ipv6: str | None = None
    firewall: FirewallKind = "none"
    security_updates: bool = False
    context: str | None = None
    image: str | None = None
    egress: tuple[str, ...] = ()
    region: str | None = None
    upstream_host: str | None = None
    username: str | None = None
    certificate: str | None = None
    engine: Literal["host", "local"] = "host"
    database: str | None = None
    smtp_addresses: tuple[str, ...] = ()
    web_addresses: tuple[str, ...] = ()
    ingress_namespace: str | None = None
    issuer: str | None = None
    tls_secret: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    undigested: Mapping[str, str] = field(default_factory=dict)
    in_dns: Mapping[str, InDns] = field(default_factory=dict)


def host_place(text: str) -> HostPlace:
    """Read ``[user@]address[:port]``. Raises ValueError."""
    user, at, place = text.rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or (":" in address and not address.startswith("[")):
        address, port = place, ""
    if not address or (at and not user) or (port and not port.isdigit()):
        raise ValueError(f'"{text}" is not of the form user@address or user@address:port')
    return HostPlace(user=user or "root", address=address.strip("[]"), port=int(port or SSH_PORT))
