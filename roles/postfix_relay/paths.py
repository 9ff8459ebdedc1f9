"""Where things live on the host."""

from mailstack.postfix.files import MAPS

__all__ = [
    "AFTER_UNIT_DROP_INS",
    "AUTH_CONFIG",
    "AUTH_DIRECTORY",
    "AUTH_UNIT",
    "AUTH_USERS",
    "CANDIDATE",
    "CONFIG_DIRECTORY",
    "LOG_DROP_INS",
    "LOG_SERVICE",
    "LOG_TIMER",
    "LOG_TIMER_STAMP",
    "MAIN_CF",
    "MAPS_DIRECTORY",
    "MASTER_CF",
    "METRICS_CONFIG",
    "METRICS_UNIT",
    "PROGRAMS",
    "SASL_MAP",
    "STATISTICS",
    "SYSTEM_UNITS",
]

CONFIG_DIRECTORY = "/etc/postfix"
MAIN_CF = "/etc/postfix/main.cf"
MASTER_CF = "/etc/postfix/master.cf"
MAPS_DIRECTORY = CONFIG_DIRECTORY + "/" + MAPS
SASL_MAP = MAPS_DIRECTORY + "/sasl_passwd"
# Beside the real one, on the same file system, so that files move into place by a rename.
CANDIDATE = "/etc/postfix/.mailstack-candidate"
# Who may log in for submission: a Dovecot of our own that does nothing but check passwords.
AUTH_DIRECTORY = "/etc/mailstack-submission"
AUTH_CONFIG = AUTH_DIRECTORY + "/dovecot.conf"
AUTH_USERS = AUTH_DIRECTORY + "/users"
AUTH_UNIT = "mailstack-submission-auth.service"
# Programs that stay on the host, with the modules they share.
PROGRAMS = "/usr/local/lib/mailstack-relay"
METRICS_CONFIG = PROGRAMS + "/metrics.json"
METRICS_UNIT = "mailstack-relay-metrics.service"
STATISTICS = "/usr/local/sbin/mailstack-relay-stats"
SYSTEM_UNITS = "/etc/systemd/system"
# Debian runs the daemon as an instance, postfix@-; elsewhere it is postfix itself.
AFTER_UNIT_DROP_INS = (
    "/etc/systemd/system/postfix.service.d/mailstack-after.conf",
    "/etc/systemd/system/postfix@.service.d/mailstack-after.conf",
)
LOG_DROP_INS = (
    "/etc/systemd/system/postfix.service.d/mailstack-log.conf",
    "/etc/systemd/system/postfix@.service.d/mailstack-log.conf",
)
LOG_SERVICE = "mailstack-postfix-log.service"
LOG_TIMER = "mailstack-postfix-log.timer"
# Where systemd notes when a persistent timer last ran.
LOG_TIMER_STAMP = "/var/lib/systemd/timers/stamp-" + LOG_TIMER
