"""The one definition of the relay: what a company decides, and the Postfix settings that follow from it.

Every placement (virtual machine, container, Kubernetes) renders the same settings. Sources: postconf(5),
TLS_README, TUNING_README and CONNECTION_CACHE_README of Postfix; measurements behind "measured" are those of
``make bench``: 2 cores, 20 ms to the upstream.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mailstack.postfix.render import (
    Reference,
    Service,
    Value,
    encode_value,
    render_main_cf,
    render_regexp_map,
)

__all__ = [
    "PROTECTED_PARAMETERS",
    "QUOTA_MARK",
    "REASONS",
    "RelayDefinition",
    "RelayDefinitionError",
    "main_cf",
    "maps",
    "master_cf",
    "role_settings",
]

# Stands in the log and in `postqueue -p` beside a 5xx reply that is treated as temporary; statistics count it.
QUOTA_MARK = "(limit of the upstream: mailstack tries again)"

HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*\Z", re.IGNORECASE
)
ADDRESS = re.compile(r"[^\s@\x00-\x1f]+@[^\s@]+\Z")
# Shorthands of Perl and Python that POSIX regular expressions do not have.
NOT_POSIX = re.compile(r"\(\?|\\[a-zA-Z0-9]|[*+?}]\?")
# Networks wider than these would make the relay open for a good part of the Internet.
BROADEST_PREFIX = {4: 8, 6: 16}
DEFAULT_PROCESSES = 200
MAPS = "$config_directory/mailstack"
BOUNCE_TRANSPORT = "postal"

# What extra_parameters may not set: the setting that owns it, or why nobody may.
PROTECTED_PARAMETERS: Mapping[str, str] = {
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
class RelayDefinition:
    """A send-only relay in front of one upstream.

    ``hostname`` is the EHLO name, ``sender_domains`` the domains allowed in MAIL FROM (exactly these, no
    subdomains), ``client_networks`` the CIDR networks allowed to submit besides the host itself,
    ``masquerade_domains`` those whose host names are cut off in senders, ``temporary_reply_patterns`` POSIX
    extended regular expressions for 5xx replies that clear by themselves. Mail to ``bounce_domains`` goes to
    ``bounce_host`` on port 25, never to the upstream: it is about mail that Postal sent, and Postal keeps the record.
    ``ca_file`` None means the
    authorities of the system, ``sasl_username`` None means that the upstream knows the host's address.

    ``after_unit`` is a systemd unit that has to be up first, because it makes an address listened on.

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
    ip_protocol: Literal["ipv4", "ipv6", "all"] = "ipv4"
    bind_address: str | None = None
    temporary_reply_patterns: tuple[str, ...] = ()
    bounce_domains: tuple[str, ...] = ()
    bounce_host: str | None = None
    queue_lifetime_hours: int = 48
    bounce_lifetime_hours: int = 24
    postmaster: str | None = None
    after_unit: str | None = None
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
    if definition.bounce_lifetime_hours > definition.queue_lifetime_hours:
        yield "bounce_lifetime_hours: must not be longer than queue_lifetime_hours"


def _upstream_problems(definition: RelayDefinition) -> Iterator[str]:
    if definition.ca_file is not None and not re.match(r"/[^\s,$]+\Z", definition.ca_file):
        yield f"ca_file {definition.ca_file!r}: must be an absolute path without blanks, commas and $"
    if definition.implicit_tls and definition.tls_level == "may":
        yield "tls_level 'may': means nothing with implicit TLS, which is always encrypted"
    if definition.sasl_username is not None and not re.match(r"[^\s:\x00-\x1f]+\Z", definition.sasl_username):
        yield f"sasl_username {definition.sasl_username!r}: must have no blank and no colon, Postfix splits there"
    if definition.postmaster is not None and not ADDRESS.match(definition.postmaster):
        yield f"postmaster {definition.postmaster!r}: must be a mail address"


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
        if network.prefixlen < BROADEST_PREFIX[network.version]:
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


