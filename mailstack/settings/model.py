"""The shape of a stack's settings: every key of ``Pulumi.<stack>.yaml`` with its type, default and meaning.

Rules that need more than one field are in ``rules``.
"""

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from mailstack.settings.caddy_model import Caddy
from mailstack.settings.postal_model import Postal
from mailstack.settings.section import Section
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
    ServiceName,
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

SMTP_PORT = 25
# Postal owns port 25 of its host; nobody but Postal reaches this one.
SHARED_RELAY_PORT = 2525

DmarcAction = Literal["none", "quarantine", "reject"]
Alignment = Literal["relaxed", "strict"]


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
    firewall: Literal["none", "ufw", "firewalld"] = Field(
        default="none", description="What closes every port that is not declared. none: leaves the host as it is."
    )
    security_updates: bool | None = Field(
        default=None, description="Security updates of the system by itself, no reboot. Absent: left as it is."
    )
    minimum_memory_mb: int = Field(default=400, ge=64, le=1_048_576, description="Memory it must have.")
    minimum_disk_gb: int = Field(default=2, ge=1, le=65_536, description="Free space under /var.")


class MailExchanger(Section):
    """One MX record (RFC 5321 §5.1)."""

    preference: int = Field(ge=0, le=65535, description="Lower is tried first.")
    exchange: HostName = Field(description="Host that takes the mail; never an address.")


class Spf(Section):
    """What the SPF record has beyond the upstream's include (RFC 7208)."""

    include: tuple[ServiceName, ...] = Field(default=(), description="Other senders of this domain, by include.")
    lookups: dict[ServiceName, Annotated[int, Field(ge=1, le=10)]] = Field(
        default={}, description="DNS look-ups an include costs, itself and nested ones counted; 1 is assumed."
    )
    mechanisms: tuple[str, ...] = Field(default=(), description="Further mechanisms, such as ip4:192.0.2.1.")
    all: Literal["~all", "-all"] = Field(default="~all", description="What others get: softfail or fail.")


class DkimKey(Section):
    """One DKIM key: its own private key, or the public key another signer shows (RFC 6376)."""

    selector: Selector = Field(description="Name of the key, such as the month it was made in.")
    private_key: PrivateKey | None = Field(default=None, description="RSA private key; `mailstack init` makes it.")
    public_key: str | None = Field(
        default=None, description="Public key, base64: what stands after p= in the signer's record."
    )
    key_type: Literal["rsa", "ed25519"] = Field(default="rsa", description="Kind of public_key.")


class Dmarc(Section):
    """The DMARC policy (RFC 9989)."""

    policy: DmarcAction = Field(default="quarantine", description="What receivers do with mail that fails (p).")
    subdomain_policy: DmarcAction | None = Field(default=None, description="For subdomains (sp). Absent: policy.")
    nonexistent_policy: DmarcAction | None = Field(default=None, description="For names that do not exist (np).")
    aggregate_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of daily reports (rua).")
    failure_reports: tuple[EmailAddress, ...] = Field(default=(), description="Receivers of failure reports (ruf).")
    dkim_alignment: Alignment = Field(default="relaxed", description="strict: d= equals the From domain.")
    spf_alignment: Alignment = Field(default="relaxed", description="strict: MAIL FROM equals the From domain.")


class Domain(Section):
    """A domain that mail is sent from."""

    name: DomainName = Field(description="The domain in From.")
    mx: tuple[MailExchanger, ...] | None = Field(
        default=None,
        description="Absent: the upstream's mailboxes, or left alone. Empty list: the domain receives no mail.",
    )
    spf: Spf = Field(default=Spf(), description="Who else may send for it.")
    dkim: tuple[DkimKey, ...] = Field(default=(), description="Keys to publish.")
    dmarc: Dmarc = Field(default=Dmarc(), description="Its policy.")


