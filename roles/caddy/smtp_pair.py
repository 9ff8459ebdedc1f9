"""The pair of files Postal's SMTP server reads: smtp.cert and smtp.key, always exchanged together.

Both are links into ``smtp-pair``, and that is a link to the folder of one generation. A new pair is written beside
the old one and comes into force by replacing that one link, so whoever reads the two files at any moment, also after
a power cut, finds a certificate and its own key. The links are relative: they hold in a container's mount as well.
"""

import contextlib
import hashlib
import os
import shutil
import stat
import tempfile
from typing import Optional, Tuple

from caddy.pairs import read_text

__all__ = ["CERTIFICATE", "KEY", "LINK", "SmtpPair"]

CERTIFICATE = "smtp.cert"
KEY = "smtp.key"
LINK = "smtp-pair"
GENERATION = ".smtp-pair-"
UNFINISHED = ".smtp-pair-unfinished-"
FILE_MODE = 0o400
DIRECTORY_MODE = 0o750


class SmtpPair:
    """The pair in ``directory``, readable by ``uid``:``gid`` only (numbers: the user exists in a container)."""

    def __init__(self, directory: str, uid: int, gid: int) -> None:
        """Hold the values as given; nothing is made yet."""
        self.directory = directory
        self.uid = uid
        self.gid = gid

    def _path(self, *names: str) -> str:
        return os.path.join(self.directory, *names)

    def current(self) -> Optional[Tuple[str, str]]:
        """Return certificate and key as a reader finds them; None where one is missing."""
        certificate, key = read_text(self._path(CERTIFICATE)), read_text(self._path(KEY))
        return None if certificate is None or key is None else (certificate, key)

    def generation(self) -> Optional[str]:
        """Return the folder in force; None where the pair is not ours."""
        try:
            return os.readlink(self._path(LINK))
        except OSError:
            return None

    def earlier(self) -> Optional[str]:
        """Return a generation that is not in force, the newest; a run that was cut off leaves the one before."""
        names = [
            name
            for name in (os.listdir(self.directory) if os.path.isdir(self.directory) else [])
            if name.startswith(GENERATION) and not name.startswith(UNFINISHED) and name != self.generation()
        ]
        return max(names, key=lambda name: os.stat(self._path(name)).st_mtime) if names else None

    def fault(self, certificate: str, key: str) -> Optional[str]:
        """Say in words how the files differ from this pair; None when they do not."""
        current = self.current()
        if current is None:
            return f"{self._path(CERTIFICATE)} or {KEY} is missing"
        if current != (certificate, key):
            return f"{self._path(CERTIFICATE)} and {KEY} are not the current pair"
        if self.generation() is None or not all(os.path.islink(self._path(name)) for name in (CERTIFICATE, KEY)):
            return f"{self._path(CERTIFICATE)} and {KEY} are plain files, which cannot be exchanged together"
        for name in (CERTIFICATE, KEY):
            status = os.stat(self._path(name))
            if (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) != (self.uid, self.gid, FILE_MODE):
                return f"{self._path(name)} must belong to {self.uid}:{self.gid} with mode 0400"
        return None

    def put(self, certificate: str, key: str) -> Optional[str]:
        """Bring the pair into force; return the generation before it, None where there was none."""
        self._make_directory()
        previous = self._adopt()
        name = self._write(certificate, key)
        self.switch(name)
        for file in (KEY, CERTIFICATE):
            self._link(os.path.join(LINK, file), file)
        return previous if previous != name else None

    def switch(self, generation: str) -> None:
        """Bring a generation into force, in one step."""
        self._link(generation, LINK)
        handle = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def clean(self, *kept: Optional[str]) -> None:
        """Remove generations that are neither in force nor in ``kept``, and what a killed run left."""
        keep = {self.generation(), *kept}
        for name in os.listdir(self.directory):
            if name.startswith(GENERATION) and name not in keep:
                shutil.rmtree(self._path(name), ignore_errors=True)

    def remove(self) -> None:
        """Remove the pair and all generations."""
        for name in (CERTIFICATE, KEY, LINK):
            if os.path.islink(self._path(name)):
                os.unlink(self._path(name))
        if os.path.isdir(self.directory):
            self.clean()
            with contextlib.suppress(OSError):
                os.rmdir(self.directory)  # only where Postal put nothing into it

    def _make_directory(self) -> None:
        if os.path.isdir(self.directory):
            return
        os.makedirs(os.path.dirname(self.directory), mode=0o755, exist_ok=True)
        os.mkdir(self.directory)
        self._own(self.directory, 0 if os.geteuid() == 0 else os.geteuid(), DIRECTORY_MODE)

    def _own(self, path: str, uid: int, mode: int) -> None:
        os.chown(path, uid, self.gid)
        os.chmod(path, mode)

    def _adopt(self) -> Optional[str]:
        """Turn a pair of plain files into a generation, so that it can be gone back to; its content stays in force."""
        current = self.current()
        plain = not all(os.path.islink(self._path(name)) for name in (CERTIFICATE, KEY))
        if current is None or not plain:
            return self.generation()
        name = self._write(*current)
        self.switch(name)
        for file in (KEY, CERTIFICATE):
            self._link(os.path.join(LINK, file), file)
        return name

    def _write(self, certificate: str, key: str) -> str:
        """Write a generation beside the others; return its name, which follows from its content."""
        name = GENERATION + hashlib.sha256(f"{certificate}\0{key}".encode()).hexdigest()[:16]
        if self._holds(name, certificate, key):
            for file in (CERTIFICATE, KEY):
                os.chown(self._path(name, file), self.uid, self.gid)
                os.chmod(self._path(name, file), FILE_MODE)
            return name
        unfinished = tempfile.mkdtemp(dir=self.directory, prefix=UNFINISHED)
        for file, text in ((CERTIFICATE, certificate), (KEY, key)):
            path = os.path.join(unfinished, file)
            with open(path, "w", encoding="ascii", newline="") as handle:
                os.fchmod(handle.fileno(), FILE_MODE)
                os.fchown(handle.fileno(), self.uid, self.gid)
                handle.write(text)
                handle.flush()
                os.fsync(handle.fileno())
        self._own(unfinished, 0 if os.geteuid() == 0 else os.geteuid(), DIRECTORY_MODE)
        if os.path.isdir(self._path(name)):
            # Somebody changed the files in it: out of the way first, for a folder cannot be replaced.
            os.rename(self._path(name), tempfile.mkdtemp(dir=self.directory, prefix=UNFINISHED))
        os.rename(unfinished, self._path(name))
        return name

    def _holds(self, name: str, certificate: str, key: str) -> bool:
        texts = [read_text(self._path(name, file)) for file in (CERTIFICATE, KEY)]
        return texts == [certificate, key]

    def _link(self, target: str, name: str) -> None:
        temporary = self._path(f".{name}.mailstack-new")
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.replace(temporary, self._path(name))
