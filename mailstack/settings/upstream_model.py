"""The shape of an upstream: the service that takes the mail from the relay."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import HostName, OneLineSecret, Port, ServiceName
from mailstack.upstreams import PRESETS, PresetName, SpfSource, Upstream

__all__ = ["UpstreamSettings"]


class UpstreamSettings(Section):
    """The service that takes the mail from the relay."""

    preset: PresetName = Field(default="google-workspace", description="Which provider.")
    region: str | None = Field(default=None, description="Region of SES (eu-west-1) or Mailgun (us, eu).")
    host: HostName | None = Field(default=None, description="Host name; only for preset custom.")
    port: Port = Field(default=587, description="587 upgrades by STARTTLS, 465 is TLS from the start.")
    auth: Literal["none", "sasl"] = Field(
        default="none", description="none: the upstream knows our IP address. sasl: by username and password."
    )
    username: str | None = Field(default=None, description="Login name, with auth sasl.")
    password: OneLineSecret | None = Field(default=None, description="Password, with auth sasl.")
    tls: Literal["secure", "verify", "encrypt", "may"] = Field(
        default="secure",
        description="secure: encrypted, certificate valid for the configured name. Weaker only on request.",
    )
    ca_file: str | None = Field(
        default=None, pattern=r"^/[^\s,]+$", description="CA bundle on the host. Absent: the system's."
    )
    smtputf8: bool | None = Field(
        default=None, description="Whether it takes addresses that are not ASCII. Absent: what is known of the preset."
    )
    spf_include: ServiceName | None = Field(default=None, description="SPF include; only for preset custom.")

    @property
    def provider(self) -> Upstream:
        """Return the preset's data."""
        return PRESETS[self.preset]

    @property
    def takes_smtputf8(self) -> bool:
        """Tell whether mail with addresses that are not ASCII may go there."""
        return self.provider.smtputf8 if self.smtputf8 is None else self.smtputf8

    @property
    def spf_source(self) -> SpfSource | None:
        """Return the SPF include that stands for it, None where our own addresses do."""
        return SpfSource(domain=self.spf_include, lookups=1) if self.spf_include else self.provider.spf

    @property
    def host_name_or_none(self) -> str | None:
        """Return the name the relay connects to, None where the rules complain about it."""
        try:
            return self.host_name
        except KeyError:
            return None

    @property
    def host_name(self) -> str:
        """Return the name the relay connects to. Raises KeyError where the rules have already complained."""
        if self.host is not None:
            return self.host
        hosts = self.provider.hosts
        return hosts[self.region or ""] if (self.region or "") in hosts else hosts[""].format(region=self.region)
