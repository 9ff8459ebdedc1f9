"""The automatic undo: what was there is saved, and systemd puts it back unless somebody confirms in time.

It lives on the host without the role: copies, a shell script, a timer, and a service that also runs at the next boot.
"""

import os
import shutil
import time
from typing import Dict, List, Sequence

from rolelib.commands import run
from rolelib.files import DesiredFile, read, write
from rolelib.host import RoleError, systemctl

__all__ = ["Undo", "before_text", "manifest_text"]

UNIT = "mailstack-firewall-undo"
SYSTEMD = "/etc/systemd/system"
SCRIPT = "undo.sh"
# It may have to restart firewalld and Docker.
AT_WORK_SECONDS = 120


def manifest_text(copies: Dict[str, str]) -> str:
    """Return the script's list for path -> name of the copy ("-" for a file that was not there)."""
    return "".join(f"{copy} {path}\n" for path, copy in copies.items())


def before_text(switches: Dict[str, bool]) -> str:
    """Return what the script reads as shell variables."""
    return "".join(f"{name}={'yes' if value else 'no'}\n" for name, value in sorted(switches.items()))


class Undo:
    """The undo in ``directory``, the role's own."""

    def __init__(self, directory: str) -> None:
        """Nothing is made yet."""
        self.directory = directory
        self.saved = os.path.join(directory, "undo")
        self.marker = os.path.join(directory, "undone")

    @property
    def armed(self) -> bool:
        """Tell whether a change waits to be confirmed."""
        return os.path.exists(os.path.join(self.saved, "manifest"))

    @property
    def fired(self) -> str:
        """Return when the undo took a change back (UTC); empty when it did not, or a change came after it."""
        return (read(self.marker) or "").strip()

    def connection(self) -> str:
        """Return the SSH connection over which the change came."""
        return (read(os.path.join(self.saved, "connection")) or "").strip()

    def arm(self, files: Sequence[str], switches: Dict[str, bool], seconds: int, connection: str) -> None:
        """Save the files and start the clock. What an earlier, unconfirmed change saved stays: that was confirmed."""
        if self.armed:
            self._widen(switches)
        else:
            self._save(files, switches)
        write(DesiredFile(os.path.join(self.saved, "connection"), connection + "\n", 0o600))
        script = read(os.path.join(os.path.dirname(os.path.abspath(__file__)), SCRIPT)) or ""
        write(DesiredFile(os.path.join(self.saved, SCRIPT), script, 0o700))
        for name, text in self._units(seconds).items():
            write(DesiredFile(os.path.join(SYSTEMD, name), text))
        systemctl("daemon-reload")
        # For a boot before the time is over: a timer would start to count again.
        systemctl("enable", UNIT + ".service")
        self._start_clock()
        if os.path.exists(self.marker):
            os.unlink(self.marker)

    def _save(self, files: Sequence[str], switches: Dict[str, bool]) -> None:
        shutil.rmtree(self.saved, ignore_errors=True)
        os.makedirs(self.saved, mode=0o700)
        copies: Dict[str, str] = {}
        for number, path in enumerate(files):
            copies[path] = f"file{number}" if os.path.exists(path) else "-"
            if copies[path] != "-":
                shutil.copy2(path, os.path.join(self.saved, copies[path]))
        write(DesiredFile(os.path.join(self.saved, "before"), before_text(switches), 0o600))
        # The manifest last: with it the undo counts as armed.
        write(DesiredFile(os.path.join(self.saved, "manifest"), manifest_text(copies), 0o600))

    def _widen(self, switches: Dict[str, bool]) -> None:
        """Let an undo that is armed also cover what this change touches."""
        path = os.path.join(self.saved, "before")
        lines = dict(line.split("=") for line in (read(path) or "").splitlines())
        lines.update({name: "yes" for name, value in switches.items() if value and name.startswith("touches_")})
        write(DesiredFile(path, "".join(f"{name}={value}\n" for name, value in sorted(lines.items())), 0o600))

    def _units(self, seconds: int) -> Dict[str, str]:
        head = (
            "# Written by mailstack (role firewall).\n[Unit]\nDescription=Undo of a firewall change nobody confirmed\n"
        )
        return {
            UNIT + ".service": head
            + "After=ufw.service firewalld.service nftables.service mailstack-docker-firewall.service\n\n"
            + f"[Service]\nType=oneshot\nExecStart=/bin/sh {os.path.join(self.saved, SCRIPT)}\n\n"
            + "[Install]\nWantedBy=multi-user.target\n",
            UNIT + ".timer": head + f"\n[Timer]\nOnActiveSec={seconds}s\nAccuracySec=1s\n",
        }

    def _start_clock(self) -> None:
        systemctl("daemon-reload")
        systemctl("restart", UNIT + ".timer")

    def restart_clock(self, seconds: int) -> None:
        """Start to count ``seconds`` from now."""
        name = UNIT + ".timer"
        write(DesiredFile(os.path.join(SYSTEMD, name), self._units(seconds)[name]))
        self._start_clock()

    def at_work(self) -> bool:
        """Tell whether the undo is putting things back just now."""
        state = run(["systemctl", "show", "-p", "ActiveState", "--value", UNIT + ".service"], check=False)
        return state.out.strip() in ("activating", "active")

    def wait_until_idle(self) -> None:
        """Let an undo that has begun come to its end. Raises RoleError when it does not."""
        deadline = time.monotonic() + AT_WORK_SECONDS
        while self.at_work():
            if time.monotonic() >= deadline:
                raise RoleError("undo", f"the undo has not ended within {AT_WORK_SECONDS} s: journalctl -u {UNIT}")
            time.sleep(0.5)

    def disarm(self) -> None:
        """Keep what there is now. Raises RoleError when the undo is already at work."""
        run(["systemctl", "stop", UNIT + ".timer"], check=False)
        if self.at_work() or not self.armed:
            raise RoleError("confirm", "too late: the change is being taken back just now. Apply it again")
        run(["systemctl", "disable", UNIT + ".service"], check=False)
        for name in self._units(0):
            path = os.path.join(SYSTEMD, name)
            if os.path.exists(path):
                os.unlink(path)
        systemctl("daemon-reload")
        shutil.rmtree(self.saved, ignore_errors=True)

    def now(self) -> List[str]:
        """Go back at once, because the change itself failed; return the script's last lines of complaint."""
        result = run(["/bin/sh", os.path.join(self.saved, SCRIPT), "rollback"], check=False)
        return result.err.strip().splitlines()[-3:]
