"""Where things live on the host. Those that are in the Caddyfile are the same in ``mailstack.caddy.render``."""

__all__ = [
    "ACME_CA",
    "ADMIN_DIRECTORY",
    "CADDYFILE",
    "CANDIDATE",
    "CONFIG_DIRECTORY",
    "CONTAINER_DATA",
    "DNS_TOKEN",
    "LOG_DIRECTORY",
    "PAIRS",
    "SERVICE_DROP_IN",
    "SERVICE_HOME",
    "SMTP_CONFIG",
    "SMTP_PROGRAM",
    "SMTP_UNIT",
    "SYSTEM_UNITS",
]

CONFIG_DIRECTORY = "/etc/caddy"
CADDYFILE = "/etc/caddy/Caddyfile"
CANDIDATE = "/etc/caddy/Caddyfile.mailstack-candidate"
PAIRS = "/etc/caddy/certificates"
DNS_TOKEN = "/etc/caddy/dns-token"  # noqa: S105 - a path
ACME_CA = "/etc/caddy/acme-ca.pem"
ADMIN_DIRECTORY = "/run/mailstack-caddy"
LOG_DIRECTORY = "/var/log/caddy"
# Both hold what Caddy calls its data: accounts, certificates and keys.
SERVICE_HOME = "/var/lib/caddy"
CONTAINER_DATA = "/var/lib/mailstack-caddy"
SYSTEM_UNITS = "/etc/systemd/system"
SERVICE_DROP_IN = "/etc/systemd/system/caddy.service.d/mailstack.conf"
SMTP_CONFIG = "/etc/mailstack/smtp-certificate.json"
SMTP_PROGRAM = "/usr/local/lib/mailstack/smtp-certificate"
SMTP_UNIT = "mailstack-smtp-certificate"
