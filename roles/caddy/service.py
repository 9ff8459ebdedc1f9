"""Caddy as a service: the distribution's package, or a build of one's own with the package's unit."""

import contextlib
import os
import pwd
import shutil
from typing import Any, Dict, List, Optional

from caddy import paths
from caddy.runtime import VALIDATE_SECONDS, Runtime, make_directory, readable, stranger
from rolelib.commands import Result, run
from rolelib.files import DesiredFile, read
from rolelib.host import (
    RoleError,
    install_packages,
    package_family,
    service_is_active,
    service_is_enabled,
    systemctl,
    unit_log,
)

__all__ = ["UNIT", "Service"]

UNIT = "caddy.service"

DROP_IN = """# Managed by mailstack.
[Service]
ExecStart=
ExecStart=/usr/bin/caddy run --config {caddyfile}
ExecReload=
ExecReload=/usr/bin/caddy reload --config {caddyfile} --force
# The admin interface is a socket in here: Caddy's own user and root, nobody else.
RuntimeDirectory=mailstack-caddy
RuntimeDirectoryMode=0700
{selinux}UMask=0077
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
Restart=on-failure
RestartSec=5
# Longer than the grace period in the Caddyfile.
TimeoutStopSec=40
"""
# The packages of Fedora's family run Caddy in the domain of web servers, which may keep sockets of this type only.
SELINUX_SOCKET = "ExecStartPre=-+/usr/bin/chcon -t httpd_var_run_t /run/mailstack-caddy\n"


class Service(Runtime):
    """The distribution's package, or a build of one's own at /usr/bin/caddy with the package's unit."""

    placement = "service"
    owner = "caddy"
    group = "caddy"
    storage = paths.SERVICE_HOME + "/.local/share/caddy"

    def __init__(self, settings: Dict[str, Any]) -> None:
        """Read the settings."""
        self.repository: Optional[str] = settings.get("copr_repository")

    def version(self) -> Optional[str]:
        """Ask the program; it counts only with its unit and user."""
        if not shutil.which("caddy") or not run(["systemctl", "cat", UNIT], check=False).ok:
            return None
        with contextlib.suppress(KeyError):
            pwd.getpwnam(self.owner)
            return (run(["caddy", "version"]).out.split() or ["unknown"])[0]
        return None

    def install(self) -> None:
        """Install the package without the page and the TCP admin interface its own configuration starts."""
        run(["systemctl", "mask", "--runtime", UNIT], check=False)
        try:
            if package_family() == "dnf" and self.repository:
                install_packages(["dnf-command(copr)"])
                run(["dnf", "-y", "copr", "enable", self.repository])
            install_packages(["caddy"])
        finally:
            run(["systemctl", "unmask", "--runtime", UNIT], check=False)
        if self.version() is None:
            raise RoleError("packages", "package caddy brought no program, unit or user named caddy")

    def modules(self) -> List[str]:
        """Ask the program."""
        return run(["caddy", "list-modules"]).out.split()

    def files(self) -> List[DesiredFile]:
        """Return the addition to the package's unit."""
        selinux = SELINUX_SOCKET if package_family() == "dnf" else ""
        return [DesiredFile(paths.SERVICE_DROP_IN, DROP_IN.format(caddyfile=paths.CADDYFILE, selinux=selinux))]

    def faults(self) -> List[str]:
        """Look at unit and data directory."""
        found = []
        if not service_is_enabled(UNIT):
            found.append("service caddy does not start at boot")
        if not service_is_active(UNIT):
            found.append("service caddy is not running")
        elif not os.path.exists(os.path.join(paths.ADMIN_DIRECTORY, "admin.sock")):
            found.append(f"Caddy's admin interface is not the socket in {paths.ADMIN_DIRECTORY}")
        foreign = stranger(self.storage, self.owner)
        if foreign:
            found.append(f"{foreign} is not owned by {self.owner}, so Caddy cannot renew")
        if _boolean_is_off():
            found.append("SELinux: httpd_can_network_connect is off, so Caddy reaches neither Postal nor an issuer")
        return found

    def active(self) -> bool:
        """Ask systemd."""
        return service_is_active(UNIT)

    def prepare(self) -> None:
        """Make log and data directories, and mend owners that a `sudo caddy` by hand got wrong."""
        for path in (paths.SERVICE_HOME, self.storage, paths.LOG_DIRECTORY):
            make_directory(path, self.owner, self.group)
        self.take(self.storage, paths.LOG_DIRECTORY)
        if _boolean_is_off():
            run(["setsebool", "-P", "httpd_can_network_connect", "on"])

    def validate(self, path: str) -> Result:
        """Run it as the service's user: it makes log files and keys as it would in production."""
        command = ["caddy", "validate", "--adapter", "caddyfile", "--config", path]
        home = f"HOME={paths.SERVICE_HOME}"
        return run(["runuser", "-u", self.owner, "--", "env", home, *command], check=False, timeout=VALIDATE_SECONDS)

    def restart(self) -> None:
        """Restart the unit; it is ready when this returns."""
        systemctl("daemon-reload")
        run(["systemctl", "unmask", "--runtime", UNIT], check=False)  # an installation that was cut off masks it
        systemctl("enable", UNIT)
        run(["systemctl", "reset-failed", UNIT], check=False)
        systemctl("restart", UNIT)

    def reload(self) -> None:
        """Reload through the unit, so that it is the same user and program."""
        systemctl("enable", UNIT)
        systemctl("reload", UNIT)

    def stop(self) -> None:
        """Stop and disable the unit."""
        run(["systemctl", "disable", "--now", UNIT], check=False)

    def halt(self) -> None:
        """Stop the unit; it stays enabled."""
        systemctl("stop", UNIT)

    def resume(self) -> None:
        """Start the unit."""
        systemctl("daemon-reload")
        systemctl("start", UNIT)

    def log(self, lines: int = 15) -> str:
        """Read the journal."""
        return readable(unit_log(UNIT, lines))


def _boolean_is_off() -> bool:
    """Tell whether SELinux keeps a Caddy in the domain of web servers from connecting anywhere."""
    label = run(["stat", "--format", "%C", "/usr/bin/caddy"], check=False).out if shutil.which("getsebool") else ""
    if "httpd_exec_t" not in label or (read("/sys/fs/selinux/enforce") or "").strip() != "1":
        return False
    return run(["getsebool", "httpd_can_network_connect"], check=False).out.strip().endswith("off")