def _versions(definition: RelayDefinition) -> set[int]:
    """Return the IP versions the relay sends over."""
    return {"ipv4": {4}, "ipv6": {6}, "all": {4, 6}}[definition.ip_protocol]


def _listen(definition: RelayDefinition) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    return [ipaddress.ip_address(address) for address in definition.listen_addresses]


def _interfaces(definition: RelayDefinition, versions: set[int]) -> tuple[str, ...]:
    """Return inet_interfaces for the IP ``versions``.

    Loopback is always among them: with a single other address Postfix would send from that address too,
    which need not be one that reaches the upstream (postconf(5), smtp_bind_address).
    """
    listen = _listen(definition)
    if any(address.is_unspecified for address in listen):
        return ("all",)
    loopback = [ipaddress.ip_address(text) for text in ("127.0.0.1", "::1")]
    found = dict.fromkeys(address for address in loopback + listen if address.version in versions)
    return tuple(str(address) for address in found)


def _inet_protocols(versions: set[int]) -> str:
    return "all" if len(versions) == 2 else f"ipv{next(iter(versions))}"


def _network(text: str) -> str:
    """Return a network as mynetworks wants it: IPv6 in brackets."""
    network = ipaddress.ip_network(text)
    return f"[{network.network_address}]/{network.prefixlen}" if network.version == 6 else str(network)


REASONS: Mapping[str, str] = {
    "compatibility_level": "Defaults of one known level, whatever Postfix comes with the system.",
    "myhostname": "The name in EHLO. Google identifies the customer by it and throttles generic names.",
    "myorigin": "Completes addresses without a domain (cron, sendmail) with a domain that may send.",
    "inet_interfaces": "Own addresses. What is listened on is in master.cf, address by address.",
    "inet_protocols": "Only protocols whose address the upstream knows.",
    "mynetworks": "Who may submit mail: this host and the networks named in the settings.",
    "mydestination": "Nothing is delivered here: every message goes to the upstream.",
    "smtpd_client_restrictions": "Never an open relay: everyone else is turned away, and every list ends in reject.",
    "smtpd_sender_restrictions": (
        "Envelope senders: the domains of the settings, exactly these, and the null sender of bounces."
    ),
    "smtpd_helo_required": "Protocol discipline, and no hints to strangers.",
    "smtpd_reject_unlisted_recipient": "Recipients are the upstream's business; no look-up here.",
    "allow_percent_hack": "user%other@domain and other!user mean nothing special here.",
    "smtpd_authorized_xclient_hosts": "No client may claim to be another (XCLIENT, XFORWARD, PROXY).",
    "smtpd_forbid_bare_newline": "SMTP smuggling: a message ends with CR LF . CR LF and nothing else.",
    "local_header_rewrite_clients": (
        "Headers of submitted mail stay as they are (DKIM signatures hold), unless host names are masqueraded."
    ),
    "sender_canonical_maps": (
        "sendmail(1) knows no sender restrictions, so a local sender of another domain becomes one that may send."
    ),
    "masquerade_domains": "user@host.example.com is sent as user@example.com.",
    "transport_maps": "Bounces of what Postal sent go back to Postal: the upstream has no mailbox for them.",
    "relayhost": "The upstream. Brackets: this name, no MX and no SRV look-up.",
    "smtp_helo_name": "Said to the upstream: a registered name, never a container id.",
    "smtp_tls_security_level": (
        "secure: no mail leaves without TLS to the very name configured. Weaker levels are asked for by name."
    ),
    "smtp_tls_mandatory_protocols": "TLS 1.2 or newer (RFC 8996).",
    "smtp_tls_servername": "Google shows strangers without SNI a certificate for no name.",
    "smtp_tls_connection_reuse": (
        "One TLS session carries many messages. Measured: without it half the rate. Needs tlsproxy and scache in "
        "master.cf, tlsproxy is off in a stock one."
    ),
    "smtp_connection_cache_destinations": (
        "Keep sessions even when mail is scarce: never more open than the concurrency, as providers want."
    ),
    "smtp_connection_cache_time_limit": "An idle session is kept this long for the next message (default 2 s).",
    "smtp_connection_reuse_time_limit": "Bounded by time, not by count: a count favours slow servers.",
    "smtp_tls_session_cache_database": "A new session resumes an old one: fewer full handshakes.",
    "smtp_tls_loglevel": "One line per session: the proof of verified TLS.",
    "smtp_sasl_auth_enable": "none: the upstream knows our address, SASL stays off. sasl: only below TLS.",
    "smtp_destination_concurrency_limit": (
        "All mail has one next hop, so this is the rate. Measured: 50 sessions carry 1.5 times what 20 do, 100 no more."
    ),
    "smtp_initial_destination_concurrency": "The one destination is known to take it; no slow start.",
    "smtp_destination_concurrency_failed_cohort_limit": (
        "With one next hop the default of 1 would stop all mail after a few failed connections."
    ),
    "smtp_destination_recipient_limit": "The upstream's limit per transaction.",
    "default_process_limit": "Room for full concurrency and a burst of clients at the same time.",
    "qmgr_message_active_limit": "A burst waits in memory, not behind the scan of the incoming queue.",
    "max_use": "Processes live longer than the default 100 requests: fewer forks. Within noise when measured.",
    "in_flow_delay": "New mail yields to deliveries when it comes in faster. Measured: costs nothing.",
    "smtpd_peername_lookup": "Clients are known by address; a PTR look-up per connection buys nothing.",
    "smtpd_client_connection_count_limit": (
        "One client cannot take all server processes; loopback is shared by every local program and exempt."
    ),
    "smtpd_tls_security_level": "No certificate is managed here. Clients are on this host or in named networks.",
    "message_size_limit": "The upstream's limit: too large is refused here and now, not bounced later.",
    "smtp_delivery_status_filter": (
        "A daily quota comes as 5xx but clears by itself: such mail waits. Every other 5xx stays permanent."
    ),
    "queue_run_delay": (
        "Short temporary refusals of the upstream cost a minute, not five (default 300 s, first retry 300 s)."
    ),
    "maximal_backoff_time": "An upstream that is back after an hour has all mail within 20 minutes.",
    "maximal_queue_lifetime": "Longer than a daily quota, short enough for an application to learn of trouble.",
    "enable_long_queue_ids": "Queue ids never repeat, so log lines of different days never mix.",
    "notify_classes": "Postfix's own notices go to the postmaster of the settings, or nowhere.",
    "maillog_file": (
        "Written by postlogd: a journal drops lines above its rate limit, and deliveries are counted from this file."
    ),
}


