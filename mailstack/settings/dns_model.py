"""The shape of ``dns``: where the records go."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from mailstack.dns.cloudflare import TOKEN_RIGHTS
from mailstack.dns.rdata import RecordType
from mailstack.settings.dns_records_model import FurtherRecords, TlsaRecords
from mailstack.settings.section import Section
from mailstack.settings.types import (
    CloudflareId,
    DomainName,
    EmailAddress,
    HostName,
    IpAddress,
    LogicalName,
    OneLineSecret,
    OwnerName,
    Port,
)

__all__ = ["Cloudflare", "Dns", "DnsServer"]


def _by_name(value: Any) -> Any:
    """Let a list of names stand for a mapping without IDs."""
    return dict.fromkeys(value) if isinstance(value, list) and all(isinstance(name, str) for name in value) else value


class RateLimit(Section):
    """How many calls may be made, and in what time.

    Cloudflare takes 1,200 in five minutes from a user, with all tokens, and then refuses all for five minutes
    (developers.cloudflare.com/fundamentals/api/reference/limits). The default leaves some to others.
    """

    calls: int = Field(default=1100, ge=1, le=1_000_000, description="Calls in any such time.")
    seconds: int = Field(default=300, ge=1, le=3600, description="Seconds.")


class Cloudflare(Section):
    """DNS zones held by Cloudflare."""

    api_token: OneLineSecret = Field(description=f"API token with {TOKEN_RIGHTS} for these zones only.")
    zones: Annotated[dict[DomainName, CloudflareId | None], BeforeValidator(_by_name)] = Field(
        default={},
        description="Zone name to zone ID, or a list of names: IDs left out are looked up. "
        "Absent: each of `domains` that is not inside another one is a zone.",
    )
    rate_limit: RateLimit = Field(
        default=RateLimit(), description="What the token may ask for. Beyond it records wait for their turn."
    )


class DnsServer(Section):
    """An authoritative DNS server on one of the hosts."""

    host: LogicalName = Field(description="Which of `hosts` it runs on.")
    nameservers: tuple[HostName, ...] = Field(min_length=1, description="NS records of every zone.")
    hostmaster: EmailAddress = Field(description="Person in the SOA record.")
    listen_addresses: tuple[IpAddress, ...] = Field(default=(), description="Empty: the host's own addresses.")
    port: Port = Field(default=53, description="UDP and TCP port.")


class ExistingRecord(Section):
    """A record that a zone had before, and what is to become of it."""

    name: OwnerName = Field(description="Its name, as the preview shows it.")
    type: RecordType = Field(description="Its type.")
    content: str | None = Field(default=None, description="Its content, where the name has several of this type.")
    action: Literal["take-over", "keep"] = Field(
        description="take-over: one update imports it as it is, the next brings the declared value. keep: it stays."
    )


class Dns(Section):
    """Where the records go."""

    provider: Literal["cloudflare", "server", "none"] = Field(
        default="none",
        description="cloudflare: by its API. server: on a host of the stack. none: the zone is only a stack output, in "
        "BIND format.",
    )
    ttl: int = Field(default=3600, ge=60, le=86400, description="Seconds.")
    records: tuple[FurtherRecords, ...] = Field(
        default=(), description="Further records, beside those that follow from the stack."
    )
    signed_zones: tuple[DomainName, ...] = Field(
        default=(), description="Zones signed with DNSSEC, their DS record at the registrar. TLSA needs it."
    )
    tlsa: tuple[TlsaRecords, ...] = Field(default=(), description="TLSA records. Off: mail stops at a wrong one.")
    existing: tuple[ExistingRecord, ...] = Field(
        default=(), description="Records of before that would clash with declared ones, and what is decided about them."
    )
    look_seconds: int = Field(
        default=20,
        ge=0,
        le=300,
        description="Seconds to look at what the zones hold, for each hundred zones begun. 0: nobody looks.",
    )
    cloudflare: Cloudflare | None = Field(default=None, description="With provider cloudflare.")
    server: DnsServer | None = Field(default=None, description="With provider server.")
