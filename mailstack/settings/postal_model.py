"""The shape of ``postal``: the mail server that applications hand their mail to.

Names and limits are Postal's own (its configuration schema v2 and models, release 3.3).
"""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import Field, SecretStr

from mailstack.settings.postal_kubernetes_model import PostalKubernetes
from mailstack.settings.section import Section
from mailstack.settings.types import (
    AbsolutePath,
    CredentialKey,
    DomainName,
    EmailAddress,
    HostAddress,
    HostName,
    ImageDigest,
    ImageName,
    IpNetwork,
    Ipv4,
    Ipv6,
    LogicalName,
    LongSecret,
    Permalink,
    Port,
    PostalVersion,
    PrivateKey,
    Schedule,
    WebUrl,
)

__all__ = [
    "AppMail",
    "Backup",
    "Database",
    "DockerEngine",
    "IpPool",
    "IpPoolAddress",
    "MailServer",
    "Organization",
    "Postal",
    "PostalAdmin",
    "PostalCredential",
    "PostalImage",
    "PostalRoute",
    "PostalWebhook",
    "Sending",
    "TrackDomain",
    "slug",
]

Label = Annotated[str, Field(pattern=r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]


def slug(text: str) -> str:
    """Return ``text`` as small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


class PostalImage(Section):
    """Which Postal runs: an exact release, from the project or from a mirror."""

    repository: ImageName = Field(
        default="ghcr.io/postalserver/postal", description="Image without tag; another one is a mirror of it."
    )
    tag: PostalVersion = Field(default="3.3.7", description="Exact release; 3.3.7 is the oldest without known holes.")
    digest: ImageDigest | None = Field(default=None, description="sha256:… of the image; pins its very bytes.")


class DockerEngine(Section):
    """The container engine on the hosts that need one."""

    source: Literal["distribution", "docker"] = Field(
        default="distribution",
        description="Packages of the system, or those of Docker's own repository; RHEL and its kin always have these.",
    )
    registry_mirrors: tuple[WebUrl, ...] = Field(default=(), description="Mirrors of Docker Hub.")
    network: IpNetwork = Field(default="172.29.25.0/24", description="Network of the containers; free on the host.")

    @property
    def gateway(self) -> str:
        """Return the host's own address on the container network."""
        return str(ipaddress.ip_network(self.network)[1])


class Database(Section):
    """MariaDB, 10.6 or newer; Postal does not work on MySQL."""

    kind: Literal["container", "external"] = Field(
        default="container", description="container: ours, with a volume. external: a server that is there."
    )
    host: LogicalName | None = Field(default=None, description="Which of `hosts` the container runs on; Postal's.")
    image: ImageName = Field(default="docker.io/library/mariadb", description="Image of the container.")
    tag: str = Field(default="10.11", pattern=r"^[0-9]+\.[0-9]+(\.[0-9]+)?$", description="Its release.")
    digest: ImageDigest | None = Field(default=None, description="sha256:… of the image; pins its very bytes.")
    memory_mb: int = Field(default=1024, ge=256, le=262_144, description="Memory of the container.")
    address: HostAddress | None = Field(default=None, description="Name or address of the external server.")
    port: Port = Field(default=3306, description="Its port.")
    username: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,32}$")] = Field(
        default="postal", description="User with all rights on these databases."
    )
    password: LongSecret = Field(description="That user's, twelve characters or more; `mailstack init` makes it.")
    root_password: LongSecret | None = Field(default=None, description="Of the container's root.")
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_]{1,32}$")] = Field(
        default="postal", description="Main database; those of the mail servers are <name>-server-<number>."
    )

    @property
    def image_reference(self) -> str:
        """Return ``image:tag``, or ``image@digest`` where a digest pins the very image."""
        return f"{self.image}:{self.tag}" if self.digest is None else f"{self.image}@{self.digest}"