class UpstreamSettings(Section):
    """The service that takes the mail from the relay."""

    preset: PresetName = Field(default="google-workspace", description="Which provider.")
    region: str | None = Field(default=None, description="Region of SES (eu-west-1) or Mailgun (us, eu).")
    host: HostName | None = Field(default=None, description="Host name; only for preset custom.")
    port: Port = Field(default=587, description="587 upgrades by STARTTLS, 465 is TLS from the start.")
    auth: Literal["none", "sasl"] = Field(default="none", description="none: the upstream knows our IP address.")
    username: str | None = Field(default=None, description="With auth sasl.")
    password: OneLineSecret | None = Field(default=None, description="With auth sasl.")
    tls: Literal["secure", "verify", "encrypt", "may"] = Field(
        default="secure",
        description="secure: encrypted, certificate valid for the configured name. Weaker only on request.",
    )
    ca_file: str | None = Field(
        default=None, pattern=r"^/[^\s,]+$", description="CA bundle on the host. Absent: the system's."
    )
    spf_include: ServiceName | None = Field(default=None, description="SPF include; only for preset custom.")

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

    placement: Literal["vm", "none"] = Field(
        default="vm", description="Where Postfix runs. none: no Postfix, Postal talks to the upstream itself."
    )
    host: LogicalName = Field(description="Which of `hosts` the mail leaves from.")
    hostname: HostName = Field(description="Name it greets with (EHLO), inside one of `domains`.")
    listen_addresses: tuple[IpAddress, ...] | None = Field(
        default=None,
        min_length=1,
        description="Addresses of the host that applications connect to. "
        "Absent: 127.0.0.1, and Postal's side of the container network where both share the host.",
    )
    listen_port: Port | None = Field(
        default=None, description="Port they connect to. Absent: 25, or 2525 where Postal has 25 of the same host."
    )
    client_networks: tuple[IpNetwork, ...] = Field(
        default=(), description="Networks that may submit mail, besides the host itself and its Postal."
    )
    sender_domains: tuple[DomainName, ...] | None = Field(
        default=None, description="Domains allowed in MAIL FROM. Absent: all of `domains`."
    )
    upstream: UpstreamSettings = Field(default=UpstreamSettings(), description="Where all mail goes.")
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
    queue_lifetime_hours: int = Field(default=48, ge=1, le=240, description="Then undelivered mail bounces.")
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
        default=None, description="Absent: exactly the relay host's public addresses."
    )
    require_smtp_auth: bool = Field(default=False, description="Needs relay.upstream.auth sasl.")
    require_tls: bool = Field(default=True, description="Cannot be turned off.")
    domains: tuple[DomainName, ...] | None = Field(default=None, description="Absent: all of `domains`.")
    probe: RelayRuleProbe = Field(default=RelayRuleProbe(), description="How it is proved.")


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
    port: Port = Field(default=53, description="UDP and TCP port.")


class Dns(Section):
    """Where the records go."""

    provider: Literal["cloudflare", "server", "none"] = Field(
        default="none", description="none: the zone is only a stack output, in BIND format."
    )
    ttl: int = Field(default=3600, ge=60, le=86400, description="Seconds.")
    cloudflare: Cloudflare | None = Field(default=None, description="With provider cloudflare.")
    server: DnsServer | None = Field(default=None, description="With provider server.")


class Settings(Section):
    """All settings of one stack."""

    environment: Literal["local", "staging", "prod"] = Field(description="How strict the rules are.")
    ssh: Ssh = Field(default=Ssh(), description="How Pulumi logs in.")
    hosts: dict[LogicalName, Host] = Field(min_length=1, description="The machines, by a name of your choice.")
    domains: tuple[Domain, ...] = Field(min_length=1, description="The domains mail is sent from.")
    relay: Relay = Field(description="The Postfix relay.")
    relay_rule: RelayRule | None = Field(default=None, description="The rule in the Google Admin console.")
    postal: Postal | None = Field(default=None, description="The Postal mail server.")
    caddy: Caddy | None = Field(default=None, description="TLS for web sites and for Postal's SMTP server.")
    dns: Dns = Field(default=Dns(), description="Where the records go.")

    def host_ssh_key(self, host: Host) -> SecretStr | None:
        """Return the private key for ``host``: its own or the common one; None means the SSH agent."""
        return host.private_key or self.ssh.private_key

    @property
    def postal_shares_relay_host(self) -> bool:
        """Tell whether Postal and the relay run on the same host."""
        return self.postal is not None and self.postal.host == self.relay.host

    @property
    def relay_listen_addresses(self) -> tuple[str, ...]:
        """Return the addresses the relay listens on."""
        if self.relay.listen_addresses is not None:
            return self.relay.listen_addresses
        if self.postal is not None and self.postal_shares_relay_host and self.postal.sending.path == "postfix":
            return ("127.0.0.1", self.postal.gateway)
        return ("127.0.0.1",)

    @property
    def relay_listen_port(self) -> int:
        """Return the port the relay listens on."""
        if self.relay.listen_port is not None:
            return self.relay.listen_port
        return SHARED_RELAY_PORT if self.postal_shares_relay_host else SMTP_PORT

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
