"""What travels to a host: a role's files as a deterministic archive, and the payload fed to ``bootstrap.sh``.

The same files and settings give the same bytes on any machine, so a role runs again only when something that
concerns it changed.
"""

import base64
import bz2
import hashlib
import io
import json
import shlex
import tarfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

__all__ = [
    "BORROWED_MODULES",
    "LOADER",
    "ROLE_TIMEOUT_SECONDS",
    "Action",
    "bundle",
    "changes",
    "code_digest",
    "command_line",
    "payload",
]

Action = Literal["apply", "check", "remove"]

ROOT = Path(__file__).resolve().parents[2]
# A package installation over a slow mirror is the longest thing a role does.
ROLE_TIMEOUT_SECONDS = 1800

# Parts of this package that a role runs on the host as well: Python 3.6 and the standard library only.
SHARED_MODULES: Mapping[str, tuple[str, ...]] = {
    "postfix_relay": (
        "mailstack/__init__.py",
        "mailstack/postfix/__init__.py",
        "mailstack/postfix/exposition.py",
        "mailstack/postfix/files.py",
        "mailstack/postfix/log_lines.py",
        "mailstack/postfix/metrics.py",
        "mailstack/postfix/metrics_http.py",
        "mailstack/postfix/platforms.py",
        "mailstack/postfix/queue_listing.py",
        "mailstack/postfix/render.py",
        "mailstack/postfix/served_certificate.py",
    ),
    "relay_operations": (
        "mailstack/__init__.py",
        "mailstack/postfix/__init__.py",
        "mailstack/postfix/files.py",
        "mailstack/postfix/log_lines.py",
        "mailstack/postfix/log_search.py",
        "mailstack/postfix/platforms.py",
        "mailstack/postfix/queue_view.py",
        "mailstack/postfix/render.py",
    ),
    "postal": (
        "mailstack/__init__.py",
        "mailstack/postal/__init__.py",
        "mailstack/postal/compose.py",
        "mailstack/postal/config_keys.py",
        "mailstack/postal/render.py",
    ),
    "postal_operations": (
        "mailstack/__init__.py",
        "mailstack/postal/__init__.py",
        "mailstack/postal/compose.py",
        "mailstack/postal/overview.py",
    ),
    "mariadb": ("mailstack/__init__.py", "mailstack/postal/__init__.py", "mailstack/postal/mariadb.py"),
}

# Modules of another role that a role uses, below roles/.
BORROWED_MODULES: Mapping[str, tuple[str, ...]] = {
    "k3s_members": ("k3s/__init__.py", "k3s/node.py", "k3s/paths.py"),
    "k3s_kubeconfig": ("k3s/__init__.py", "k3s/paths.py"),
    "postal_operations": (
        "postal/__init__.py",
        "postal/paths.py",
        "postal/backup_setup.py",
        "postal/backup/__init__.py",
        "postal/backup/archive.py",
        "postal/backup/databases.py",
        "postal/backup/dump.py",
    ),
    "host_facts": ("preflight/__init__.py", "preflight/checks.py", "preflight/ready.py"),
}


@cache
def bundle(role: str, root: Path | None = None) -> bytes:
    """Return a tar of ``role``, compressed: its folder, ``rolelib``, shared modules and a file ROLE with its name.

    Names are sorted; owner, times and modes are fixed. The engine keeps a payload twice and goes through all of them
    after every step, so a fifth of the size shows in each preview. bzip2, because everybody has the same libbz2: builds
    of zlib (zlib-ng is one) give different bytes for the same input. ``root`` is a project's folder, absent: this one.
    Raises FileNotFoundError for an unknown role.
    """
    root = root or ROOT
    if not (root / "roles" / role / "__main__.py").is_file():
        raise FileNotFoundError(f"no role named {role}")
    members: dict[str, bytes] = {"ROLE": f"{role}\n".encode()}
    for folder in ("rolelib", role):
        for path in (root / "roles" / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                members[str(path.relative_to(root / "roles"))] = path.read_bytes()
    for name in SHARED_MODULES.get(role, ()):
        members[name] = (root / name).read_bytes()
    for name in BORROWED_MODULES.get(role, ()):
        members[name] = (root / "roles" / name).read_bytes()
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(members):
            entry = tarfile.TarInfo(name)
            entry.size = len(members[name])
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(members[name]))
    return bz2.compress(tar.getvalue())


@cache
def code_digest(role: str, root: Path | None = None) -> str:
    """Return 12 hexadecimal digits that change exactly when the code of ``role`` does; ``root`` as in ``bundle``."""
    code = ((root or ROOT) / "roles" / "bootstrap.sh").read_bytes() + bundle(role, root)
    return hashlib.sha256(code).hexdigest()[:12]


# The whole command line on a host. A failed command is shown with all of its text, so it is short; the script itself
# is the first line of standard input.
LOADER = 'IFS= read -r script && script=$(printf %s "$script" | base64 -d) && eval "$script"'


def payload(role: str, settings: Mapping[str, Any], secrets: Mapping[str, Any]) -> str:
    """Return what a role gets on standard input: bootstrap.sh, settings with secrets, bundle. Treat it as a secret."""
    script = base64.b64encode((ROOT / "roles" / "bootstrap.sh").read_bytes()).decode()
    document = json.dumps({"settings": settings, "secrets": secrets}, sort_keys=True, separators=(",", ":"))
    return f"{script}\n{document}\n{base64.encodebytes(bundle(role)).decode()}"


def command_line(action: Action, timeout_seconds: int = ROLE_TIMEOUT_SECONDS) -> str:
    """Return the shell command that runs a payload on a host: the same for every role, and no secret in it.

    One quoted argument to bash, so the login shell of the user (sh, zsh, fish) has nothing to interpret.
    """
    return f"exec bash -c {shlex.quote(LOADER)} mailstack {action} {timeout_seconds}"


def changes(command: str) -> bool:
    """Tell whether a ``command_line`` changes something, and does not only look."""
    return shlex.split(command)[-2:-1] in (["apply"], ["remove"])
