"""The shape of a stack's settings: every key of ``Pulumi.<stack>.yaml`` with its type, default and meaning.

Rules that need more than one field are in ``rules``.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from mailstack.settings.types import (
    CloudflareId,
    DomainName,
    EmailAddress,
    HostAddress,
    HostKey,
    HostName,
    IpAddress,
    IpNetwork,
    Ipv4,
    Ipv6,
    LogicalName,
    OneLineSecret,
    Port,
    PrivateKey,
    Selector,
    UserName,
)
from mailstack.upstreams import PRESETS, PresetName, Upstream

__all__ = [
    "Cloudflare",
    "DkimKey",
    "Dmarc",
    "Dns",
    "DnsServer",
    "Domain",
    "Host",
    "Jump",
    "MailExchanger",
    "Relay",
    "RelayRule",
    "RelayRuleProbe",
    "Settings",
    "Spf",
    "Ssh",
    "UpstreamSettings",
]

DmarcAction = Literal["none", "quarantine", "reject"]
Alignment = Literal["relaxed", "strict"]


class Section(BaseModel):
    """Base of all sections: unknown keys are errors, values never change after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


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
    port: Port = 22
    user: UserName = "root"
    private_key: PrivateKey | None = Field(default=None, description="Absent: the key of `ssh`.")
    host_key: HostKey | None = Field(default=None, description="Pinned key of the jump host.")


class Host(Section):
    """A machine that Pulumi configures over SSH."""

    address: HostAddress = Field(description="Name or address that SSH connects to.")
    port: Port = 22
    user: UserName = Field(default="root", description="root, or a user with sudo without a password.")
    private_key: PrivateKey | None = Field(default=None, description="Absent: the key of `ssh`.")
    host_key: HostKey | None = Field(default=None, description="The host's public SSH key, pinned.")
    jump: Jump | None = None
    public_ipv4: Ipv4 | None = Field(default=None, description="The IPv4 address its mail leaves from.")
    public_ipv6: Ipv6 | None = Field(default=None, description="The IPv6 address its mail leaves from.")
    minimum_memory_mb: int = Field(default=400, ge=64, le=1_048_576)
    minimum_disk_gb: int = Field(default=2, ge=1, le=65_536, description="Free space under /var.")


class MailExchanger(Section):
    """One MX record (RFC 5321 §5.1)."""

    preference: int = Field(ge=0, le=65535)
    exchange: HostName


class Spf(Section):
    """What the SPF record has beyond the upstream's include (RFC 7208)."""

    include: tuple[DomainName, ...] = Field(default=(), description="Other senders of this domain, by include.")
    lookups: dict[DomainName, Annotated[int, Field(ge=1, le=10)]] = Field(
        default={}, description="DNS look-ups an include costs, itself and nested ones counted; 1 is assumed."
    )
    mechanisms: tuple[str, ...] = Field(default=(), description="Further mechanisms, such as ip4:192.0.2.1.")
    all: Literal["~all", "-all"] = "~all"


class DkimKey(Section):
    """One DKIM key: its own private key, or the public key another signer shows (RFC 6376)."""

    selector: Selector
    private_key: PrivateKey | None = Field(default=None, description="RSA private key; `mailstack init` makes it.")
    public_key: str | None = Field(
        default=None, description="Public key, base64: what stands after p= in the signer's record."
    )
    key_type: Literal["rsa", "ed25519"] = "rsa"


class Dmarc(Section):
    """The DMARC policy (RFC 9989)."""

    policy: DmarcAction = "quarantine"
    subdomain_policy: DmarcAction | None = None
    nonexistent_policy: DmarcAction | None = None
    aggregate_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of daily reports (rua).")
    failure_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of failure reports (ruf).")
    dkim_alignment: Alignment = "relaxed"
    spf_alignment: Alignment = "relaxed"


class Domain(Section):
    """A domain that mail is sent from."""

    name: DomainName
    mx: tuple[MailExchanger, ...] | None = Field(
        default=None,
        description="Absent: the upstream's mailboxes, or left alone. Empty list: the domain receives no mail.",
    )
    spf: Spf = Spf()
    dkim: tuple[DkimKey, ...] = ()
    dmarc: Dmarc = Dmarc()


class UpstreamSettings(Section):
    """The service that takes the mail from the relay."""

    preset: PresetName = Field(default="google-workspace", description="Which provider.")
    region: str | None = Field(default=None, description="Region of SES (eu-west-1) or Mailgun (us, eu).")
    host: HostName | None = Field(default=None, description="Host name; only for preset custom.")
    port: Port = Field(default=587, description="587 upgrades by STARTTLS, 465 is TLS from the start.")
    auth: Literal["none", "sasl"] = Field(default="none", description="none: the upstream knows our IP address.")
    username: str | None = None
    password: OneLineSecret | None = None
    tls: Literal["secure", "verify", "encrypt", "may"] = Field(
        default="secure",
        description="secure: encrypted, certificate valid for the configured name. Weaker only on request.",
    )
    ca_file: str | None = Field(
        default=None, pattern=r"^/[^\s,]+$", description="CA bundle on the host. Absent: the system's."
    )
    spf_include: DomainName | None = Field(default=None, description="SPF include; only for preset custom.")

    @property
    def provider(self) -> Upstream:
        """Return the preset's data."""
        return PRESETS[self.preset]

    @property
    def host_name(self) -> str:
        """Return the name the relay connects to. Raises KeyError where the rules have already complained."""
        if self.host is not None:
            return self.host
        hosts = self.provider.hosts
        return hosts[self.region or ""] if (self.region or "") in hosts else hosts[""].format(region=self.region)


