"""The shape of ``relay``: Postfix in front of the upstream."""

from typing import Literal

from pydantic import Field

from mailstack.settings.metrics_model import Metrics
from mailstack.settings.relay_docker_model import RelayDocker
from mailstack.settings.relay_image_model import RelayImage
from mailstack.settings.relay_kubernetes_model import RelayKubernetes
from mailstack.settings.relay_proof_model import RelayProof
from mailstack.settings.section import Section
from mailstack.settings.types import (
    AbsolutePath,
    DomainName,
    EmailAddress,
    HostName,
    IpAddress,
    IpNetwork,
    LogicalName,
    LoginName,
    LongSecret,
    Port,
    ShortText,
)
from mailstack.settings.upstream_model import UpstreamSettings

__all__ = ["Relay", "Submission", "SubmissionCertificate", "SubmissionUser"]


class SubmissionUser(Section):
    """Somebody, or a device, that logs in to hand mail over."""

    name: LoginName = Field(description="Login name.")
    password: LongSecret = Field(description="12 characters or more; `mailstack init` makes it.")


class SubmissionCertificate(Section):
    """The certificate that clients see."""

    certificate_file: AbsolutePath = Field(description="Certificate and its chain on the host, PEM.")
    key_file: AbsolutePath = Field(description="Its key on the host, PEM, readable by root only.")


class Submission(Section):
    """Mail from clients outside the trusted networks, by login, below TLS only (RFC 8314)."""

    listen_addresses: tuple[IpAddress, ...] = Field(min_length=1, description="Addresses of the host they connect to.")
    starttls_port: Port | None = Field(default=587, description="Demands STARTTLS; null: none.")
    tls_port: Port | None = Field(default=465, description="Starts with TLS; null: none.")
    certificate: SubmissionCertificate | None = Field(
        default=None, description="Absent: that of Caddy on the same host, for relay.hostname, renewals followed."
    )
    users: tuple[SubmissionUser, ...] = Field(min_length=1, description="Who may log in.")
    srv_domains: tuple[DomainName, ...] = Field(
        default=(), description="Of `domains`: mail programs find it by SRV records (RFC 6186), as relay.hostname."
    )


class Relay(Section):
    """The Postfix relay in front of the upstream."""

    placement: Literal["vm", "docker", "kubernetes", "none"] = Field(
        default="vm",
        description="Where Postfix runs. docker: in a container. kubernetes: on a cluster. "
        "none: nowhere, Postal talks to the upstream itself.",
    )
    host: LogicalName | None = Field(default=None, description="Which of `hosts` the mail leaves from.")
    hosts: tuple[LogicalName, ...] = Field(
        default=(), description="Several of `hosts`, instead of `host`: changed one after the other, in this order."
    )
    egress_addresses: tuple[IpAddress, ...] | None = Field(
        default=None, min_length=1, description="Public addresses mail leaves from. Absent: those of the host or hosts."
    )
    image: RelayImage = Field(default=RelayImage(), description="The container image, where a container runs it.")
    docker: RelayDocker | None = Field(default=None, description="Placement docker: how the container is run.")
    kubernetes: RelayKubernetes | None = Field(default=None, description="Placement kubernetes: how it is run there.")
    hostname: HostName = Field(description="Name it greets with (EHLO), inside one of `domains`.")
    listen_addresses: tuple[IpAddress, ...] | None = Field(
        default=None,
        min_length=1,
        description="Addresses of the host that applications connect to. "
        "Absent: 127.0.0.1, with several hosts each one's private_address (else public_ipv4) too, "
        "and Postal's side of the container network where both share the host.",
    )
    client_name: HostName | None = Field(
        default=None, description="Name applications connect to, inside one of `domains`: the addresses of all hosts."
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
    upstreams: dict[LogicalName, UpstreamSettings] = Field(
        default={}, description="Further upstreams, by a name of your choice; `domains` name the one they use."
    )
    fallback_upstream: LogicalName | None = Field(
        default=None, description="Which of `upstreams` takes the mail when the first choice does not answer."
    )
    strict_envelopes: bool = Field(
        default=False, description="true: `MAIL FROM: a@b` without brackets, as old devices write it, is refused."
    )
    submission: Submission | None = Field(default=None, description="Login over TLS for clients elsewhere.")
    metrics: Metrics | None = Field(default=None, description="Metrics of the relay for Prometheus.")
    proof: RelayProof | None = Field(
        default=None,
        description="How each host shows that it delivers. Absent: not with `host`, the defaults below with `hosts`.",
    )
    from_email: EmailAddress | None = Field(
        default=None, description="Sender that applications are told. Absent: noreply@ the first of sender_domains."
    )
    from_name: ShortText | None = Field(default=None, description="Its name. Absent: that domain.")
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

    @property
    def host_names(self) -> tuple[str, ...]:
        """Return the hosts it runs on, by name; none where a cluster runs it."""
        return self.hosts or tuple(filter(None, [self.host]))
