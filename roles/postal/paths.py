"""Where things live on the host, and the numbers of the user inside Postal's image."""

__all__ = [
    "BACKUP_JSON",
    "BACKUP_SERVICE",
    "BACKUP_TIMER",
    "BIN",
    "CANDIDATE",
    "CERTIFICATE_SERVICE",
    "COMPOSE",
    "CONFIG",
    "LIB",
    "PASSPHRASE",
    "POSTAL_YML",
    "ROOT",
    "SIGNING_KEY",
    "SMTP_CERTIFICATE",
    "SMTP_KEY",
    "STATE",
    "SYSTEM_UNITS",
    "USER_ID",
]

USER_ID = 999
ROOT = "/opt/postal"
COMPOSE = ROOT + "/compose.yaml"
CONFIG = ROOT + "/config"
POSTAL_YML = CONFIG + "/postal.yml"
SIGNING_KEY = CONFIG + "/signing.key"
# Delivered by role caddy, which restarts only the smtp container when they change.
SMTP_CERTIFICATE = CONFIG + "/smtp.cert"
SMTP_KEY = CONFIG + "/smtp.key"
# Its unit, which compares the certificate that is served with the one that was delivered.
CERTIFICATE_SERVICE = "mailstack-smtp-certificate.service"
# A new configuration is tried here, with the image it is meant for, before it replaces anything.
CANDIDATE = ROOT + "/.candidate"
LIB = ROOT + "/lib"
BIN = ROOT + "/bin"
# What the backup programs need to know; with the database's password, so only root reads it.
BACKUP_JSON = ROOT + "/backup.json"
PASSPHRASE = ROOT + "/backup.passphrase"
STATE = "/var/lib/mailstack/postal"
SYSTEM_UNITS = "/etc/systemd/system"
BACKUP_SERVICE = "mailstack-postal-backup.service"
BACKUP_TIMER = "mailstack-postal-backup.timer"
