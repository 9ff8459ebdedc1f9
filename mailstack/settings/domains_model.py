"""The shape of ``domains``: what is published for a domain that mail is sent from."""

from typing import Annotated, Literal

from pydantic import Field

from mailstack.settings.domain_records_model import BimiLogo, Caa, TlsRpt
from mailstack.settings.providers_model import Mailgun, SendGrid, Ses
from mailstack.settings.section import Section
from mailstack.settings.types import (
    Day,
    DomainName,
    EmailAddress,
    HostName,
    LogicalName,
    PrivateKey,
    Selector,
    ServiceName,
    SpfTarget,
)

__all__ = ["DkimKey", "Dmarc", "DmarcStage", "Domain", "MailExchanger", "SharedDkimKey", "Spf"]

DmarcAction = Literal["none", "quarantine", "reject"]
Alignment = Literal["relaxed", "strict"]


class MailExchanger(Section):
    """One MX record (RFC 5321 §5.1)."""

    preference: int = Field(ge=0, le=65535, description="Lower is tried first.")
    exchange: HostName = Field(description="Host that takes the mail; never an address.")


class Spf(Section):
    """What the SPF record has beyond the upstream's include (RFC 7208)."""

    include: tuple[SpfTarget, ...] = Field(
        default=(), description="Other senders of this domain, by include; macros such as %{ir} are allowed."
    )
    lookups: dict[SpfTarget, Annotated[int, Field(ge=1, le=10)]] = Field(
        default={},
        description="DNS look-ups an include or redirect costs, nested ones counted; 1 is assumed.",
    )
    mechanisms: tuple[str, ...] = Field(default=(), description="Further mechanisms, such as ip4:192.0.2.1.")
    all: Literal["~all", "-all", "?all"] | None = Field(
        default=None, description="What others get: softfail, fail, or nothing said. Absent: ~all, unless redirect."
    )
    redirect: SpfTarget | None = Field(
        default=None, description="Domain whose record decides about everybody else, instead of all."
    )
    flatten: tuple[ServiceName, ...] = Field(
        default=(),
        description="Includes that are written as the addresses behind them, out of spf.lock.json: "
        "`mailstack dns flatten` writes that file.",
    )


class DkimKey(Section):
    """One DKIM key: a private key of its own, one shared by name, the public key another signer shows (RFC 6376), or
    an alias of the name where a provider keeps it.

    The four days are the steps of a rotation, each written when it was taken (`mailstack rotate dkim`).
    """

    selector: Selector = Field(description="Name of the key, such as the month it was made in.")
    private_key: PrivateKey | None = Field(
        default=None, description="Private key, RSA or as key_type says; `mailstack init` makes it."
    )
    key: LogicalName | None = Field(default=None, description="Name of a key in `dkim_keys`, shared by many domains.")
    public_key: str | None = Field(
        default=None, description="Public key, base64: what stands after p= in the signer's record."
    )
    alias: ServiceName | None = Field(
        default=None, description="Name at the provider that the selector is a CNAME of: it changes keys by itself."
    )
    key_type: Literal["rsa", "ed25519"] = Field(
        default="rsa", description="Kind of key. ed25519 goes beside an RSA key, never alone, and not with Postal."
    )
    tenant: LogicalName | None = Field(
        default=None,
        description="Customer whose mail it signs: published as <tenant>.<selector>.dkim.<domain>, where the "
        "customer's selector is an alias of.",
    )
    published: Day | None = Field(default=None, description="Day its record was published.")
    signing: Day | None = Field(default=None, description="Day it began to sign.")
    retired: Day | None = Field(default=None, description="Day another key took over.")
    revoked: Day | None = Field(default=None, description="Day its record was emptied.")

    @property
    def ours(self) -> bool:
        """Tell whether the private key is in our hands."""
        return self.public_key is None and self.alias is None

    def record_name(self, domain: str) -> str:
        """Return where its record stands."""
        if self.tenant is not None:
            return f"{self.tenant}.{self.selector}.dkim.{domain}"
        return f"{self.selector}._domainkey.{domain}"


class SharedDkimKey(Section):
    """A private key that domains name instead of having one each: it stands once in the configuration."""

    private_key: PrivateKey = Field(description="RSA private key; `mailstack init` makes it.")


class DmarcStage(Section):
    """One stage on the way to a strict policy."""

    policy: DmarcAction = Field(description="What receivers do with mail that fails.")
    since: Day = Field(description="Day the stage was entered.")


class Dmarc(Section):
    """The DMARC policy (RFC 9989)."""

    policy: DmarcAction = Field(default="quarantine", description="What receivers do with mail that fails (p).")
    ramp: tuple[DmarcStage, ...] = Field(
        default=(),
        description="Instead of policy: the stages entered so far, the last one in force. "
        "`mailstack dmarc report` says when the next is safe.",
    )
    subdomain_policy: DmarcAction | None = Field(default=None, description="For subdomains (sp). Absent: policy.")
    nonexistent_policy: DmarcAction | None = Field(default=None, description="For names that do not exist (np).")
    aggregate_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of daily reports (rua).")
    failure_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of failure reports (ruf).")
    dkim_alignment: Alignment = Field(default="relaxed", description="strict: d= equals the From domain.")
    spf_alignment: Alignment = Field(default="relaxed", description="strict: MAIL FROM equals the From domain.")
    psd: Literal["y", "n"] | None = Field(
        default=None,
        description="n: an organisation of its own, whatever is above (psd). y: others register names below it.",
    )

    @property
    def stage(self) -> DmarcAction:
        """The policy in force."""
        return self.ramp[-1].policy if self.ramp else self.policy


class Domain(Section):
    """A domain that mail is sent from."""

    name: DomainName = Field(description="The domain in From.")
    upstream: LogicalName | None = Field(
        default=None, description="Which of relay.upstreams its mail goes to. Absent: relay.upstream."
    )
    mx: tuple[MailExchanger, ...] | None = Field(
        default=None,
        description="Absent: the upstream's mailboxes, or left alone. Empty list: the domain receives no mail.",
    )
    spf: Spf = Field(default=Spf(), description="Who else may send for it.")
    dkim: tuple[DkimKey, ...] = Field(default=(), description="Keys to publish.")
    dmarc: Dmarc = Field(default=Dmarc(), description="Its policy.")
    profile: Literal["sending", "send-only", "parked"] = Field(
        default="sending",
        description="send-only: no mailboxes; a null MX, or `mx` for bounces alone. parked: no mail at all, and every "
        "message in its name is to be refused.",
    )
    caa: Caa | None = Field(default=None, description="Who may issue certificates. Absent: nothing is said.")
    tls_rpt: TlsRpt | None = Field(default=None, description="Reports about TLS of incoming mail.")
    bimi: BimiLogo | None = Field(default=None, description="A logo for its mail.")
    ses: Ses | None = Field(default=None, description="Records that Amazon SES asks for.")
    sendgrid: SendGrid | None = Field(default=None, description="Records that SendGrid asks for.")
    mailgun: Mailgun | None = Field(default=None, description="Records that Mailgun asks for.")

    @property
    def sends(self) -> bool:
        """Tell whether mail is sent from it."""
        return self.profile != "parked"