def main_cf(definition: RelayDefinition) -> dict[str, Value]:
    """Return main.cf as parameter → value, in the order in which it is written; see REASONS for the why."""
    listen_versions = {address.version for address in _listen(definition)}
    versions = listen_versions | _versions(definition)
    networks = ["127.0.0.0/8"] if 4 in versions else []
    networks += ["[::1]/128"] if 6 in versions else []
    loopback = tuple(networks)
    networks += [_network(text) for text in definition.client_networks]
    processes = max(DEFAULT_PROCESSES, 2 * definition.concurrency)
    parameters: dict[str, Value] = {
        "compatibility_level": Reference("compatibility_level"),
        "default_database_type": Reference("map_type"),
        # Who we are.
        "myhostname": definition.hostname,
        "myorigin": definition.sender_domains[0],
        "append_dot_mydomain": False,
        "biff": False,
        "inet_interfaces": _interfaces(definition, versions),
        "inet_protocols": _inet_protocols(versions),
        # Who may send.
        "mynetworks": tuple(dict.fromkeys(networks)),
        "smtpd_client_restrictions": ("permit_mynetworks", "reject"),
        "smtpd_relay_restrictions": ("permit_mynetworks", "reject"),
        "smtpd_sender_restrictions": (f"check_sender_access $default_database_type:{MAPS}/senders", "reject"),
        "smtpd_recipient_restrictions": (),
        "smtpd_null_access_lookup_key": "<>",
        "parent_domain_matches_subdomains": (),
        "smtpd_helo_required": True,
        "disable_vrfy_command": True,
        "strict_rfc821_envelopes": True,
        "smtpd_data_restrictions": ("reject_unauth_pipelining",),
        "allow_percent_hack": False,
        "swap_bangpath": False,
        "allow_untrusted_routing": False,
        "smtpd_authorized_xclient_hosts": (),
        "smtpd_authorized_xforward_hosts": (),
        "smtpd_upstream_proxy_protocol": "",
        "smtpd_forbid_bare_newline": Reference("bare_newline"),
        "smtpd_forbid_bare_newline_exclusions": (),
        # Nothing is delivered on this host.
        "mydestination": (),
        "relay_domains": (),
        "local_transport": "error:5.1.1 this relay has no mailboxes",
        "local_recipient_maps": (),
        "smtpd_reject_unlisted_recipient": False,
        "alias_maps": (),
        "alias_database": (),
        # Addresses.
        "local_header_rewrite_clients": ("permit_mynetworks",) if definition.masquerade_domains else (),
        "always_add_missing_headers": True,
        "masquerade_domains": definition.masquerade_domains,
        # The upstream.
        "relayhost": definition.next_hop,
        "smtp_helo_name": "$myhostname",
        "smtp_tls_security_level": definition.tls_level,
        "smtp_tls_wrappermode": definition.implicit_tls,
        "smtp_tls_CAfile": definition.ca_file or Reference("ca_file"),
        "smtp_tls_mandatory_protocols": Reference("tls_protocols"),
        "smtp_tls_protocols": Reference("tls_protocols"),
        "smtp_tls_mandatory_ciphers": "high",
        "smtp_tls_secure_cert_match": "nexthop",
        "smtp_tls_servername": "nexthop",
        "smtp_tls_connection_reuse": True,
        "smtp_connection_cache_on_demand": True,
        "smtp_connection_cache_destinations": (definition.upstream_host,),
        "smtp_connection_cache_time_limit": "10s",
        "connection_cache_ttl_limit": "10s",
        "smtp_connection_reuse_time_limit": "300s",
        "smtp_tls_session_cache_database": Reference("session_cache"),
        "smtp_tls_loglevel": 1,
        **_credentials(definition),
        **_source_address(definition),
        # Rate.
        "smtp_destination_concurrency_limit": definition.concurrency,
        "smtp_initial_destination_concurrency": definition.concurrency,
        "smtp_destination_concurrency_failed_cohort_limit": 5,
        "smtp_destination_recipient_limit": definition.recipient_limit,
        "default_process_limit": processes,
        "qmgr_message_active_limit": 50000,
        "qmgr_message_recipient_limit": 50000,
        "max_use": 2000,
        "max_idle": "100s",
        "in_flow_delay": "1s",
        "smtpd_peername_lookup": False,
        "smtpd_client_connection_count_limit": processes // 2,
        "smtpd_client_connection_rate_limit": 0,
        "smtpd_client_event_limit_exceptions": loopback,
        "smtpd_tls_security_level": "none",
        # Limits and waiting.
        "message_size_limit": definition.message_size_limit_bytes,
        "queue_run_delay": "60s",
        "minimal_backoff_time": "60s",
        "maximal_backoff_time": "1200s",
        "maximal_queue_lifetime": f"{definition.queue_lifetime_hours}h",
        "bounce_queue_lifetime": f"{definition.bounce_lifetime_hours}h",
        "delay_warning_time": "0h",
        "enable_long_queue_ids": True,
        **_notices(definition),
        **({"transport_maps": f"$default_database_type:{MAPS}/bounces"} if definition.bounce_domains else {}),
        "maillog_file": Reference("log_file"),
    }
    if definition.temporary_reply_patterns:
        parameters["smtp_delivery_status_filter"] = f"regexp:{MAPS}/temporary_replies"
    parameters.update(definition.extra_parameters)
    return parameters


