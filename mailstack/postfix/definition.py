"""The one definition of the relay: what a company decides, and what of it cannot be."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mailstack.postfix.render import render_main_cf, render_regexp_map

__all__ = ["PROTECTED_PARAMETERS", "RelayDefinition", "RelayDefinitionError", "RelayUpstream", "Submission"]

HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z", re.IGNORECASE
)
CA_FILE = re.compile(r"/[^\s,$]+\Z")
ADDRESS = re.compile(r"[^\s@\x00-\x1f]+@[^\s@]+\Z")
# Shorthands of Perl and Python that POSIX regular expressions do not have.
NOT_POSIX = re.compile(r"\(\?|\\[a-zA-Z0-9]|[*+?}]\?")
# Networks wider than these would make the relay open for a good part of the Internet.
BROADEST_PREFIX = {4: 8, 6: 16}
# Half of them is nobody's, the other half is for everybody's own networks: RFC 4193.
UNIQUE_LOCAL = ipaddress.IPv6Network("fc00::/7")

# What extra_parameters may not set: the setting that owns it, or why nobody may.
PROTECTED_PARAMETERS: Mapping[str, str] = {
    "address_verify_map": "the proof asks afresh each time",
    "address_verify_sender": "use relay.proof.sender",
    "alias_database": "the relay delivers nothing locally",
    "alias_maps": "the relay delivers nothing locally",
    "default_transport": "all mail goes to the upstream",
    "inet_interfaces": "use listen_addresses",
    "inet_protocols": "use ip_protocol",
    "local_transport": "the relay delivers nothing locally",
    "maillog_file": "delivery counts are read from it",
    "masquerade_domains": "use masquerade_domains",
    "maximal_queue_lifetime": "use queue_lifetime_hours",
    "message_size_limit": "use message_size_mb",
    "mydestination": "the relay delivers nothing locally",
    "myhostname": "use hostname",
    "mynetworks": "use client_networks",
    "mynetworks_style": "use client_networks",
    "myorigin": "use sender_domains",
    "queue_directory": "queued mail would be left behind",
    "relay_domains": "all mail goes to the upstream",
    "relayhost": "use upstream.host and upstream.port",
    "sender_dependent_default_transport_maps": "use upstreams, and upstream of a domain",
    "sender_dependent_relayhost_maps": "use upstreams, and upstream of a domain",
    "smtp_fallback_relay": "use fallback_upstream",
    "smtputf8_enable": "it follows from the upstream",
    "strict_rfc821_envelopes": "use strict_envelopes",
    "smtp_bind_address": "use bind_address",
    "smtp_bind_address6": "use bind_address",
    "smtp_helo_name": "use hostname",
    "smtp_sasl_auth_enable": "use upstream.auth",
    "smtp_sasl_password_maps": "use upstream.username and upstream.password",
    "smtp_sasl_security_options": "a password never travels without TLS",
    "smtp_sasl_tls_security_options": "use upstream.auth",
    "smtp_tls_CAfile": "use upstream.ca_file",
    "smtp_tls_CApath": "use upstream.ca_file",
    "smtp_tls_mandatory_protocols": "TLS 1.2 is the oldest that is allowed",
    "smtp_tls_policy_maps": "use upstream.tls",
    "smtp_tls_secure_cert_match": "use upstream.tls",
    "smtp_tls_security_level": "use upstream.tls",
    "smtp_tls_verify_cert_match": "use upstream.tls",
    "smtp_tls_wrappermode": "use upstream.port",
    "smtpd_authorized_xclient_hosts": "clients cannot claim another address",
    "smtpd_authorized_xforward_hosts": "clients cannot claim another address",
    "smtpd_client_restrictions": "use client_networks",
    "smtpd_data_restrictions": "use client_networks",
    "smtpd_end_of_data_restrictions": "use sender_domains",
    "smtpd_recipient_restrictions": "use client_networks",
    "smtpd_relay_restrictions": "use client_networks",
    "smtpd_sender_restrictions": "use sender_domains",
    "smtpd_upstream_proxy_protocol": "clients cannot claim another address",
    "transport_maps": "all mail goes to the upstream, bounces of Postal's mail to Postal",
    "virtual_alias_domains": "all mail goes to the upstream",
    "virtual_mailbox_domains": "all mail goes to the upstream",
}


class RelayDefinitionError(ValueError):
    """A field of the definition cannot be used; the text names the field, its value and the rule."""


@dataclass(frozen=True, kw_only=True)
class RelayUpstream:
    """A further upstream. ``name`` is its logical name, ``sender_domains`` whose mail goes there.

    ``sasl_username`` None means that it knows the host's address; ``ca_file`` None the authorities of the system.
    """

    name: str
    host: str
    port: int = 587
    implicit_tls: bool = False
    tls_level: Literal["secure", "verify", "encrypt", "may"] = "secure"
    ca_file: str | None = None
    sasl_username: str | None = None
    sender_domains: tuple[str, ...] = ()
    recipient_limit: int = 100
    concurrency: int = 20

    @property
    def next_hop(self) -> str:
        """Return the destination as Postfix writes it; the brackets say: no MX look-up."""
        return f"[{self.host}]:{self.port}"

    @property
    def transport(self) -> str:
        """Return the name of its service in master.cf; parameters are named after it, so no hyphen."""
        return f"upstream_{self.name.replace('-', '_')}"

    @property
    def password_map(self) -> str:
        """Return the name of the look-up table with its password."""
        return f"sasl_passwd_{self.name}"


@dataclass(frozen=True, kw_only=True)
class Submission:
    """Where clients outside the trusted networks hand mail over, by user name and password, below TLS only.

    ``starttls_ports`` demand STARTTLS (587), ``tls_ports`` start with TLS (465, RFC 8314). ``certificate_file`` is a
    chain in PEM with its key in ``key_file``, both on the host. ``users`` are names; passwords are secrets.
    """

    listen_addresses: tuple[str, ...]
    starttls_ports: tuple[int, ...] = (587,)
    tls_ports: tuple[int, ...] = (465,)
    certificate_file: str
    key_file: str
    users: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RelayDefinition:
    """A send-only relay in front of one upstream.

    ``hostname`` is the EHLO name, ``sender_domains`` the domains allowed in MAIL FROM (exactly these, no
    subdomains), ``client_networks`` the CIDR networks allowed to submit besides the host itself,
    ``masquerade_domains`` those whose host names are cut off in senders, ``temporary_reply_patterns`` POSIX
    extended regular expressions for 5xx replies that clear by themselves. Mail to ``bounce_domains`` goes to
    ``bounce_host`` on port 25, never to the upstream: it is about mail that Postal sent, and Postal keeps the record.
    ``ca_file`` None means the
    authorities of the system, ``sasl_username`` None means that the upstream knows the host's address.

    ``upstreams`` take the mail of their own sender domains; ``fallback`` is used when the first choice does not
    answer. ``smtputf8`` offers the extension (RFC 6531), ``strict_envelopes`` refuses ``MAIL FROM: a@b`` without
    brackets, which old devices send.

    ``proof_sender`` lets a client that greets as ``PROOF_HELO`` ask whether the upstream would take mail, from that
    sender, for a recipient that is another address; None: nobody can ask.

    ``after_unit`` is a systemd unit that has to be up first, because it makes an address listened on.
    ``process_limit`` is how many clients are served, and deliveries made, at the same time where memory is short;
    None leaves that to Postfix's own limit.

    Raises RelayDefinitionError for a field that cannot be used.
    """

    hostname: str
    sender_domains: tuple[str, ...]
    upstream_host: str
    upstream_port: int = 587
    implicit_tls: bool = False
    tls_level: Literal["secure", "verify", "encrypt", "may"] = "secure"
    ca_file: str | None = None
    sasl_username: str | None = None
    listen_addresses: tuple[str, ...] = ("127.0.0.1",)
    listen_port: int = 25
    client_networks: tuple[str, ...] = ()
    masquerade_domains: tuple[str, ...] = ()
    message_size_limit_bytes: int = 25_000_000
    recipient_limit: int = 100
    concurrency: int = 50
    process_limit: int | None = None
    ip_protocol: Literal["ipv4", "ipv6", "all"] = "ipv4"
    bind_address: str | None = None
    temporary_reply_patterns: tuple[str, ...] = ()
    bounce_domains: tuple[str, ...] = ()
    bounce_host: str | None = None
    queue_lifetime_hours: int = 48
    bounce_lifetime_hours: int = 24
    postmaster: str | None = None
    after_unit: str | None = None
    upstreams: tuple[RelayUpstream, ...] = ()
    fallback: RelayUpstream | None = None
    smtputf8: bool = True
    strict_envelopes: bool = False
    submission: Submission | None = None
    proof_sender: str | None = None
    extra_parameters: Mapping[str, str | int | bool] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check every field, so that no text of it can mean more to Postfix than it says."""
        for problem in _problems(self):
            raise RelayDefinitionError(problem)

    @property
    def next_hop(self) -> str:
        """Return the destination as Postfix writes it; the brackets say: no MX look-up."""
        return f"[{self.upstream_host}]:{self.upstream_port}"