class PostalAdmin(Section):
    """The first administrator of the web UI."""

    email: EmailAddress = Field(description="Login name.")
    first_name: Text = Field(default="Postal", description="Shown in the web UI.")
    last_name: Text = Field(default="Administrator", description="Shown in the web UI.")
    password: LongSecret = Field(description="Twelve characters or more; `mailstack init` makes it.")


class Sending(Section):
    """How Postal's mail reaches the upstream of `relay`."""

    path: Literal["postfix", "direct"] = Field(
        default="postfix", description="postfix: through the relay. direct: Postal itself; only by IP address."
    )
    relay_name: HostName | None = Field(
        default=None,
        description="Name of the relay that DNS answers with an address the containers reach. "
        "Absent: a name of ours on the same host, else relay.hostname.",
    )
    tls: Literal["none", "opportunistic"] | None = Field(
        default=None, description="To the relay. Absent: none on the same host, opportunistic to another one."
    )


class PostalCredential(Section):
    """A key that an application sends with."""

    name: Text = Field(description="Shown in the web UI; unique in its mail server.")
    id: LogicalName | None = Field(
        default=None,
        description="Its stable identity. Absent: made from type and name, so a changed name is a new key.",
    )
    type: Literal["SMTP", "API"] = Field(description="SMTP: the password of a login. API: the X-Server-API-Key.")
    key: CredentialKey = Field(description="The key; `mailstack init` makes it.")
    hold: bool = Field(default=False, description="Hold its messages for a person to release.")

    @property
    def identity(self) -> str:
        """Return what the credential is known by across runs."""
        return self.id or slug(f"{self.type}-{self.name}")


class PostalRoute(Section):
    """What happens to mail that comes in for an address."""

    name: Annotated[str, Field(pattern=r"^(\*|[a-z0-9._+-]{1,64})$")] = Field(
        description="Part before the @, or * for all."
    )
    domain: DomainName = Field(description="One of the mail server's domains.")
    mode: Literal["Endpoint", "Accept", "Hold", "Bounce", "Reject"] = Field(
        default="Endpoint", description="Endpoint: to one of the three below."
    )
    http_url: WebUrl | None = Field(default=None, description="Post it to this URL as JSON.")
    smtp_host: HostName | None = Field(default=None, description="Hand it to this SMTP server.")
    address: EmailAddress | None = Field(default=None, description="Forward it to this address.")
    spam_mode: Literal["Mark", "Quarantine", "Fail"] = Field(default="Mark", description="What happens to spam.")


class TrackDomain(Section):
    """A name that clicks and opens are counted under."""

    name: Label = Field(default="click", description="Label in front of the domain.")
    domain: DomainName = Field(description="One of the mail server's domains.")
    clicks: bool = Field(default=True, description="Rewrite links.")
    opens: bool = Field(default=True, description="Add a picture.")


class PostalWebhook(Section):
    """A URL that is told of events."""

    name: Text = Field(description="Shown in the web UI; unique in its mail server.")
    url: WebUrl = Field(description="Gets the events as JSON.")
    id: LogicalName | None = Field(
        default=None, description="Its stable identity. Absent: made from the name; a changed name is a new webhook."
    )
    events: tuple[
        Literal[
            "MessageSent",
            "MessageDelayed",
            "MessageDeliveryFailed",
            "MessageHeld",
            "MessageBounced",
            "MessageLinkClicked",
            "MessageLoaded",
            "DomainDNSError",
        ],
        ...,
    ] = Field(default=(), description="Empty: all of them.")

    @property
    def identity(self) -> str:
        """Return what the webhook is known by across runs."""
        return self.id or slug(self.name)