def _credentials(definition: RelayDefinition) -> dict[str, Value]:
    if definition.sasl_username is None:
        return {"smtp_sasl_auth_enable": False}
    return {
        "smtp_sasl_auth_enable": True,
        "smtp_sasl_password_maps": f"$default_database_type:{MAPS}/sasl_passwd",
        # Without TLS no password is sent at all; below TLS the plain mechanisms are the documented ones.
        "smtp_sasl_security_options": ("noplaintext", "noanonymous"),
        "smtp_sasl_tls_security_options": ("noanonymous",),
        "smtp_sasl_mechanism_filter": ("plain", "login"),
        # A refused password delays mail instead of bouncing it: a rotation loses nothing.
        "smtp_sasl_auth_soft_bounce": True,
    }


def _source_address(definition: RelayDefinition) -> dict[str, Value]:
    parameters: dict[str, Value] = {
        "smtp_address_preference": "any" if definition.ip_protocol == "all" else definition.ip_protocol
    }
    if definition.bind_address is not None:
        suffix = "6" if ipaddress.ip_address(definition.bind_address).version == 6 else ""
        parameters[f"smtp_bind_address{suffix}"] = definition.bind_address
        # Rather wait than leave from an address the upstream does not know.
        parameters["smtp_bind_address_enforce"] = True
    return parameters


