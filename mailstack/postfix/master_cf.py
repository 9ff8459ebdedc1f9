"""master.cf: what runs."""

from collections.abc import Mapping

from mailstack.postfix.addresses import inet_protocols, interfaces, listen_on, sending_versions
from mailstack.postfix.definition import RelayDefinition
from mailstack.postfix.main_cf import MAPS
from mailstack.postfix.render import Service, Value

__all__ = ["BOUNCE_TRANSPORT", "master_cf"]

BOUNCE_TRANSPORT = "postal"
# What there is one process of for each client or delivery; cleanup follows smtpd.
LIMITED = frozenset({"smtpd", "smtp"})
# As in main.cf for the first upstream: no password without TLS, and a refused one delays mail instead of bouncing it.
SASL_OPTIONS: Mapping[str, Value] = {
    "smtp_sasl_security_options": ("noplaintext", "noanonymous"),
    "smtp_sasl_tls_security_options": ("noanonymous",),
    "smtp_sasl_mechanism_filter": ("plain", "login"),
    "smtp_sasl_auth_soft_bounce": True,
}


def master_cf(definition: RelayDefinition) -> list[Service]:
    """Return master.cf: one listener per address, and what a send-only relay needs; nothing delivers locally.

    Nothing runs in a chroot jail, which is Postfix's own default since 3.0: in a jail, copies of resolv.conf
    and hosts grow old and mail stops with "host not found".
    """
    sending: dict[str, Value] = {}
    if {address.version for address in listen_on(definition)} - sending_versions(definition):
        # Clients may come over a protocol that the upstream does not know us by.
        sending = {
            "inet_protocols": inet_protocols(sending_versions(definition)),
            "inet_interfaces": interfaces(definition, sending_versions(definition)),
        }
    cleanup: dict[str, Value] = {"cleanup_service_name": "cleanup-local"}
    local: dict[str, Value] = {
        "sender_canonical_maps": f"regexp:{MAPS}/local_senders",
        "sender_canonical_classes": "envelope_sender",
    }
    listeners = [
        Service(f"[{a}]:{definition.listen_port}" if a.version == 6 else f"{a}:{definition.listen_port}",
                "inet", "smtpd", private="n")
        for a in dict.fromkeys(listen_on(definition))
    ]  # fmt: skip
    services = [
        *listeners,
        *_submission_services(definition),
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
        *_upstream_services(definition, sending),
        *_bounce_service(definition),
        Service("showq", "unix", "showq", private="n"),
        Service("error", "unix", "error"),
        Service("retry", "unix", "error"),
        Service("discard", "unix", "discard"),
        Service("anvil", "unix", "anvil", process_limit="1"),
        Service("postlog", "unix-dgram", "postlogd", private="n", process_limit="1"),
    ]
    if definition.process_limit is None:
        return services
    # Not default_process_limit: that is also how many connections may wait, and one more is lost without a word.
    limit = str(definition.process_limit)
    return [each._replace(process_limit=limit) if each.command in LIMITED else each for each in services]


def _upstream_services(definition: RelayDefinition, sending: dict[str, Value]) -> list[Service]:
    """Return a service for each further upstream: what differs from the first one's settings in main.cf."""
    found = []
    for upstream in definition.upstreams:
        fallback = definition.fallback
        own = fallback is not None and fallback.next_hop == upstream.next_hop
        login = upstream.sasl_username is not None or (
            fallback is not None and fallback.sasl_username is not None and not own
        )
        options: dict[str, Value] = {
            "smtp_tls_security_level": upstream.tls_level,
            "smtp_tls_wrappermode": upstream.implicit_tls,
            "smtp_sasl_auth_enable": login,
            "smtp_connection_cache_destinations": upstream.host,
        }
        if upstream.ca_file is not None:
            options["smtp_tls_CAfile"] = upstream.ca_file
        if login:
            options["smtp_sasl_password_maps"] = f"$default_database_type:{MAPS}/{upstream.password_map}"
            options |= SASL_OPTIONS
        if own:
            options["smtp_fallback_relay"] = ""
        found.append(Service(upstream.transport, "unix", "smtp", options={**sending, **options}))
    return found


def _submission_services(definition: RelayDefinition) -> list[Service]:
    """Return the listeners for users who log in; AUTH is offered below TLS only."""
    submission = definition.submission
    if submission is None:
        return []
    common: dict[str, Value] = {
        "smtpd_tls_cert_file": submission.certificate_file,
        "smtpd_tls_key_file": submission.key_file,
        "smtpd_tls_mandatory_ciphers": "high",
        "smtpd_tls_auth_only": True,
        "smtpd_sasl_auth_enable": True,
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": "private/mailstack-auth",
        "smtpd_sasl_security_options": "noanonymous",
        "smtpd_client_restrictions": ("permit_sasl_authenticated", "permit_mynetworks", "reject"),
        "smtpd_relay_restrictions": ("permit_sasl_authenticated", "permit_mynetworks", "reject"),
        **_data_restrictions(definition),
        # Guessing costs time, and a host may try a few times a minute only.
        "smtpd_client_auth_rate_limit": 10,
        "smtpd_soft_error_limit": 1,
        "smtpd_hard_error_limit": 5,
        "smtpd_error_sleep_time": "2s",
        # A renewed certificate is read by new processes; these do not grow old.
        "max_use": 100,
        # Not exempt, as clients in the trusted networks are.
        "smtpd_client_event_limit_exceptions": "",
    }
    found = []
    for text in dict.fromkeys(submission.listen_addresses):
        place = f"[{text}]" if ":" in text else text
        for port in submission.starttls_ports:
            options = {"smtpd_tls_security_level": "encrypt", **common}
            found.append(Service(f"{place}:{port}", "inet", "smtpd", private="n", options=options))
        for port in submission.tls_ports:
            options = {"smtpd_tls_security_level": "encrypt", "smtpd_tls_wrappermode": True, **common}
            found.append(Service(f"{place}:{port}", "inet", "smtpd", private="n", options=options))
    return found


def _data_restrictions(definition: RelayDefinition) -> dict[str, Value]:
    """Return who may go on to DATA, where main.cf asks that there too (see its smtpd_end_of_data_restrictions)."""
    if definition.proof_sender is None:
        return {}
    allowed = ("reject_unauth_pipelining", "permit_sasl_authenticated", "permit_mynetworks", "reject")
    return {"smtpd_data_restrictions": allowed}


def _bounce_service(definition: RelayDefinition) -> list[Service]:
    if definition.bounce_host is None:
        return []
    # Postal is ours, on this host or in our network: no login, encrypted where it offers that.
    options: dict[str, Value] = {
        "smtp_tls_security_level": "may",
        "smtp_tls_wrappermode": False,
        "smtp_sasl_auth_enable": False,
        "smtp_tls_connection_reuse": False,
        **({} if definition.fallback is None else {"smtp_fallback_relay": ""}),
    }
    return [Service(BOUNCE_TRANSPORT, "unix", "smtp", options=options)]