def _problems(definition: RelayDefinition) -> Iterator[str]:
    if not HOST_NAME.match(definition.hostname) or "." not in definition.hostname:
        yield f"hostname {definition.hostname!r}: must be a fully qualified domain name (RFC 5321 §4.1.1.1)"
    if not HOST_NAME.match(definition.upstream_host):
        yield f"upstream_host {definition.upstream_host!r}: must be a host name"
    yield from _domain_problems(definition)
    for name in ("upstream_port", "listen_port"):
        if not 1 <= getattr(definition, name) <= 65535:
            yield f"{name} {getattr(definition, name)}: must be a port number, 1 to 65535"
    yield from _network_problems(definition)
    yield from _limit_problems(definition)
    yield from _upstream_problems(definition)
    yield from _further_problems(definition)
    yield from _submission_problems(definition)
    for pattern in definition.temporary_reply_patterns:
        yield from _pattern_problems(pattern)
    for name in definition.extra_parameters:
        if name in PROTECTED_PARAMETERS:
            yield f"extra_parameters {name}: cannot be set here; {PROTECTED_PARAMETERS[name]}"
    try:
        render_main_cf(definition.extra_parameters, {}, "")
    except ValueError as error:
        yield f"extra_parameters: {error}"


def _domain_problems(definition: RelayDefinition) -> Iterator[str]:
    if not definition.sender_domains:
        yield "sender_domains: must name at least one domain, or nobody could send"
    for name in ("sender_domains", "masquerade_domains", "bounce_domains"):
        for domain in getattr(definition, name):
            if not HOST_NAME.match(domain):
                yield f"{name} {domain!r}: must be a domain name"
    if bool(definition.bounce_domains) != (definition.bounce_host is not None):
        yield "bounce_domains: go with bounce_host; give both or neither"
    if definition.bounce_host is not None and not (
        _is_address(definition.bounce_host) or HOST_NAME.match(definition.bounce_host)
    ):
        yield f"bounce_host {definition.bounce_host!r}: must be a host name or an IP address"
    if definition.bounce_host in definition.listen_addresses:
        yield f"bounce_host {definition.bounce_host!r}: Postfix listens there, and takes port 25 of it for itself"
    for domain in definition.masquerade_domains:
        if domain.lower() not in _lower(definition.sender_domains):
            yield f"masquerade_domains {domain!r}: must be one of sender_domains too, senders are rewritten to it"


