"""The backup archive: its name, its parts, encryption, and what the programs need to know about the host.

An archive is a tar with manifest.json first, then databases.sql.gz, config/, state/, compose.yaml, backup.json and
program/ (these programs, for a host that has nothing yet); or the same through ``openssl enc``.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import subprocess
import tarfile
import time
from typing import Any, Dict, Iterator, List, Optional

from postal import paths
from rolelib.commands import redact, remember_secret
from rolelib.files import read

__all__ = [
    "ENCRYPTED",
    "BackupError",
    "Plan",
    "archives",
    "file_digest",
    "new_name",
    "only_one",
    "opened",
    "writing",
]

ENCRYPTED = ".enc"
PREFIX = "postal-"
LOCK = "/run/lock/mailstack-postal-backup.lock"
# 200 000 rounds take a tenth of a second and make guessing a passphrase slow.
OPENSSL = ["openssl", "enc", "-aes-256-cbc", "-md", "sha256", "-pbkdf2", "-iter", "200000"]
BLOCK = 1024 * 1024


class BackupError(Exception):
    """A backup or a restore cannot go on; the text says what is wrong and how to mend it."""


class Plan:
    """What backup.json says: ``database``, ``network``, ``directory``, ``keep_count``, ``keep_days``, ``encrypt``..."""

    def __init__(self, document: Dict[str, Any]) -> None:
        """Hold the values as given; the database's password never shows up in a message."""
        self.document = document
        self.database: Dict[str, Any] = document["database"]
        self.network: Optional[str] = document["network"]
        self.directory = str(document["directory"])
        remember_secret(self.database["password"])

    @classmethod
    def load(cls, path: str = paths.BACKUP_JSON) -> "Plan":
        """Read the file role ``postal`` keeps. Raises BackupError where there is none."""
        text = read(path)
        if text is None:
            raise BackupError(f"{path} is missing: the role postal writes it")
        return cls(json.loads(text))


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Let no two backups or restores run at once; the kernel gives the lock back whatever happens."""
    os.makedirs(os.path.dirname(LOCK), exist_ok=True)
    with open(LOCK, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise BackupError("another backup or restore is running") from None
        yield


def new_name(label: str, encrypted: bool) -> str:
    """Return a file name with the time in UTC; ``label`` says why it was made."""
    now = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return f"{PREFIX}{now}{'-' + label if label else ''}.tar{ENCRYPTED if encrypted else ''}"


def archives(directory: str) -> List[str]:
    """Return the archives in ``directory``, the newest first. Their names sort by time."""
    names = os.listdir(directory) if os.path.isdir(directory) else []
    mine = [name for name in names if name.startswith(PREFIX) and name.endswith((".tar", ".tar" + ENCRYPTED))]
    return [os.path.join(directory, name) for name in sorted(mine, reverse=True)]


def file_digest(path: str) -> str:
    """Return the SHA-256 of a file."""
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        for block in iter(lambda: stream.read(BLOCK), b""):
            digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def writing(path: str, passphrase_file: Optional[str]) -> "Iterator[tarfile.TarFile]":
    """Give a tar to add to. The file appears under its name only when it is complete and on the disk."""
    part = path + ".part"
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(handle, "wb") as out:
            with contextlib.ExitStack() as stack:
                target: Any = out
                if passphrase_file is not None:
                    arguments = ["-e", "-salt", "-pass", f"file:{passphrase_file}"]
                    target = stack.enter_context(_openssl(arguments, stdout=out)).stdin
                yield stack.enter_context(tarfile.open(fileobj=target, mode="w|", format=tarfile.PAX_FORMAT))
            os.fsync(out.fileno())
        os.rename(part, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(part)


@contextlib.contextmanager
def opened(path: str, passphrase_file: Optional[str]) -> "Iterator[tarfile.TarFile]":
    """Give the tar of an archive, to be read from front to end. Raises BackupError where it cannot be read."""
    encrypted = path.endswith(ENCRYPTED)
    if encrypted and (passphrase_file is None or not os.path.isfile(passphrase_file)):
        raise BackupError(f"{path} is encrypted: name its passphrase with --passphrase-file FILE")
    try:
        with contextlib.ExitStack() as stack:
            source: Any = stack.enter_context(open(path, "rb"))
            if encrypted:
                arguments = ["-d", "-pass", f"file:{passphrase_file}"]
                source = stack.enter_context(_openssl(arguments, stdin=source, stdout=subprocess.PIPE)).stdout
            yield stack.enter_context(tarfile.open(fileobj=source, mode="r|"))
    except (tarfile.TarError, EOFError) as error:
        with_what = f" with the passphrase in {passphrase_file}" if encrypted else ""
        raise BackupError(f"{path} cannot be read{with_what}: {error}") from None


@contextlib.contextmanager
def _openssl(arguments: List[str], stdin: Any = subprocess.PIPE, stdout: Any = None) -> "Iterator[Any]":
    try:
        process = subprocess.Popen([*OPENSSL, *arguments], stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
    except OSError:
        raise BackupError("openssl is missing on this host: install the package openssl") from None
    try:
        yield process
    except BaseException:
        process.kill()
        process.wait()
        raise
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    said = process.stderr.read().decode(errors="replace") if process.stderr else ""
    if process.wait() != 0 and stdin is subprocess.PIPE:
        raise BackupError(redact(f"openssl failed: {said.strip()}"))