def _notices(definition: RelayDefinition) -> dict[str, Value]:
    if definition.postmaster is None:
        return {"notify_classes": ()}
    return {
        "notify_classes": ("resource", "software"),
        "error_notice_recipient": definition.postmaster,
    }


def master_cf(definition: RelayDefinition) -> list[Service]:
    """Return master.cf: one listener per address, and what a send-only relay needs; nothing delivers locally.

    Nothing runs in a chroot jail, which is Postfix's own default since 3.0: in a jail, copies of resolv.conf
    and hosts grow old and mail stops with "host not found".
    """
    sending: dict[str, Value] = {}
    if {address.version for address in _listen(definition)} - _versions(definition):
        # Clients may come over a protocol that the upstream does not know us by.
        sending = {
            "inet_protocols": _inet_protocols(_versions(definition)),
            "inet_interfaces": _interfaces(definition, _versions(definition)),
        }
    cleanup: dict[str, Value] = {"cleanup_service_name": "cleanup-local"}
    local: dict[str, Value] = {
        "sender_canonical_maps": f"regexp:{MAPS}/local_senders",
        "sender_canonical_classes": "envelope_sender",
    }
    listeners = [
        Service(f"[{a}]:{definition.listen_port}" if a.version == 6 else f"{a}:{definition.listen_port}",
                "inet", "smtpd", private="n")
        for a in dict.fromkeys(_listen(definition))
    ]  # fmt: skip
    return [
        *listeners,
        Service("pickup", "unix", "pickup", private="n", wakeup="60", process_limit="1", options=cleanup),
        Service("cleanup", "unix", "cleanup", private="n", process_limit="0"),
        Service("cleanup-local", "unix", "cleanup", private="n", process_limit="0", options=local),
        Service("qmgr", "unix", "qmgr", private="n", wakeup="300", process_limit="1"),
        # Keeps TLS sessions between processes; connection reuse needs tlsproxy and scache.
        Service("tlsmgr", "unix", "tlsmgr", wakeup="1000?", process_limit="1"),
        Service("tlsproxy", "unix", "tlsproxy", process_limit="0"),
        Service("scache", "unix", "scache", process_limit="1"),
        Service("rewrite", "unix", "trivial-rewrite"),
        Service("bounce", "unix", "bounce", process_limit="0"),
        Service("defer", "unix", "bounce", process_limit="0"),
        Service("trace", "unix", "bounce", process_limit="0"),
        Service("verify", "unix", "verify", process_limit="1"),
        Service("flush", "unix", "flush", private="n", wakeup="1000?", process_limit="0"),
        Service("proxymap", "unix", "proxymap"),
        Service("proxywrite", "unix", "proxymap", process_limit="1"),
        Service("smtp", "unix", "smtp", options=sending),
        Service("relay", "unix", "smtp", options=sending),
        *_bounce_service(definition),
        Service("showq", "unix", "showq", private="n"),
        Service("error", "unix", "error"),
        Service("retry", "unix", "error"),
        Service("discard", "unix", "discard"),
        Service("anvil", "unix", "anvil", process_limit="1"),
        Service("postlog", "unix-dgram", "postlogd", private="n", process_limit="1"),
    ]


