"""The shape of ``caddy``: certificates and the web server in front of Postal's web UI."""

from typing import Literal

from pydantic import Field

from mailstack.settings.section import Section
from mailstack.settings.types import (
    AbsolutePath,
    Certificate,
    Day,
    DomainName,
    EmailAddress,
    HostName,
    ImageReference,
    LogicalName,
    OneLineSecret,
    PrivateKey,
    WebUrl,
)

__all__ = ["Acme", "Caddy", "CustomCertificate", "MtaStsPolicy"]


class Acme(Section):
    """Certificates by ACME (RFC 8555), from one issuer."""

    email: EmailAddress = Field(description="Contact of the ACME account.")
    directory: WebUrl = Field(
        default="https://acme-v02.api.letsencrypt.org/directory", description="Directory URL of the issuer."
    )
    ca_file: AbsolutePath | None = Field(default=None, description="CA on the host for a private ACME server.")
    caa_name: DomainName | None = Field(
        default=None,
        description="Name of the issuer in CAA records. Absent: known for Let's Encrypt, ZeroSSL, Google, Buypass.",
    )
    challenge: Literal["http", "dns"] = Field(
        default="http", description="http: port 80 of every name. dns: needs a Caddy built with the Cloudflare module."
    )
    dns_token: OneLineSecret | None = Field(default=None, description="Cloudflare API token for challenge dns.")


class CustomCertificate(Section):
    """A certificate of your own."""

    certificate: Certificate = Field(description="Certificate and its chain, PEM.")
    private_key: PrivateKey = Field(description="Its key, PEM.")
    ca_file: AbsolutePath | None = Field(default=None, description="CA on the host that it chains to, if private.")


class MtaStsPolicy(Section):
    """A policy served at https://mta-sts.<domain>/.well-known/mta-sts.txt (RFC 8461)."""

    domain: DomainName = Field(description="The domain that receives mail.")
    mode: Literal["testing", "enforce", "none", "removed"] = Field(
        default="testing",
        description="What senders do with it. The way out: none for max_age, then removed, then no entry.",
    )
    mx: tuple[str, ...] = Field(min_length=1, description="Names of its mail exchangers; *. in front is allowed.")
    max_age: int = Field(default=604_800, ge=86_400, le=31_557_600, description="Seconds senders keep it.")
    none_since: Day | None = Field(default=None, description="Day on which mode none was published.")


class Caddy(Section):
    """The web server that has the certificates."""

    host: LogicalName = Field(description="Which of `hosts` it runs on.")
    placement: Literal["service", "container"] = Field(default="service", description="How it runs there.")
    image: ImageReference = Field(default="docker.io/library/caddy:2", description="With placement container.")
    certificates: Literal["acme", "custom", "internal"] = Field(
        default="acme",
        description="acme: Let's Encrypt, or another ACME authority. custom: your own. internal: Caddy's own CA, which "
        "nobody else trusts.",
    )
    acme: Acme | None = Field(default=None, description="With certificates acme.")
    custom: CustomCertificate | None = Field(default=None, description="With certificates custom.")
    hsts_seconds: int | None = Field(
        default=None, ge=0, le=63_072_000, description="Strict-Transport-Security. Absent: a year; 0 with internal."
    )
    mta_sts: tuple[MtaStsPolicy, ...] = Field(default=(), description="Policies it serves.")
    extra_names: tuple[HostName, ...] = Field(default=(), description="Further names on Postal's web UI.")
    expiry_warning_days: int = Field(default=14, ge=1, le=365, description="When a certificate counts as expiring.")
    on_destroy: Literal["remove", "keep"] = Field(default="keep", description="What `pulumi destroy` does to it.")