class Relay(Section):
    """The Postfix relay in front of the upstream."""

    placement: Literal["vm"] = "vm"
    host: LogicalName = Field(description="Which of `hosts` it runs on.")
    hostname: HostName = Field(description="Name it greets with (EHLO), inside one of `domains`.")
    listen_addresses: tuple[IpAddress, ...] = Field(default=("127.0.0.1",), min_length=1)
    listen_port: Port = 25
    client_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks that may submit mail, besides the host itself."
    )
    sender_domains: tuple[DomainName, ...] | None = Field(
        default=None, description="Domains allowed in MAIL FROM. Absent: all of `domains`."
    )
    upstream: UpstreamSettings = UpstreamSettings()
    masquerade_domains: tuple[DomainName, ...] = Field(
        default=(), description="host.example.com is rewritten to example.com in senders."
    )
    message_size_mb: int | None = Field(
        default=None, ge=1, le=1024, description="Megabytes (10^6). Absent: the upstream's limit."
    )
    concurrency: int | None = Field(
        default=None, ge=1, le=500, description="Sessions to the upstream. Absent: the preset's."
    )
    ip_protocol: Literal["auto", "ipv4", "ipv6", "all"] = Field(
        default="auto", description="auto: what the host has public addresses for."
    )
    queue_lifetime_hours: int = Field(default=48, ge=1, le=240)
    postmaster: EmailAddress | None = Field(default=None, description="Gets Postfix's own notices.")
    extra_parameters: dict[str, str | int | bool] = Field(
        default={}, description="Further main.cf parameters, checked on the host before use."
    )
    on_destroy: Literal["remove", "keep"] = Field(
        default="remove", description="What `pulumi destroy` does to Postfix on the host."
    )


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
    interval_seconds: int = Field(default=15, ge=1, le=3600)
    on_failure: Literal["warn", "fail"] = "warn"


class RelayRule(Section):
    """The SMTP relay rule in the Google Admin console, as it should be."""

    name: str = Field(min_length=1, max_length=100)
    allowed_senders: Literal["registered-users", "domain-addresses", "any-address"] = "domain-addresses"
    accept_any_address: bool = Field(default=False, description="Needed for allowed_senders any-address.")
    ip_ranges: tuple[IpNetwork, ...] | None = Field(
        default=None, description="Absent: exactly the relay host's public addresses."
    )
    require_smtp_auth: bool = False
    require_tls: bool = True
    domains: tuple[DomainName, ...] | None = Field(default=None, description="Absent: all of `domains`.")
    probe: RelayRuleProbe = RelayRuleProbe()


class Cloudflare(Section):
    """DNS zones held by Cloudflare."""

    api_token: OneLineSecret = Field(description="API token with DNS Read and DNS Write for these zones only.")
    zones: dict[DomainName, CloudflareId] = Field(min_length=1, description="Zone name to zone ID.")


class DnsServer(Section):
    """An authoritative DNS server on one of the hosts."""

    host: LogicalName = Field(description="Which of `hosts` it runs on.")
    nameservers: tuple[HostName, ...] = Field(min_length=1, description="NS records of every zone.")
    hostmaster: EmailAddress = Field(description="Person in the SOA record.")
    listen_addresses: tuple[IpAddress, ...] = Field(default=(), description="Empty: the host's own addresses.")
    port: Port = 53


class Dns(Section):
    """Where the records go."""

    provider: Literal["cloudflare", "server", "none"] = Field(
        default="none", description="none: the zone is only a stack output, in BIND format."
    )
    ttl: int = Field(default=3600, ge=60, le=86400, description="Seconds.")
    cloudflare: Cloudflare | None = None
    server: DnsServer | None = None


class Settings(Section):
    """All settings of one stack."""

    environment: Literal["local", "staging", "prod"] = Field(description="How strict the rules are.")
    ssh: Ssh = Ssh()
    hosts: dict[LogicalName, Host] = Field(min_length=1)
    domains: tuple[Domain, ...] = Field(min_length=1)
    relay: Relay
    relay_rule: RelayRule | None = None
    dns: Dns = Dns()

    def host_ssh_key(self, host: Host) -> SecretStr | None:
        """Return the private key for ``host``: its own or the common one; None means the SSH agent."""
        return host.private_key or self.ssh.private_key

    @property
    def relay_host(self) -> Host:
        """Return the host the relay runs on."""
        return self.hosts[self.relay.host]

    @property
    def egress_addresses(self) -> tuple[str, ...]:
        """Return the public addresses the relay's mail leaves from, those its IP protocol allows."""
        host, protocol = self.relay_host, self.relay.ip_protocol
        ipv4 = host.public_ipv4 if protocol != "ipv6" else None
        ipv6 = host.public_ipv6 if protocol != "ipv4" else None
        return tuple(address for address in (ipv4, ipv6) if address is not None)
