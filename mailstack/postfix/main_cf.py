"""main.cf as typed settings, each with its reason.

Sources: postconf(5), TLS_README, TUNING_README and CONNECTION_CACHE_README of Postfix; measurements behind "measured"
are those of ``make bench``: 2 cores, 20 ms to the upstream.
"""

import ipaddress
from collections.abc import Mapping

from mailstack.postfix.addresses import inet_protocols, interfaces, listen_on, network_text, sending_versions
from mailstack.postfix.definition import RelayDefinition
from mailstack.postfix.render import Reference, Value

__all__ = ["MAPS", "PROOF_HELO", "PROOF_KEPT_SECONDS", "REASONS", "main_cf"]

DEFAULT_PROCESSES = 200
MAPS = "$config_directory/mailstack"
# What the proof greets as; no host has a name below .invalid (RFC 2606).
PROOF_HELO = "proof.mailstack.invalid"
# Long enough for the process that waits for an answer, shorter than the pause between two proofs.
PROOF_KEPT_SECONDS = 5

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
    "sender_dependent_default_transport_maps": (
        "Each sender domain to its upstream. A service for each: smtp_sender_dependent_authentication would switch "
        "connection caching off."
    ),
    "smtp_fallback_relay": "Used when the upstream does not answer. Its certificate is verified like the first one's.",
    "smtputf8_enable": "The upstream does not take SMTPUTF8: a client learns at once, not by a bounce later.",
    "strict_rfc821_envelopes": "Old devices write MAIL FROM: a@b without brackets; clients of this relay are known.",
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
    "address_verify_map": "Answers of the proof are not kept on disk; see smtpd_recipient_restrictions.",
    "smtpd_end_of_data_restrictions": (
        "Postfix takes address_verify_sender as a recipient from anybody, whatever the lists above say. So client and "
        "sender are asked for once more, at DATA and after it."
    ),
    "address_verify_poll_count": "The proof waits for its answer this many times a second, instead of three times 3 s.",
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
    listen_versions = {address.version for address in listen_on(definition)}
    versions = listen_versions | sending_versions(definition)
    networks = ["127.0.0.0/8"] if 4 in versions else []
    networks += ["[::1]/128"] if 6 in versions else []
    loopback = tuple(networks)
    networks += [network_text(text) for text in definition.client_networks]
    processes = max(DEFAULT_PROCESSES, 2 * definition.concurrency)
    parameters: dict[str, Value] = {
        "compatibility_level": Reference("compatibility_level"),
        "default_database_type": Reference("map_type"),
        # Who we are.
        "myhostname": definition.hostname,
        "myorigin": definition.sender_domains[0],
        "append_dot_mydomain": False,
        "biff": False,
        "inet_interfaces": interfaces(definition, versions),
        "inet_protocols": inet_protocols(versions),
        # Who may send.
        "mynetworks": tuple(dict.fromkeys(networks)),
        "smtpd_client_restrictions": ("permit_mynetworks", "reject"),
        "smtpd_relay_restrictions": ("permit_mynetworks", "reject"),
        "smtpd_sender_restrictions": (
            *_ascii_only(definition, "sender"),
            f"check_sender_access $default_database_type:{MAPS}/senders",
            "reject",
        ),
        "smtpd_recipient_restrictions": (*_ascii_only(definition, "recipient"), *_proof_only(definition)),
        "smtpd_null_access_lookup_key": "<>",
        "parent_domain_matches_subdomains": (),
        "smtpd_helo_required": True,
        "disable_vrfy_command": True,
        "strict_rfc821_envelopes": definition.strict_envelopes,
        "smtpd_data_restrictions": (
            "reject_unauth_pipelining",
            *(() if definition.proof_sender is None else ("permit_mynetworks", "reject")),
        ),
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
        "smtp_destination_recipient_limit": _recipient_limit(definition, definition.recipient_limit),
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
        **_choice(definition),
        **_proof(definition),
        **({} if definition.submission is None else {"smtpd_tls_mandatory_protocols": Reference("tls_protocols")}),
        **({} if definition.smtputf8 else {"smtputf8_enable": False}),
        **({"transport_maps": f"$default_database_type:{MAPS}/bounces"} if definition.bounce_domains else {}),
        "maillog_file": Reference("log_file"),
    }
    if definition.temporary_reply_patterns:
        parameters["smtp_delivery_status_filter"] = f"regexp:{MAPS}/temporary_replies"
    parameters.update(definition.extra_parameters)
    return parameters


def _ascii_only(definition: RelayDefinition, side: str) -> tuple[str, ...]:
    """Refuse an address the upstream could not take. Without the extension Postfix would pass its bytes on."""
    return () if definition.smtputf8 else (f"check_{side}_access regexp:{MAPS}/non_ascii",)


def _proof_only(definition: RelayDefinition) -> tuple[str, ...]:
    """Have the upstream asked about a recipient where a client greets as the proof does; nobody else is held up."""
    if definition.proof_sender is None:
        return ()
    return (f"check_helo_access inline:{{{PROOF_HELO}=reject_unverified_recipient}}",)


def _proof(definition: RelayDefinition) -> dict[str, Value]:
    """Return how the upstream is asked (ADDRESS_VERIFICATION_README): afresh for each proof, and soon."""
    if definition.proof_sender is None:
        return {}
    times = {
        f"address_verify_{answer}_{what}_time": f"{PROOF_KEPT_SECONDS}s"
        for answer in ("positive", "negative")
        for what in ("expire", "refresh")
    }
    return {
        "smtpd_end_of_data_restrictions": (f"check_sender_access $default_database_type:{MAPS}/senders", "reject"),
        "address_verify_map": "",
        "address_verify_sender": definition.proof_sender,
        "address_verify_poll_count": 30,
        "address_verify_poll_delay": "1s",
        **times,
    }


def _choice(definition: RelayDefinition) -> dict[str, Value]:
    """Return who takes which sender's mail, and who takes it when the first does not answer."""
    parameters: dict[str, Value] = {}
    if definition.upstreams:
        # The next hop found here goes before relayhost (postconf(5), default_transport).
        parameters["sender_dependent_default_transport_maps"] = f"$default_database_type:{MAPS}/upstreams"
    for upstream in definition.upstreams:
        # Named after the service: these cannot be options of it.
        parameters[f"{upstream.transport}_destination_concurrency_limit"] = upstream.concurrency
        parameters[f"{upstream.transport}_initial_destination_concurrency"] = upstream.concurrency
        parameters[f"{upstream.transport}_destination_concurrency_failed_cohort_limit"] = 5
        parameters[f"{upstream.transport}_destination_recipient_limit"] = _recipient_limit(
            definition, upstream.recipient_limit
        )
    if definition.fallback is not None:
        parameters["smtp_fallback_relay"] = (definition.fallback.next_hop,)
    return parameters


def _recipient_limit(definition: RelayDefinition, own: int) -> int:
    """Return what both take, the first choice and the fallback: a transaction is not split again for the second."""
    return own if definition.fallback is None else min(own, definition.fallback.recipient_limit)


def _credentials(definition: RelayDefinition) -> dict[str, Value]:
    fallback = definition.fallback
    if definition.sasl_username is None and (fallback is None or fallback.sasl_username is None):
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
