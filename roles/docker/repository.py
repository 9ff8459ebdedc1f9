"""Docker's own package repository. Source: https://docs.docker.com/engine/install/ (Debian, Ubuntu, CentOS, RHEL)."""

import base64
import hashlib
import os
import urllib.error
import urllib.request
from typing import Dict, List, Tuple

from docker import paths
from rolelib.commands import run
from rolelib.files import DesiredFile
from rolelib.host import RoleError

__all__ = ["PACKAGES", "download_key", "files", "fingerprints", "repository_folder"]

BASE_URL = "https://download.docker.com/linux"
PACKAGES = ["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
# Published on the pages named above.
FINGERPRINTS = {
    "apt": "9DC858229FC7DD38854AE2D88D81803C0EBFCD88",
    "dnf": "060A61C51B558A7F742B77AAC52FEB6B621E9F35",
}
# Docker has no folder for the rebuilds of RHEL: they use the one for CentOS.
FOLDERS = {"debian": "debian", "ubuntu": "ubuntu", "rhel": "rhel"}
REBUILDS = ("rocky", "almalinux", "centos", "ol")
KEY_SECONDS = 60
PUBLIC_KEY_TAG = 6


def repository_folder(release: Dict[str, str]) -> str:
    """Return the folder of Docker's repository for /etc/os-release. Raises RoleError where Docker has none."""
    system = release.get("ID", "")
    if system in REBUILDS:
        return "centos"
    if system not in FOLDERS:
        raise RoleError(
            "packages", f"Docker's repository has nothing for {system!r}: set postal.docker.source to distribution"
        )
    return FOLDERS[system]


def files(release: Dict[str, str], architecture: str, key: str) -> List[DesiredFile]:
    """Return key file and repository file, in the order they are written. ``architecture`` is dpkg's name for it."""
    folder = repository_folder(release)
    if folder in ("debian", "ubuntu"):
        codename = release.get("VERSION_CODENAME", "")
        if not codename:
            raise RoleError("packages", "/etc/os-release names no VERSION_CODENAME: Docker's repository needs it")
        return [
            DesiredFile(paths.APT_KEY, key),
            DesiredFile(
                paths.APT_SOURCES,
                f"# Written by mailstack (role docker).\nTypes: deb\nURIs: {BASE_URL}/{folder}\nSuites: {codename}\n"
                f"Components: stable\nArchitectures: {architecture}\nSigned-By: {paths.APT_KEY}\n",
            ),
        ]
    major = release.get("VERSION_ID", "").split(".", maxsplit=1)[0]
    return [
        DesiredFile(paths.DNF_KEY, key),
        DesiredFile(
            paths.DNF_REPOSITORY,
            "# Written by mailstack (role docker).\n[mailstack-docker]\nname=Docker CE\n"
            f"baseurl={BASE_URL}/{folder}/{major}/$basearch/stable\nenabled=1\ngpgcheck=1\n"
            f"gpgkey=file://{paths.DNF_KEY}\n",
        ),
    ]


def download_key(folder: str, family: str) -> str:
    """Fetch the signing key and return it. Raises RoleError when it is not the one Docker has published."""
    url = f"{BASE_URL}/{folder}/gpg"
    try:
        with urllib.request.urlopen(url, timeout=KEY_SECONDS) as answer:  # noqa: S310 - an https address of ours
            key = answer.read().decode("ascii")
    except (OSError, UnicodeDecodeError, urllib.error.URLError) as error:
        raise RoleError(
            "packages",
            f"{url}: {error}. Let this host reach download.docker.com, install Docker Engine there yourself, or on "
            "Debian and Ubuntu set postal.docker.source to distribution",
        ) from None
    found = fingerprints(key)
    if found != [FINGERPRINTS[family]]:
        raise RoleError(
            "packages", f"{url} holds the keys {found}, not {FINGERPRINTS[family]}: nothing is installed from there"
        )
    return str(key)


def dpkg_architecture() -> str:
    """Return dpkg's name of the architecture; empty on systems with rpm."""
    return run(["dpkg", "--print-architecture"], check=False).out.strip() if os.path.exists("/usr/bin/dpkg") else ""


def fingerprints(armoured: str) -> List[str]:
    """Return the fingerprints of all primary keys in an ASCII-armoured key file (RFC 4880 sections 6.2 and 12.2)."""
    found = []
    for block in armoured.replace("\r", "").split("-----BEGIN PGP PUBLIC KEY BLOCK-----\n")[1:]:
        body = block.split("\n-----END PGP", maxsplit=1)[0].split("\n\n", maxsplit=1)[-1]
        # The last line may be a checksum, which starts with "=".
        text = "".join(line for line in body.split("\n") if not line.startswith("="))
        try:
            data = base64.b64decode(text)
            position = 0
            while position < len(data):
                tag, start, end = _packet(data, position)
                if tag == PUBLIC_KEY_TAG:
                    material = data[start:end]
                    framed = b"\x99" + len(material).to_bytes(2, "big") + material
                    found.append(hashlib.sha1(framed).hexdigest().upper())  # noqa: S324 - the format says so
                position = end
        except (ValueError, IndexError, OverflowError):
            return []
    return found


def _packet(data: bytes, position: int) -> Tuple[int, int, int]:
    """Return tag, start and end of the body of the packet at ``position`` (RFC 4880 section 4.2)."""
    head, first = data[position], data[position + 1]
    if not head & 0x80:
        raise ValueError("not an OpenPGP packet")
    if head & 0x40:
        if first < 192:
            start, length = position + 2, first
        elif first < 224:
            start, length = position + 3, ((first - 192) << 8) + data[position + 2] + 192
        else:
            start, length = position + 6, int.from_bytes(data[position + 2 : position + 6], "big")
        return head & 0x3F, start, start + length
    size = 1 << (head & 3)
    start = position + 1 + size
    return (head >> 2) & 0xF, start, start + int.from_bytes(data[position + 1 : start], "big")
