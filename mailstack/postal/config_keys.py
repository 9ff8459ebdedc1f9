"""The keys of Postal's configuration file, version 2, and the rules for their values.

Source: lib/postal/config_schema.rb and doc/config/yaml.yml of postalserver/postal 3.3.6. Postal ignores a key it does
not know and lets null replace a default, so both are errors here. The role carries this module to the host: Python
3.6 and the standard library only.
"""

import difflib
from typing import Any, Dict, List, Mapping, Tuple

__all__ = ["KEYS", "LIST", "NUMBER", "SECRET_KEYS", "SWITCH", "TEXT", "key_problems"]

TEXT, NUMBER, SWITCH, LIST = "text", "a whole number", "true or false", "a list of texts"

KEYS: Dict[str, Dict[str, str]] = {
    "postal": {
        "web_hostname": TEXT,
        "web_protocol": TEXT,
        "smtp_hostname": TEXT,
        "use_ip_pools": SWITCH,
        "default_maximum_delivery_attempts": NUMBER,
        "default_maximum_hold_expiry_days": NUMBER,
        "default_suppression_list_automatic_removal_days": NUMBER,
        "default_spam_threshold": NUMBER,
        "default_spam_failure_threshold": NUMBER,
        "use_local_ns_for_domain_verification": SWITCH,
        "use_resent_sender_header": SWITCH,
        "signing_key_path": TEXT,
        "smtp_relays": LIST,
        "trusted_proxies": LIST,
        "queued_message_lock_stale_days": NUMBER,
        "batch_queued_messages": SWITCH,
    },
    "web_server": {
        "default_port": NUMBER,
        "default_bind_address": TEXT,
        "max_threads": NUMBER,
    },
    "worker": {
        "default_health_server_port": NUMBER,
        "default_health_server_bind_address": TEXT,
        "threads": NUMBER,
    },
    "main_db": {
        "host": TEXT,
        "port": NUMBER,
        "username": TEXT,
        "password": TEXT,
        "database": TEXT,
        "pool_size": NUMBER,
        "encoding": TEXT,
    },
    "message_db": {
        "host": TEXT,
        "port": NUMBER,
        "username": TEXT,
        "password": TEXT,
        "encoding": TEXT,
        "database_name_prefix": TEXT,
    },
    "logging": {
        "rails_log_enabled": SWITCH,
        "sentry_dsn": TEXT,
        "enabled": SWITCH,
        "highlighting_enabled": SWITCH,
    },
    "gelf": {
        "host": TEXT,
        "port": NUMBER,
        "facility": TEXT,
    },
    "smtp_server": {
        "default_port": NUMBER,
        "default_bind_address": TEXT,
        "default_health_server_port": NUMBER,
        "default_health_server_bind_address": TEXT,
        "tls_enabled": SWITCH,
        "tls_certificate_path": TEXT,
        "tls_private_key_path": TEXT,
        "tls_ciphers": TEXT,
        "ssl_version": TEXT,
        "proxy_protocol": SWITCH,
        "log_connections": SWITCH,
        "max_message_size": NUMBER,
        "log_ip_address_exclusion_matcher": TEXT,
    },
    "dns": {
        "mx_records": LIST,
        "spf_include": TEXT,
        "return_path_domain": TEXT,
        "route_domain": TEXT,
        "track_domain": TEXT,
        "helo_hostname": TEXT,
        "dkim_identifier": TEXT,
        "domain_verify_prefix": TEXT,
        "custom_return_path_prefix": TEXT,
        "timeout": NUMBER,
        "resolv_conf_path": TEXT,
    },
    "smtp": {
        "host": TEXT,
        "port": NUMBER,
        "username": TEXT,
        "password": TEXT,
        "authentication_type": TEXT,
        "enable_starttls": SWITCH,
        "enable_starttls_auto": SWITCH,
        "openssl_verify_mode": TEXT,
        "from_name": TEXT,
        "from_address": TEXT,
    },
    "rails": {
        "environment": TEXT,
        "secret_key": TEXT,
    },
    "rspamd": {
        "enabled": SWITCH,
        "host": TEXT,
        "port": NUMBER,
        "ssl": SWITCH,
        "password": TEXT,
        "flags": TEXT,
    },
    "spamd": {
        "enabled": SWITCH,
        "host": TEXT,
        "port": NUMBER,
    },
    "clamav": {
        "enabled": SWITCH,
        "host": TEXT,
        "port": NUMBER,
    },
    "smtp_client": {
        "open_timeout": NUMBER,
        "read_timeout": NUMBER,
    },
    "migration_waiter": {
        "enabled": SWITCH,
        "attempts": NUMBER,
        "sleep_time": NUMBER,
    },
    "oidc": {
        "enabled": SWITCH,
        "local_authentication_enabled": SWITCH,
        "name": TEXT,
        "issuer": TEXT,
        "identifier": TEXT,
        "secret": TEXT,
        "scopes": LIST,
        "uid_field": TEXT,
        "email_address_field": TEXT,
        "name_field": TEXT,
        "discovery": SWITCH,
        "authorization_endpoint": TEXT,
        "token_endpoint": TEXT,
        "userinfo_endpoint": TEXT,
        "jwks_uri": TEXT,
    },
}