def _limit_problems(definition: RelayDefinition) -> Iterator[str]:
    for name in (
        "message_size_limit_bytes", "recipient_limit", "concurrency", "queue_lifetime_hours",
        "bounce_lifetime_hours",
    ):  # fmt: skip
        if getattr(definition, name) < 1:
            yield f"{name} {getattr(definition, name)}: must be 1 or more"
    if definition.process_limit is not None and definition.process_limit < 1:
        yield f"process_limit {definition.process_limit}: must be 1 or more"
    if definition.bounce_lifetime_hours > definition.queue_lifetime_hours:
        yield "bounce_lifetime_hours: must not be longer than queue_lifetime_hours"


def _upstream_problems(definition: RelayDefinition) -> Iterator[str]:
    if definition.ca_file is not None and not CA_FILE.match(definition.ca_file):
        yield f"ca_file {definition.ca_file!r}: must be an absolute path without blanks, commas and $"
    if definition.implicit_tls and definition.tls_level == "may":
        yield "tls_level 'may': means nothing with implicit TLS, which is always encrypted"
    if definition.sasl_username is not None and not re.match(r"[^\s:\x00-\x1f]+\Z", definition.sasl_username):
        yield f"sasl_username {definition.sasl_username!r}: must have no blank and no colon, Postfix splits there"
    if definition.postmaster is not None and not ADDRESS.match(definition.postmaster):
        yield f"postmaster {definition.postmaster!r}: must be a mail address"
    if definition.proof_sender is not None and not ADDRESS.match(definition.proof_sender):
        yield f"proof_sender {definition.proof_sender!r}: must be a mail address"


def _further_problems(definition: RelayDefinition) -> Iterator[str]:
    seen: dict[str, str] = {}
    for upstream in (*definition.upstreams, *filter(None, [definition.fallback])):
        field = f"upstreams {upstream.name!r}"
        if not HOST_NAME.match(upstream.host):
            yield f"{field}: host {upstream.host!r} must be a host name"
        if not 1 <= upstream.port <= 65535:
            yield f"{field}: port {upstream.port} must be a port number, 1 to 65535"
        if upstream.ca_file is not None and not CA_FILE.match(upstream.ca_file):
            yield f"{field}: ca_file {upstream.ca_file!r} must be an absolute path without blanks, commas and $"
        if upstream.implicit_tls and upstream.tls_level == "may":
            yield f"{field}: tls_level 'may' means nothing with implicit TLS, which is always encrypted"
        if upstream.sasl_username is not None and not re.match(r"[^\s:\x00-\x1f]+\Z", upstream.sasl_username):
            yield f"{field}: sasl_username must have no blank and no colon, Postfix splits there"
    for upstream in definition.upstreams:
        for domain in upstream.sender_domains:
            if domain.lower() not in _lower(definition.sender_domains):
                yield f"upstreams {upstream.name!r}: sender domain {domain!r} must be one of sender_domains too"
            if seen.setdefault(domain.lower(), upstream.name) != upstream.name:
                yield f"upstreams {upstream.name!r}: sender domain {domain!r} goes to {seen[domain.lower()]!r} already"
    if definition.fallback is not None:
        yield from _fallback_problems(definition, definition.fallback)


