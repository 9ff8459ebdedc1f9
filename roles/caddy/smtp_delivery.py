"""The delivery program on this host: its files and units, one run of it, and its removal."""

import os
import shutil
from typing import Any, Callable, Dict, List, Optional

from caddy import paths
from caddy.desired import file_faults, smtp_config, smtp_files
from caddy.runtime import Runtime
from caddy.smtp_certificate import PROJECT, SERVICE, findings, forget_refusal
from caddy.smtp_pair import SmtpPair
from caddy.smtp_server import containers
from rolelib.commands import run
from rolelib.files import write
from rolelib.host import RoleError, systemctl, unit_log

__all__ = ["SmtpDelivery"]

Say = Callable[[str, str], None]
# Two restarts of the container with their waits, at most.
DELIVERY_SECONDS = 900
ATTEMPTS = 3


class SmtpDelivery:
    """Brings the certificate to the SMTP server of the settings; does nothing where there is none."""

    def __init__(self, settings: Dict[str, Any], runtime: Runtime) -> None:
        """Hold the input."""
        self.settings = settings
        self.runtime = runtime
        self.config = smtp_config(settings, runtime)

    def install(self) -> None:
        """Write program and units, and have systemd watch; or take them away where they are not wanted."""
        if self.config is None:
            self.uninstall()
            return
        files = smtp_files(self.settings, self.runtime)
        for file in files:
            if file_faults([file]):
                write(file)
        systemctl("daemon-reload")
        for kind in ("path", "timer"):
            systemctl("enable", f"{paths.SMTP_UNIT}.{kind}")
            # A path unit watches what it was started with.
            systemctl("restart", f"{paths.SMTP_UNIT}.{kind}")

    def deliver(self, say: Say) -> None:
        """Run the program where the SMTP server lacks the current certificate. Raises RoleError with its words."""
        unit = f"{paths.SMTP_UNIT}.service"
        missing: List[str] = []
        # More than once: a start joins a run that is under way, and that one may have seen what was there before.
        for _ in range(ATTEMPTS):
            missing = [] if self.config is None else findings(self.config)[0]
            if self.config is None or not missing:
                return
            say("smtp", f"bringing the certificate of {self.config['name']} to {self.config['directory']}")
            forget_refusal()  # whoever applies wants it tried now
            if not run(["systemctl", "start", unit], check=False, timeout=DELIVERY_SECONDS).ok:
                raise RoleError("smtp", f"{unit} failed; the timer tries again. Its last lines:\n{unit_log(unit, 8)}")
        raise RoleError("smtp", "{}\nlast lines of {}:\n{}".format("; ".join(missing), unit, unit_log(unit, 8)))

    def facts(self) -> Optional[Dict[str, Any]]:
        """Return facts about the certificate of the SMTP server."""
        return None if self.config is None else findings(self.config)[1]

    def uninstall(self) -> List[str]:
        """Remove program and units; say what was done."""
        done = []
        for kind in ("timer", "path"):
            run(["systemctl", "disable", "--now", f"{paths.SMTP_UNIT}.{kind}"], check=False)
        for kind in ("timer", "path", "service"):
            path = os.path.join(paths.SYSTEM_UNITS, f"{paths.SMTP_UNIT}.{kind}")
            if os.path.exists(path):
                os.unlink(path)
                done.append(f"{path} removed")
        run(["systemctl", "daemon-reload"], check=False)
        run(["systemctl", "reset-failed", f"{paths.SMTP_UNIT}.service"], check=False)
        shutil.rmtree(paths.SMTP_PROGRAM, ignore_errors=True)
        for path in (paths.SMTP_CONFIG, f"/var/lib/systemd/timers/stamp-{paths.SMTP_UNIT}.timer"):
            if os.path.exists(path):
                os.unlink(path)
        for directory in (os.path.dirname(paths.SMTP_CONFIG), os.path.dirname(paths.SMTP_PROGRAM)):
            if os.path.isdir(directory) and not os.listdir(directory):
                os.rmdir(directory)
        return done

    def remove_pair(self) -> List[str]:
        """Remove the pair; while an SMTP container runs it stays, for that needs it at its next start."""
        if self.config is None:
            return []
        directory = self.config["directory"]
        if containers(PROJECT, SERVICE):
            return [f"the certificate in {directory} stays: Postal's SMTP server runs with it"]
        pair = SmtpPair(directory, self.config["uid"], self.config["gid"])
        if pair.generation() is None:
            return []
        pair.remove()
        return [f"smtp.cert and smtp.key removed from {directory}"]
