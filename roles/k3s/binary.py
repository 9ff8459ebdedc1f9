"""The program and the image archives: fetched under another name, compared with their sums, then put in place."""

import contextlib
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from typing import Iterator, Optional

from k3s import paths, versions
from k3s.desired import Desired, Images
from rolelib.commands import run
from rolelib.files import Transaction
from rolelib.host import RoleError

__all__ = ["file_sha256", "install", "place_images", "prepare", "version_of"]

CHUNK = 1024 * 1024
# The release's program has about 80 MB; what is larger than this is something else.
LARGEST = 512 * CHUNK
SILENT_SECONDS = 60


def file_sha256(path: str) -> Optional[str]:
    """Return the SHA-256 of a file as hexadecimal digits, None where there is none."""
    try:
        with open(path, "rb") as stream:
            digest = hashlib.sha256()
            for chunk in iter(lambda: stream.read(CHUNK), b""):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def version_of(path: str) -> Optional[str]:
    """Return the version a program says it is, None where it says none."""
    return versions.of_output(run([path, "--version"], check=False, timeout=60).out)


def prepare(wanted: Desired) -> None:
    """Put the program beside its place, checked: sum first, then executable, then its own word on its version.

    Raises RoleError; nothing has been replaced then, and the new file is gone.
    """
    with contextlib.suppress(FileNotFoundError):
        os.unlink(paths.NEW_BINARY)
    try:
        if wanted.binary_file is not None:
            _copy(wanted.binary_file, paths.NEW_BINARY, wanted.sha256)
        else:
            _download(wanted.url, paths.NEW_BINARY, wanted.sha256)
        os.chmod(paths.NEW_BINARY, 0o755)  # noqa: S103 - a program for everybody
        _check_version(wanted.version)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(paths.NEW_BINARY)
        raise


def _check_version(version: str) -> None:
    found = version_of(paths.NEW_BINARY)
    if found != version:
        raise RoleError(
            "program",
            f"the program says it is {found}, not {version}: the sum in cluster.sha256 is of another release; nothing "
            "was replaced",
        )


def install(transaction: Transaction) -> None:
    """Replace the program in one step; a running k3s keeps the old one open."""
    transaction.remember(paths.BINARY)
    os.replace(paths.NEW_BINARY, paths.BINARY)
    if shutil.which("restorecon") and os.path.isdir("/sys/fs/selinux"):
        run(["restorecon", paths.BINARY], check=False)


def place_images(images: Images) -> None:
    """Copy an archive to where k3s looks for it. Raises RoleError where its sum is another."""
    os.makedirs(os.path.dirname(images.path), mode=0o755, exist_ok=True)
    partial = os.path.join(os.path.dirname(images.path), ".mailstack-new")
    try:
        _copy(images.source, partial, images.sha256)
        os.replace(partial, images.path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(partial)


def _copy(source: str, target: str, sha256: str) -> None:
    try:
        with open(source, "rb") as stream:
            _write(iter(lambda: stream.read(CHUNK), b""), target, sha256, source)
    except OSError as error:
        raise RoleError("files", f"{source} cannot be read ({error.strerror}): put it on this host first") from None


def _download(url: str, target: str, sha256: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=SILENT_SECONDS) as answer:  # noqa: S310 - http or https, by the settings
            _write(iter(lambda: answer.read(CHUNK), b""), target, sha256, url)
    except (OSError, urllib.error.URLError) as error:
        raise RoleError(
            "download", f"{url}: {error}. Let this host reach it, set cluster.download_url to a mirror, or put the "
            "program on the host and name it in cluster.binary_file"
        ) from None  # fmt: skip


def _write(chunks: Iterator[bytes], target: str, sha256: str, source: str) -> None:
    digest, size = hashlib.sha256(), 0
    handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        for chunk in chunks:
            size += len(chunk)
            if size > LARGEST and target == paths.NEW_BINARY:
                raise RoleError("program", f"{source} is larger than {LARGEST // CHUNK} MB: that is not k3s")
            digest.update(chunk)
            stream.write(chunk)
        stream.flush()
        os.fsync(stream.fileno())
    if digest.hexdigest() != sha256:
        raise RoleError(
            "checksum",
            f"{source} has the SHA-256 {digest.hexdigest()}, not {sha256} as declared: nothing was replaced. "
            "Compare with sha256sum-<architecture>.txt of the release",
        )