def _fallback_problems(definition: RelayDefinition, fallback: RelayUpstream) -> Iterator[str]:
    """A fallback is reached by the same service of Postfix, and TLS is a property of the service."""
    first = [("the upstream", definition.implicit_tls, definition.tls_level, definition.ca_file)]
    first += [(f"upstream {up.name!r}", up.implicit_tls, up.tls_level, up.ca_file) for up in definition.upstreams]
    for name, implicit, level, ca_file in first:
        if implicit != fallback.implicit_tls:
            yield f"fallback {fallback.name!r}: starts TLS another way than {name}; use port 465, or 587, for both"
        if (level, ca_file) != (fallback.tls_level, fallback.ca_file):
            yield f"fallback {fallback.name!r}: must have the tls and ca_file of {name}, one service reaches both"


def _submission_problems(definition: RelayDefinition) -> Iterator[str]:
    submission = definition.submission
    if submission is None:
        return
    for address in submission.listen_addresses:
        if not _is_address(address):
            yield f"submission listen_addresses {address!r}: must be an IP address"
    for port in (*submission.starttls_ports, *submission.tls_ports):
        if port == definition.listen_port or not 1 <= port <= 65535:
            yield f"submission port {port}: must be a port number of its own, 1 to 65535"
    if set(submission.starttls_ports) & set(submission.tls_ports):
        yield "submission: a port either demands STARTTLS or starts with TLS"
    if not submission.listen_addresses or not (submission.starttls_ports or submission.tls_ports):
        yield "submission: needs an address and a port to listen on"
    for path in (submission.certificate_file, submission.key_file):
        if not re.match(r"/[^\s,$]+\Z", path):
            yield f"submission {path!r}: must be an absolute path without blanks, commas and $"
    for user in submission.users:
        if not re.match(r"[a-zA-Z0-9][a-zA-Z0-9._@+-]{0,63}\Z", user):
            yield f"submission user {user!r}: letters, digits and . _ @ + - only, 64 at most"
    if not submission.users:
        yield "submission: needs a user, or nobody could log in"


def _network_problems(definition: RelayDefinition) -> Iterator[str]:
    if not definition.listen_addresses:
        yield "listen_addresses: must name at least one address"
    for address in definition.listen_addresses:
        if not _is_address(address):
            yield f"listen_addresses {address!r}: must be an IP address"
    for text in definition.client_networks:
        try:
            network = ipaddress.ip_network(text)
        except ValueError as error:
            yield f"client_networks {text!r}: must be a network such as 10.1.0.0/16 ({error})"
            continue
        local = network.version == 6 and network.subnet_of(UNIQUE_LOCAL)
        if network.prefixlen < BROADEST_PREFIX[network.version] and not local:
            yield (
                f"client_networks {text!r}: must not be broader than /{BROADEST_PREFIX[network.version]}, "
                "that would be an open relay"
            )
    if definition.bind_address is not None:
        if not _is_address(definition.bind_address):
            yield f"bind_address {definition.bind_address!r}: must be an IP address"
        elif definition.ip_protocol not in {"all", f"ipv{ipaddress.ip_address(definition.bind_address).version}"}:
            yield f"bind_address {definition.bind_address!r}: is not of ip_protocol {definition.ip_protocol}"


def _pattern_problems(pattern: str) -> Iterator[str]:
    if NOT_POSIX.search(pattern):
        yield f"temporary_reply_patterns {pattern!r}: must be a POSIX extended regular expression, without (? and \\d"
        return
    try:
        re.compile(pattern)
        render_regexp_map([(pattern, "4")], "")
    except (re.error, ValueError) as error:
        yield f"temporary_reply_patterns {pattern!r}: {error}"


def _is_address(text: str) -> bool:
    try:
        return bool(ipaddress.ip_address(text)) and "%" not in text
    except ValueError:
        return False


def _lower(names: tuple[str, ...]) -> list[str]:
    return [name.lower() for name in names]
