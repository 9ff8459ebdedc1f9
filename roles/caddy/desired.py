"""The managed files: Caddy's own, and those that carry its certificate to Postal."""

import json
import os
import sys
from typing import Any, Dict, List, Optional

from caddy import paths
from caddy.pairs import read_text
from caddy.runtime import Runtime
from rolelib.files import DesiredFile, differs
from rolelib.host import RoleError

__all__ = ["caddy_files", "certificate_paths", "file_faults", "smtp_config", "smtp_files"]

PROGRAM_PARTS = {
    "caddy": ("__init__.py", "pairs.py", "smtp_certificate.py", "smtp_pair.py", "smtp_server.py"),
    "rolelib": ("__init__.py", "commands.py"),
}

SERVICE_UNIT = """# Managed by mailstack.
[Unit]
Description=Bring the current certificate to Postal's SMTP server
Documentation=https://datatracker.ietf.org/doc/html/rfc3207
After=network.target docker.service caddy.service
ConditionPathExists={config}
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={python} -B -m caddy.smtp_certificate
WorkingDirectory={program}
TimeoutStartSec=15min
UMask=0077
NoNewPrivileges=yes
PrivateTmp=yes
ProtectHome=yes
ProtectSystem=full
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6
"""
PATH_UNIT = """# Managed by mailstack.
[Unit]
Description=Notice a new certificate for Postal's SMTP server

[Path]
PathChanged={directory}
MakeDirectory=no

[Install]
WantedBy=multi-user.target
"""
TIMER_UNIT = """# Managed by mailstack.
[Unit]
Description=Look hourly whether Postal's SMTP server has the current certificate

[Timer]
OnActiveSec=3min
OnCalendar=hourly
RandomizedDelaySec=10min
Persistent=true

[Install]
WantedBy=timers.target
"""


def certificate_paths(settings: Dict[str, Any], runtime: Runtime, name: str) -> Dict[str, str]:
    """Return where the host has the pair for ``name``: keys ``certificate`` and ``key``."""
    certificates = settings["certificates"]
    if certificates["kind"] == "custom":
        directory = os.path.join(paths.PAIRS, certificates["pair"])
        return {
            "certificate": os.path.join(directory, "certificate.pem"),
            "key": os.path.join(directory, "key.pem"),
        }
    directory = os.path.join(runtime.storage, "certificates", certificates["issuer_directory"], name)
    return {
        "certificate": os.path.join(directory, f"{name}.crt"),
        "key": os.path.join(directory, f"{name}.key"),
    }


def caddy_files(settings: Dict[str, Any], secrets: Dict[str, Any], runtime: Runtime) -> List[DesiredFile]:
    """Return Caddy's files, the Caddyfile last: it names the others. Raises RoleError for a missing secret."""
    certificates = settings["certificates"]
    owner, group = runtime.owner, runtime.group
    files = runtime.files()
    if certificates["kind"] == "custom":
        pair = certificate_paths(settings, runtime, "")
        key = _secret(secrets, "certificate_key", "certificates custom needs its private key")
        files.append(DesiredFile(pair["certificate"], certificates["certificate"]))
        files.append(DesiredFile(pair["key"], key.strip() + "\n", 0o400, owner, group, secret=True))
    if certificates.get("challenge") == "dns":
        token = _secret(secrets, "dns_token", "challenge dns needs a token of Cloudflare")
        files.append(DesiredFile(paths.DNS_TOKEN, token.strip(), 0o400, owner, group, secret=True))
    if certificates["kind"] == "acme" and certificates["ca_file"]:
        authority = read_text(certificates["ca_file"])
        if authority is None:
            raise RoleError("settings", f"ca_file {certificates['ca_file']} is no file on this host")
        files.append(DesiredFile(paths.ACME_CA, authority))
    return [*files, DesiredFile(paths.CADDYFILE, settings["caddyfile"])]


def _secret(secrets: Dict[str, Any], name: str, why: str) -> str:
    value = secrets.get(name)
    if not value:
        raise RoleError("settings", f"{why}, but no secret {name} came")
    return str(value)


def smtp_config(settings: Dict[str, Any], runtime: Runtime) -> Optional[Dict[str, Any]]:
    """Return the configuration of the delivery program; None where no SMTP server wants the certificate."""
    smtp = settings["smtp"]
    return None if smtp is None else dict(smtp, **certificate_paths(settings, runtime, smtp["name"]))


def smtp_files(settings: Dict[str, Any], runtime: Runtime) -> List[DesiredFile]:
    """Return the delivery program, its configuration and its units; empty where they are not wanted."""
    config = smtp_config(settings, runtime)
    if config is None:
        return []
    files = [DesiredFile(paths.SMTP_CONFIG, json.dumps(config, indent=2, sort_keys=True) + "\n")]
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    for package, names in PROGRAM_PARTS.items():
        for name in names:
            source = read_text(os.path.join(here, package, name)) or ""
            files.append(DesiredFile(os.path.join(paths.SMTP_PROGRAM, package, name), source))
    units = {
        "service": SERVICE_UNIT.format(config=paths.SMTP_CONFIG, python=sys.executable, program=paths.SMTP_PROGRAM),
        "path": PATH_UNIT.format(directory=os.path.dirname(config["certificate"])),
        "timer": TIMER_UNIT,
    }
    for kind, text in units.items():
        files.append(DesiredFile(os.path.join(paths.SYSTEM_UNITS, f"{paths.SMTP_UNIT}.{kind}"), text))
    return files


def file_faults(files: List[DesiredFile]) -> List[str]:
    """Say in words how the host's files differ. A policy in the Caddyfile has CRLF, so bytes are compared."""
    found = []
    for file in files:
        text = read_text(file.path)
        if text is not None and text == file.content:
            # The content is right: let the shared comparison look at the rest.
            what = differs(DesiredFile(file.path, text.replace("\r\n", "\n"), file.mode, file.owner, file.group))
        else:
            what = f"{file.path} is missing" if text is None else f"{file.path} has other content"
        if what:
            found.append(what)
    return found
