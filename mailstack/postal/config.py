"""Postal's configuration from typed values: what follows from the stack, and what a company may add.

Owned keys are those another setting decides; ``extra`` may set every other key of ``config_keys.KEYS``.
"""

from collections.abc import Mapping
from typing import Any

from mailstack.postal.config_keys import SECRET_KEYS, key_problems

__all__ = ["OWNED_KEYS", "config_problems", "merge_extra"]

# What postal.config may not set, and the setting that decides it (or why nobody may).
OWNED_KEYS: Mapping[tuple[str, str], str] = {
    ("postal", "web_hostname"): "use postal.web_hostname",
    ("postal", "smtp_hostname"): "use postal.smtp_hostname",
    ("postal", "web_protocol"): "the web interface is always behind TLS",
    ("postal", "use_ip_pools"): "use postal.ip_pools",
    ("postal", "signing_key_path"): "the key comes from the stack's secrets",
    ("postal", "smtp_relays"): "use postal.sending, which writes the TLS mode as Postal spells it",
    ("postal", "trusted_proxies"): "use postal.trusted_proxies",
    ("web_server", "default_port"): "the port inside the container is fixed; use postal.web_port",
    ("web_server", "default_bind_address"): "what can be reached is decided by the published ports",
    ("worker", "threads"): "use postal.worker_threads",
    ("worker", "default_health_server_port"): "the health check of the container asks this port",
    ("worker", "default_health_server_bind_address"): "health is only for the container itself",
    ("smtp_server", "default_port"): "the port inside the container is fixed; use postal.smtp_port",
    ("smtp_server", "default_bind_address"): "what can be reached is decided by the published ports",
    ("smtp_server", "default_health_server_port"): "the health check of the container asks this port",
    ("smtp_server", "default_health_server_bind_address"): "health is only for the container itself",
    ("smtp_server", "tls_enabled"): "use postal.smtp_tls",
    ("smtp_server", "tls_certificate_path"): "the certificate is delivered to its place",
    ("smtp_server", "tls_private_key_path"): "the key is delivered to its place",
    ("smtp_server", "max_message_size"): "use postal.max_message_mb, the database is sized by it",
    ("dns", "mx_records"): "use the DNS settings, the records are declared from them",
    ("dns", "spf_include"): "use the DNS settings, the records are declared from them",
    ("dns", "return_path_domain"): "use the DNS settings, the records are declared from them",
    ("dns", "route_domain"): "use the DNS settings, the records are declared from them",
    ("dns", "track_domain"): "use the DNS settings, the records are declared from them",
    ("dns", "helo_hostname"): "use postal.helo_hostname",
    ("dns", "dkim_identifier"): "use the DNS settings, the records are declared from them",
    ("dns", "custom_return_path_prefix"): "use the DNS settings, the records are declared from them",
    ("dns", "resolv_conf_path"): "the container's own resolver is used",
    ("rails", "environment"): "Postal's image is built for production",
    ("main_db", "host"): "use the database settings",
    ("main_db", "port"): "use the database settings",
    ("main_db", "username"): "use the database settings",
    ("main_db", "database"): "use the database settings",
    ("message_db", "host"): "use the database settings",
    ("message_db", "port"): "use the database settings",
    ("message_db", "username"): "use the database settings",
    ("message_db", "database_name_prefix"): "use the database settings",
    # Database fields are utf8mb4; anything else cuts mail off at the first such character.
    ("main_db", "encoding"): "Postal's tables are utf8mb4",
    ("message_db", "encoding"): "Postal's tables are utf8mb4",
}

# Values that Postal accepts and that lose mail or block real recipients. Returned in words, None means harmless.
HARMFUL_MINIMUM: Mapping[tuple[str, str], tuple[int, str]] = {
    ("postal", "default_maximum_delivery_attempts"): (
        6,
        "fewer attempts give up within an hour, and two failures in a day put a recipient on the suppression list",
    ),
    ("postal", "queued_message_lock_stale_days"): (1, "mail with a stale lock is deleted, not sent again"),
    ("postal", "default_suppression_list_automatic_removal_days"): (1, "0 would never let a recipient off the list"),
    ("smtp_client", "open_timeout"): (5, "slow mail servers would count as failures"),
    ("smtp_client", "read_timeout"): (5, "slow mail servers would count as failures"),
    ("dns", "timeout"): (2, "a slow answer would count as a missing record"),
}


def config_problems(values: Mapping[str, Any], where: str = "postal.config") -> list[str]:
    """Return what is wrong with a company's own keys: unknown, mistyped, null, owned by a setting, secret, harmful."""
    problems = key_problems(values, where)
    for group, keys in values.items():
        for key, value in keys.items() if isinstance(keys, Mapping) else ():
            place = f"{where}.{group}.{key}"
            if (group, key) in OWNED_KEYS:
                problems.append(f"{place}: is not set here: {OWNED_KEYS[group, key]}")
            elif (group, key) in SECRET_KEYS:
                problems.append(f"{place}: is a secret; set it in postal.secret_config (pulumi config set --secret)")
            elif (group, key) in HARMFUL_MINIMUM and isinstance(value, int):
                least, reason = HARMFUL_MINIMUM[group, key]
                if value < least:
                    problems.append(f"{place}: must be at least {least}, not {value}: {reason}")
    return problems


def merge_extra(base: Mapping[str, Mapping[str, Any]], extra: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return ``base`` with the company's keys added; lists become lists JSON can hold."""
    merged: dict[str, dict[str, Any]] = {group: dict(keys) for group, keys in base.items()}
    for group, keys in extra.items():
        merged.setdefault(group, {}).update(
            {key: list(value) if isinstance(value, tuple) else value for key, value in keys.items()}
        )
    return merged