def _bounce_service(definition: RelayDefinition) -> list[Service]:
    if definition.bounce_host is None:
        return []
    # Postal is ours, on this host or in our network: no login, encrypted where it offers that.
    options: dict[str, Value] = {
        "smtp_tls_security_level": "may",
        "smtp_tls_wrappermode": False,
        "smtp_sasl_auth_enable": False,
        "smtp_tls_connection_reuse": False,
    }
    return [Service(BOUNCE_TRANSPORT, "unix", "smtp", options=options)]


def maps(definition: RelayDefinition) -> dict[str, dict[str, Any]]:
    """Return the look-up tables: name → ``{"kind": "indexed", "entries"}`` or ``{"kind": "regexp", "rules"}``.

    The table with the password is not among them: the role writes it from the secret.
    """
    senders = dict.fromkeys(_lower(definition.sender_domains), "OK")
    # The hosts below a masqueraded domain may send: their names are cut off before the mail leaves.
    senders |= {f".{domain}": "OK" for domain in _lower(definition.masquerade_domains)}
    senders["<>"] = "OK"
    allowed = "|".join(re.escape(domain).replace(r"\-", "-") for domain in _lower(definition.sender_domains))
    hosts = "|".join(re.escape(domain).replace(r"\-", "-") for domain in _lower(definition.masquerade_domains))
    suffixes = f"({allowed})" if not hosts else f"(({allowed})|([^@]*\\.)({hosts}))"
    tables: dict[str, dict[str, Any]] = {
        "senders": {"kind": "indexed", "entries": senders},
        "local_senders": {
            "kind": "regexp",
            # The first rule that matches wins: an allowed sender becomes itself.
            "rules": [[f"^(.*@{suffixes})$", "${1}"], ["^(.*)@[^@]*$", f"${{1}}@{definition.sender_domains[0]}"]],
        },
    }
    if definition.bounce_host is not None:
        hop = f"{BOUNCE_TRANSPORT}:[{definition.bounce_host}]:25"
        tables["bounces"] = {"kind": "indexed", "entries": dict.fromkeys(_lower(definition.bounce_domains), hop)}
    if definition.temporary_reply_patterns:
        tables["temporary_replies"] = {
            "kind": "regexp",
            "rules": [
                [f"^5(.*({pattern}).*)$", f"4${{1}} {QUOTA_MARK}"] for pattern in definition.temporary_reply_patterns
            ],
        }
    return tables


def role_settings(definition: RelayDefinition) -> dict[str, Any]:
    """Return the settings of the role ``postfix_relay``: plain JSON, without any secret."""
    return {
        "hostname": definition.hostname,
        "listen": [[str(address), definition.listen_port] for address in dict.fromkeys(_listen(definition))],
        # A list of pairs: JSON objects do not promise an order, and the file keeps one.
        "main_cf": [[name, encode_value(value)] for name, value in main_cf(definition).items()],
        "reasons": {name: text for name, text in REASONS.items() if name in main_cf(definition)},
        # Unknown to an old Postfix, these are errors; every other parameter is left out there.
        "extra_parameters": sorted(definition.extra_parameters),
        "master_cf": [
            {**service._asdict(), "options": {name: encode_value(value) for name, value in service.options.items()}}
            for service in master_cf(definition)
        ],
        "maps": maps(definition),
        "sasl": None
        if definition.sasl_username is None
        else {"next_hop": definition.next_hop, "username": definition.sasl_username},
        "after_unit": definition.after_unit,
        "weaker_tls": None if definition.tls_level == "secure" else definition.tls_level,
    }
