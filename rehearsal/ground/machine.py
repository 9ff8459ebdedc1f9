"""What a host must copy from this machine so that ``apt-get`` inside it works as it does outside.

Mirror, proxy and certificate authorities are read from the machine when the image is built; none of them is
written down in this repository.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Machine", "Mirror", "debian_mirrors", "read_machine", "split_certificates"]

SUITE = "bookworm"
"""Debian 12, what the hosts run."""

DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
"""Present in every Debian root: apt depends on the package that ships it."""

_KEPT_SETTINGS = (
    "Acquire::http::",
    "Acquire::https::",
    "Acquire::Check-",
    "Acquire::Retries",
    "Acquire::Force",
)
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)
_ONE_LINE_SOURCE = re.compile(r"^deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)\s+(.+)$")


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """One Debian archive: where it is, and a suffix of the suite (empty, ``-updates``, ``-security``)."""

    uri: str
    suffix: str


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What the image needs from this machine. Contents, not paths, so that they can be hashed."""

    mirrors: tuple[Mirror, ...]
    apt_settings: tuple[str, ...]
    """Lines in apt.conf(5) syntax."""
    apt_logins: Mapping[str, str]
    """File name to contents, apt_auth.conf(5)."""
    certificates: tuple[str, ...]
    """Extra certificate authorities, one PEM certificate each."""
    bundle: Path | None
    """The machine's whole CA bundle: used until the host has its own."""

    @property
    def sources(self) -> str:
        """The mirrors in the format of sources.list(5), deb822 style; empty when none is known."""
        return "\n".join(
            f"Types: deb\nURIs: {mirror.uri}\nSuites: {SUITE}{mirror.suffix}\nComponents: main\n"
            f"Signed-By: {DEBIAN_KEYRING}\n"
            for mirror in self.mirrors
        )


def _deb822_entries(text: str) -> Iterator[tuple[str, str, str]]:
    for paragraph in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in paragraph.splitlines():
            if line.startswith("#"):
                continue
            if line[:1].isspace():
                fields[name] = f"{fields.get(name, '')} {line.strip()}"
            elif ":" in line:
                name, _, value = line.partition(":")
                name = name.strip().lower()
                fields[name] = value.strip()
        if "deb" not in fields.get("types", "").split() or fields.get("enabled", "yes").lower() == "no":
            continue
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                yield uri, suite, fields.get("components", "")


def debian_mirrors(codename: str, files: Iterable[tuple[str, str]]) -> tuple[Mirror, ...]:
    """Find Debian's own archives among apt source files.

    ``files`` are pairs of file name and contents, in the one-line style (``.list``) or deb822 (``.sources``).
    An archive counts as Debian's own when its suite is ``codename`` with no, ``-updates`` or ``-security``
    suffix and it has the component ``main``; other vendors use other suites or components.
    """
    entries: list[tuple[str, str, str]] = []
    for name, text in files:
        if name.endswith(".sources"):
            entries.extend(_deb822_entries(text))
        elif name.endswith(".list"):
            matches = (_ONE_LINE_SOURCE.match(line.strip()) for line in text.splitlines())
            entries.extend((match[1], match[2], match[3]) for match in matches if match)
    found = [
        Mirror(uri=uri, suffix=suite.removeprefix(codename))
        for uri, suite, components in entries
        if suite in {codename, f"{codename}-updates", f"{codename}-security"} and "main" in components.split()
    ]
    return tuple(dict.fromkeys(found))


def split_certificates(text: str) -> tuple[str, ...]:
    """Return the PEM certificates in ``text``: update-ca-certificates(8) wants one a file."""
    return tuple(f"{match.group().rstrip()}\n" for match in _CERTIFICATE.finditer(text))


def _os_release() -> dict[str, str]:
    try:
        lines = Path("/etc/os-release").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def _contents(directory: Path, suffixes: tuple[str, ...] = ("",)) -> dict[str, str]:
    if not directory.is_dir():
        return {}
    return {
        path.name: path.read_text(encoding="utf-8", errors="replace")
        for path in sorted(directory.iterdir())
        if path.is_file() and path.name.endswith(suffixes) and os.access(path, os.R_OK)
    }


def _apt_settings(environment: Mapping[str, str]) -> tuple[str, ...]:
    settings = []
    if shutil.which("apt-config"):
        dumped = subprocess.run(
            ["apt-config", "dump"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        ).stdout
        settings = [line for line in dumped.splitlines() if line.startswith(_KEPT_SETTINGS)]
    for variable in ("http_proxy", "https_proxy"):
        proxy = environment.get(variable)
        if proxy:
            settings.append(f'Acquire::{variable.removesuffix("_proxy")}::Proxy "{proxy}";')
    return tuple(settings)


def read_machine(environment: Mapping[str, str] = os.environ) -> Machine:
    """Read mirror, proxy and certificate authorities of this machine. Mirrors only where it runs Debian."""
    release = _os_release()
    mirrors: tuple[Mirror, ...] = ()
    logins: dict[str, str] = {}
    if release.get("ID") == "debian":
        files = _contents(Path("/etc/apt/sources.list.d"))
        top = Path("/etc/apt/sources.list")
        if top.is_file():
            files[top.name] = top.read_text(encoding="utf-8", errors="replace")
        mirrors = debian_mirrors(release.get("VERSION_CODENAME", SUITE), files.items())
        logins = _contents(Path("/etc/apt/auth.conf.d"), (".conf",))
    certificates: list[str] = []
    for text in _contents(Path("/usr/local/share/ca-certificates"), (".crt",)).values():
        certificates.extend(split_certificates(text))
    system = Path("/etc/ssl/certs/ca-certificates.crt")
    named = environment.get("SSL_CERT_FILE")
    if named and Path(named).is_file() and Path(named).resolve() != system.resolve():
        certificates.extend(split_certificates(Path(named).read_text(encoding="utf-8", errors="replace")))
    bundle = Path(named) if named and Path(named).is_file() else system
    return Machine(
        mirrors=mirrors,
        apt_settings=_apt_settings(environment),
        apt_logins=logins,
        certificates=tuple(dict.fromkeys(certificates)),
        bundle=bundle if bundle.is_file() else None,
    )
