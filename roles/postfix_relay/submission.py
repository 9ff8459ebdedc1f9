"""Logins for submission: a Dovecot of our own that does nothing but check passwords, kept as SHA-512 hashes.

Cyrus SASL's database would keep them in clear. Sources: SASL_README of Postfix, passwd-file and auth of Dovecot 2.3.
"""

import hashlib
import os
import shutil
from typing import Any, Dict, List

from postfix_relay import paths
from rolelib.commands import run
from rolelib.files import DesiredFile
from rolelib.host import RoleError, systemctl

__all__ = ["PACKAGES", "files", "hashes", "is_active", "quiet_package", "restart", "uninstall"]

PACKAGES = {"debian": "dovecot-core", "rhel": "dovecot"}
SALT_CHARACTERS = 16

CONFIG = """# Managed by mailstack: only checks passwords for Postfix, and listens on no network.
protocols =
base_dir = /run/mailstack-submission
instance_name = mailstack-submission
log_path = syslog
ssl = no
auth_mechanisms = plain login
# Postfix offers AUTH below TLS only.
disable_plaintext_auth = no
auth_failure_delay = 2 secs
passdb {
  driver = passwd-file
  args = scheme=SHA512-CRYPT username_format=%%u %(users)s
}
userdb {
  driver = static
  args = uid=nobody gid=nogroup home=/nonexistent
}
service auth {
  unix_listener /var/spool/postfix/private/mailstack-auth {
    mode = 0660
    user = postfix
    group = postfix
  }
}
"""
UNIT = """# Managed by mailstack.
[Unit]
Description=Passwords of mail submission
Before=postfix.service

[Service]
ExecStart=/usr/sbin/dovecot -F -c %(config)s
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
PrivateTmp=true
ProtectHome=true

[Install]
WantedBy=multi-user.target
"""


def hashes(settings: Dict[str, Any], secrets: Dict[str, Any]) -> Dict[str, str]:
    """Return user -> SHA-512 hash. The salt is the user's own and stays, so equal passwords give equal files."""
    submission = settings.get("submission")
    if not submission:
        return {}
    passwords = secrets.get("submission_passwords") or {}
    found = {}
    for user in submission["users"]:
        password = passwords.get(user)
        if not password or any(ord(character) < 32 for character in password):
            raise RoleError("settings", f"no usable password came for submission user {user}")
        salt = hashlib.sha256(f"{settings['hostname']} {user}".encode()).hexdigest()[:SALT_CHARACTERS]
        result = run(["openssl", "passwd", "-6", "-salt", salt, "-stdin"], stdin=password + "\n", check=False)
        if not result.ok or not result.out.startswith("$6$"):
            raise RoleError("settings", f"openssl makes no hash: {result.err.strip()}")
        found[user] = result.out.strip()
    return found


def files(settings: Dict[str, Any], hashed: Dict[str, str]) -> List[DesiredFile]:
    """Return configuration, users and unit; empty where nobody logs in."""
    if not settings.get("submission"):
        return []
    users = "".join(f"{user}:{{SHA512-CRYPT}}{hashed[user]}::::::\n" for user in settings["submission"]["users"])
    unit = os.path.join(paths.SYSTEM_UNITS, paths.AUTH_UNIT)
    return [
        DesiredFile(paths.AUTH_CONFIG, CONFIG % {"users": paths.AUTH_USERS}),
        DesiredFile(paths.AUTH_USERS, users, mode=0o640, group="dovecot", secret=True),
        DesiredFile(unit, UNIT % {"config": paths.AUTH_CONFIG}),
    ]


def is_active() -> bool:
    """Tell whether passwords can be checked now."""
    return run(["systemctl", "is-active", "--quiet", paths.AUTH_UNIT], check=False).ok


def quiet_package() -> None:
    """Stop the package's own service, which a Debian package starts: nobody reads mail here."""
    for unit in ("dovecot.socket", "dovecot.service"):
        run(["systemctl", "disable", "--now", unit], check=False)


def restart() -> None:
    """Start our Dovecot with the files as they are. Raises RoleError with its last words."""
    result = run(["dovecot", "-n", "-c", paths.AUTH_CONFIG], check=False)
    if not result.ok:
        raise RoleError("activate", f"Dovecot refuses the configuration of submission: {result.err.strip()}")
    systemctl("enable", paths.AUTH_UNIT)
    systemctl("restart", paths.AUTH_UNIT)


def uninstall() -> List[str]:
    """Take service and files away; return what was done."""
    unit = os.path.join(paths.SYSTEM_UNITS, paths.AUTH_UNIT)
    if not os.path.exists(unit) and not os.path.exists(paths.AUTH_DIRECTORY):
        return []
    run(["systemctl", "disable", "--now", paths.AUTH_UNIT], check=False)
    if os.path.exists(unit):
        os.unlink(unit)
    shutil.rmtree(paths.AUTH_DIRECTORY, ignore_errors=True)
    run(["systemctl", "daemon-reload"], check=False)
    return ["logins for submission removed"]