SECRET_KEYS: Tuple[Tuple[str, str], ...] = (
    ("main_db", "password"),
    ("message_db", "password"),
    ("rails", "secret_key"),
    ("smtp", "password"),
    ("rspamd", "password"),
    ("oidc", "secret"),
    ("logging", "sentry_dsn"),
)


def key_problems(values: Mapping[str, Any], where: str = "postal.config") -> List[str]:
    """Return what is wrong with ``values`` ({group: {key: value}}), one sentence each; empty means nothing.

    Every sentence names the key, the value (never a secret one), the rule and the nearest key that exists.
    """
    problems: List[str] = []
    for group in sorted(values):
        place = f"{where}.{group}"
        if group not in KEYS:
            problems.append(f"{place}: Postal has no such group{_nearest(group, KEYS)}")
        elif not isinstance(values[group], Mapping):
            problems.append(f"{place}: must be a group of keys")
        else:
            for key in sorted(values[group]):
                problems += _value_problems(group, key, values[group][key], f"{place}.{key}")
    return problems


def _value_problems(group: str, key: str, value: Any, place: str) -> List[str]:
    if key not in KEYS[group]:
        elsewhere = [name for name, keys in KEYS.items() if key in keys]
        hint = f"; it belongs to {elsewhere[0]}" if len(elsewhere) == 1 else _nearest(key, KEYS[group])
        return [f"{place}: Postal would ignore this key, it does not know it{hint}"]
    if value is None:
        return [f"{place}: null would replace Postal's default; leave the key out instead"]
    kind = KEYS[group][key]
    if not _fits(kind, value):
        shown = "" if (group, key) in SECRET_KEYS else f", not {value!r}"
        return [f"{place}: must be {kind}{shown}"]
    texts = value if isinstance(value, (list, tuple)) else [value]
    if any(isinstance(text, str) and _has_control(text) for text in texts):
        return [f"{place}: must not contain line ends or control characters"]
    if group == "main_db" and isinstance(value, str) and ('"' in value or "\\" in value):
        return [f'{place}: must not contain " or \\: Postal copies it unescaped into its config/database.yml']
    return []


def _fits(kind: str, value: Any) -> bool:
    if kind == TEXT:
        return isinstance(value, str)
    if kind == SWITCH:
        return isinstance(value, bool)
    if kind == NUMBER:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value)


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) in (0x7F, 0x85, 0x2028, 0x2029) for character in text)


def _nearest(name: str, known: Mapping[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    close = close or [each for each in known if name in each.split("_")]  # v1's `helo` is `helo_hostname` now
    return f"; did you mean {close[0]}?" if close else ""