class MailServer(Section):
    """One mail server of an organisation: its domains, keys and routes."""

    name: Text = Field(description="Shown in the web UI.")
    permalink: Permalink = Field(description="Its stable short name; a changed name keeps the server.")
    mode: Literal["Live", "Development"] = Field(default="Live", description="Development holds all mail.")
    domains: tuple[DomainName, ...] = Field(min_length=1, description="Which of `domains` it sends for.")
    credentials: tuple[PostalCredential, ...] = Field(default=(), description="Keys of applications.")
    routes: tuple[PostalRoute, ...] = Field(default=(), description="Incoming mail.")
    track_domains: tuple[TrackDomain, ...] = Field(default=(), description="Click and open counting.")
    webhooks: tuple[PostalWebhook, ...] = Field(default=(), description="Who is told of events.")
    send_limit: int | None = Field(default=None, ge=1, description="Messages in an hour. Absent: no limit.")
    ip_pool: Text | None = Field(default=None, description="Which of `ip_pools` its mail leaves from.")
    postmaster: EmailAddress | None = Field(default=None, description="Gets mail to postmaster@ its domains.")


class Organization(Section):
    """A group of mail servers in the web UI."""

    name: Text = Field(description="Shown in the web UI.")
    permalink: Permalink = Field(description="Its stable short name; a changed name keeps the organisation.")
    mail_servers: tuple[MailServer, ...] = Field(default=(), description="Its mail servers.")


class IpPoolAddress(Section):
    """One sending address of a pool."""

    ipv4: Ipv4 = Field(description="Address that the host itself has: behind NAT the private one.")
    ipv6: Ipv6 | None = Field(default=None, description="Its IPv6 twin.")
    hostname: HostName = Field(description="EHLO name from there.")
    priority: int = Field(default=100, ge=0, le=100, description="Share of the mail.")


class IpPool(Section):
    """Addresses that mail leaves from. Containers then share the host's network."""

    name: Text = Field(description="Its name.")
    default: bool = Field(default=False, description="For mail servers without a pool.")
    addresses: tuple[IpPoolAddress, ...] = Field(min_length=1, description="Its addresses.")


class AppMail(Section):
    """Mail of Postal itself: password resets and notices. Goes the same way as all mail."""

    from_name: Text = Field(default="Postal", description="Name of the sender.")
    from_address: EmailAddress = Field(description="Address of the sender, in one of `domains`.")


class Backup(Section):
    """Copies of all databases and the configuration."""

    schedule: Schedule | None = Field(default="*-*-* 02:30:00", description="systemd calendar expression; null: none.")
    keep: int = Field(default=14, ge=1, le=1000, description="How many are kept on the host.")
    passphrase: LongSecret | None = Field(default=None, description="Encrypts them. Keep a copy elsewhere.")
    hook: AbsolutePath | None = Field(
        default=None, description="Program on the host that copies a backup elsewhere; gets its path as argument."
    )


class PostalMemory(Section):
    """Upper limits in megabytes."""

    web: int = Field(default=768, ge=128, description="Web UI and API.")
    smtp: int = Field(default=512, ge=128, description="SMTP server.")
    worker: int = Field(default=768, ge=128, description="Each worker.")


class DnsCheck(Section):
    """Whether Postal itself finds the DNS records of its domains."""

    on_failure: Literal["warn", "fail"] = Field(default="warn", description="fail: `pulumi up` fails.")
    wait_minutes: int = Field(default=2, ge=0, le=120, description="How long records may take to show.")


