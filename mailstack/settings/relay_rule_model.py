"""The shape of ``relay_rule``: the SMTP relay rule of the Google Admin console."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import DomainName, EmailAddress, IpNetwork

__all__ = ["RelayRule", "RelayRuleProbe"]


class RelayRuleProbe(Section):
    """How the rule is proved from the host that sends; no message is ever sent."""

    sender: EmailAddress | None = Field(default=None, description="Absent: postmaster@ the first domain.")
    recipient: EmailAddress | None = Field(default=None, description="Absent: the sender.")
    wait_minutes: int = Field(
        default=2,
        ge=0,
        le=1500,
        description="How long a refusal is tried again; Google takes up to 24 hours.",
    )
    interval_seconds: int = Field(default=15, ge=1, le=3600, description="Between two tries.")
    on_failure: Literal["warn", "fail"] = Field(default="warn", description="fail: `pulumi up` fails.")


class RelayRule(Section):
    """The SMTP relay rule in the Google Admin console, as it should be."""

    name: str = Field(min_length=1, max_length=100, description="Name of the rule in the console.")
    allowed_senders: Literal["registered-users", "domain-addresses", "any-address"] = Field(
        default="domain-addresses", description="The three choices of the console."
    )
    accept_any_address: bool = Field(default=False, description="Needed for allowed_senders any-address.")
    ip_ranges: tuple[IpNetwork, ...] | None = Field(
        default=None, description="Absent: exactly the public addresses of the relay's hosts."
    )
    require_smtp_auth: bool = Field(default=False, description="Needs relay.upstream.auth sasl.")
    require_tls: bool = Field(default=True, description="Cannot be turned off.")
    domains: tuple[DomainName, ...] | None = Field(default=None, description="Absent: all of `domains`.")
    probe: RelayRuleProbe = Field(default=RelayRuleProbe(), description="How it is proved.")
