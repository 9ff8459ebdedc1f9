"""What the role does to a running Caddy, whichever way it runs."""

import contextlib
import json
import os
import pwd
import re
import shutil
from typing import List, Optional

from caddy import paths
from rolelib.commands import Result, run
from rolelib.files import DesiredFile

__all__ = ["VALIDATE_SECONDS", "Runtime", "make_directory", "readable", "stranger"]

VALIDATE_SECONDS = 120


class Runtime:
    """What the role does to a running Caddy, whichever way it runs. Errors are RoleError or CommandError."""

    placement = ""
    owner = "root"
    group = "root"
    # Where Caddy's storage is, as the host sees it.
    storage = ""

    def version(self) -> Optional[str]:
        """Return Caddy's version, None where it is not installed."""
        raise NotImplementedError

    def install(self) -> None:
        """Get the program; it does not serve anything yet."""
        raise NotImplementedError

    def modules(self) -> List[str]:
        """Return the names of the modules this build has."""
        raise NotImplementedError

    def files(self) -> List[DesiredFile]:
        """Return the files that say how it runs."""
        return []

    def faults(self) -> List[str]:
        """Say what is wrong with how it runs now; empty: as declared."""
        raise NotImplementedError

    def active(self) -> bool:
        """Tell whether it runs."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make the directories, with the right owner."""
        raise NotImplementedError

    def take(self, *directories: str) -> None:
        """Give whole directories to the user Caddy runs as: the other placement, or a `sudo caddy`, had them."""
        for path in directories:
            if stranger(path, self.owner):
                run(["chown", "-R", "-h", f"{self.owner}:{self.group}", path])

    def validate(self, path: str) -> Result:
        """Have this very program read a Caddyfile and set up everything in it, as the user it runs as."""
        raise NotImplementedError

    def restart(self) -> None:
        """Start it anew with the files in place."""
        raise NotImplementedError

    def reload(self) -> None:
        """Have it read the files in place; connections go on."""
        raise NotImplementedError

    def stop(self) -> None:
        """Stop it, now and at boot."""
        raise NotImplementedError

    def halt(self) -> None:
        """Stop it for now: the other placement takes over."""
        raise NotImplementedError

    def resume(self) -> None:
        """Start it again as it was before :meth:`halt`."""
        raise NotImplementedError

    def log(self, lines: int = 15) -> str:
        """Return its last log lines."""
        raise NotImplementedError


def make_directory(path: str, owner: str, group: str) -> None:
    """Make a directory for its owner alone; one that is there stays as it is."""
    if os.path.isdir(path):
        return
    os.makedirs(path, mode=0o700)
    # makedirs leaves what it made on the way to root: Caddy's user has to get through.
    while path not in ("/", paths.SERVICE_HOME) and path.startswith(paths.SERVICE_HOME):
        shutil.chown(path, owner, group)
        path = os.path.dirname(path)
    shutil.chown(path, owner, group)


def stranger(directory: str, owner: str) -> Optional[str]:
    """Return a path under ``directory`` that is not ``owner``'s; None where all are."""
    try:
        uid = pwd.getpwnam(owner).pw_uid
    except KeyError:
        return None
    for parent, _, files in os.walk(directory):
        for path in [parent, *(os.path.join(parent, name) for name in files)]:
            with contextlib.suppress(OSError):  # Caddy replaces files at any time
                if os.lstat(path).st_uid != uid:
                    return path
    return None


def readable(log: str) -> str:
    """Turn Caddy's JSON lines into the parts that say what happened."""
    lines = []
    for line in log.splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            lines.append(line)
            continue
        names = ("logger", "msg", "identifier", "error")
        lines.append(" ".join(str(entry[name]) for name in ("level", *names) if entry.get(name)))
    return re.sub(r"\n{2,}", "\n", "\n".join(lines))