class Postal(Section):
    """The Postal mail server."""

    placement: Literal["vm", "kubernetes"] = Field(
        default="vm", description="Where it runs. vm: in containers of a host. kubernetes: on a cluster."
    )
    host: LogicalName | None = Field(default=None, description="Placement vm: which of `hosts` it runs on.")
    kubernetes: PostalKubernetes | None = Field(default=None, description="Placement kubernetes: how it is run there.")
    web_hostname: HostName = Field(description="Name of web UI and API.")
    smtp_hostname: HostName = Field(description="Name that applications and other mail servers connect to.")
    image: PostalImage = Field(default=PostalImage(), description="Which Postal.")
    docker: DockerEngine = Field(default=DockerEngine(), description="The container engine.")
    database: Database = Field(description="MariaDB.")
    signing_key: PrivateKey = Field(description="RSA key of the installation; `mailstack init` makes it.")
    secret_key: LongSecret = Field(description="Signs logins of the web UI; `mailstack init` makes it.")
    admin: PostalAdmin = Field(description="First administrator.")
    organizations: tuple[Organization, ...] = Field(default=(), description="Organisations and their mail servers.")
    sending: Sending = Field(default=Sending(), description="How mail leaves.")
    return_path_domain: DomainName | None = Field(default=None, description="Gets bounces. Absent: rp. of a domain.")
    route_domain: DomainName | None = Field(default=None, description="For route addresses. Absent: routes.…")
    track_domain: DomainName | None = Field(default=None, description="Target of tracking names. Absent: track.…")
    dkim_identifier: Label = Field(default="postal", description="How every DKIM selector of ours begins.")
    custom_return_paths: bool = Field(
        default=False, description="psrp.<domain> for every domain; each must be a domain of the Workspace account."
    )
    app_mail: AppMail | None = Field(default=None, description="Absent: from postmaster@ the first domain.")
    ip_pools: tuple[IpPool, ...] = Field(default=(), description="Sending addresses; only with path direct.")
    smtp_tls: bool = Field(default=True, description="STARTTLS on port 25, with Caddy's certificate.")
    workers: int = Field(default=1, ge=1, le=50, description="Worker containers.")
    worker_threads: int = Field(default=2, ge=1, le=50, description="Threads in each.")
    max_message_mb: int = Field(default=14, ge=1, le=100, description="Largest message over SMTP.")
    memory: PostalMemory = Field(default=PostalMemory(), description="Limits of the containers.")
    config: dict[str, dict[str, str | int | bool | tuple[str, ...]]] = Field(
        default={}, description="Further keys of postal.yml by group; unknown ones are refused."
    )
    dns_check: DnsCheck = Field(default=DnsCheck(), description="Postal's own look at DNS.")
    backup: Backup = Field(default=Backup(), description="Copies of everything.")
    removal: Literal["refuse", "allow"] = Field(
        default="refuse", description="allow: what is no longer declared is removed, with its messages."
    )
    on_destroy: Literal["remove", "keep"] | None = Field(
        default=None,
        description="remove: `pulumi destroy` takes the containers away; data needs removal: allow. Absent: keep on a "
        "host, remove on a cluster, whose database is elsewhere.",
    )

    @property
    def gateway(self) -> str:
        """Return the host's own address on the container network."""
        return self.docker.gateway

    @property
    def at_the_end(self) -> Literal["remove", "keep"]:
        """Return what `pulumi destroy` does to it."""
        return self.on_destroy or ("remove" if self.placement == "kubernetes" else "keep")

    @property
    def cluster(self) -> PostalKubernetes | None:
        """Return how a cluster runs it, None where a host does or the section is missing."""
        return self.kubernetes if self.placement == "kubernetes" else None

    @property
    def database_host(self) -> str | None:
        """Return which of ``hosts`` the database container runs on; None for an external server."""
        return None if self.database.kind == "external" else self.database.host or self.host

    @property
    def mail_servers(self) -> tuple[tuple[str, MailServer], ...]:
        """Return every mail server with its full name, organisation/server, as Postal's login has it."""
        return tuple(
            (f"{organization.permalink}/{server.permalink}", server)
            for organization in self.organizations
            for server in organization.mail_servers
        )

    @property
    def sending_domains(self) -> tuple[str, ...]:
        """Return the domains of all mail servers."""
        return tuple(dict.fromkeys(name for _, server in self.mail_servers for name in server.domains))

    @property
    def secrets(self) -> tuple[SecretStr, ...]:
        """Return every secret in this section, so that a test can look for them."""
        keys = [credential.key for _, server in self.mail_servers for credential in server.credentials]
        others = [self.signing_key, self.secret_key, self.admin.password, self.database.password]
        optional = [self.database.root_password, self.backup.passphrase]
        if self.kubernetes is not None:
            login = self.kubernetes.database_admin
            optional += [self.kubernetes.kubeconfig, None if login is None else login.password]
        return tuple(keys + others + [value for value in optional if value is not None])
