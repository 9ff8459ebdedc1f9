"""Facts about the host: what is installed, which files differ, what is really served."""

import os
import shutil
import time
from typing import Any, Dict, List, Optional

from caddy import paths
from caddy.container import CONTAINER, Container
from caddy.desired import caddy_files, certificate_paths, file_faults, smtp_config, smtp_files
from caddy.pairs import SYSTEM_AUTHORITIES, Certificate, problems, read_certificate, read_text, split
from caddy.runtime import Runtime
from caddy.service import Service
from caddy.serving import certificate_of, policy_fault, redirect_fault, site_fault
from caddy.smtp_certificate import findings
from rolelib.commands import run
from rolelib.host import RoleError, service_is_active, service_is_enabled

__all__ = ["check_build", "check_custom_pair", "gather", "other_runtime", "runtime_of", "served", "site_faults"]

DNS_MODULE = "dns.providers.cloudflare"
# The first version that reads {file.…} in a configuration, which keeps the token out of it.
FILE_PLACEHOLDER_SINCE = (2, 8)


def check_custom_pair(settings: Dict[str, Any], secrets: Dict[str, Any]) -> None:
    """Refuse a custom pair that would not work for every name. Raises RoleError with all reasons."""
    certificates = settings["certificates"]
    if certificates["kind"] != "custom":
        return
    names = [site["name"] for site in settings["sites"]]
    found = problems(
        certificates["certificate"],
        str(secrets.get("certificate_key") or ""),
        names,
        time.time(),
        certificates["ca_file"] or SYSTEM_AUTHORITIES,
    )
    if found:
        listed = "".join(f"\n- {what}" for what in found)
        raise RoleError("certificate", f"the custom certificate is not used, what was there is untouched:{listed}")


def check_build(settings: Dict[str, Any], runtime: Runtime, version: Optional[str]) -> None:
    """Refuse challenge dns where this Caddy cannot do it. Raises RoleError."""
    if settings["certificates"].get("challenge") != "dns":
        return
    if version is None:
        if runtime.placement == "service":
            raise RoleError(
                "settings",
                f"challenge dns needs a Caddy with module {DNS_MODULE}, and the distribution's package has none: "
                "put such a build at /usr/bin/caddy first, use placement container with an image that has it, or "
                "use challenge http",
            )
        return
    if DNS_MODULE not in runtime.modules():
        raise RoleError(
            "settings",
            f"challenge dns needs module {DNS_MODULE}; `caddy list-modules` of Caddy {version} here does not show it: "
            "use a build or an image that has it, or challenge http",
        )
    numbers = tuple(int(part) for part in version.lstrip("v").split(".")[:2] if part.isdigit())
    if numbers < FILE_PLACEHOLDER_SINCE:
        raise RoleError("settings", f"challenge dns needs Caddy 2.8 or later, here is {version}")


def runtime_of(settings: Dict[str, Any]) -> Runtime:
    """Return the placement the settings ask for."""
    return Container(settings) if settings["placement"] == "container" else Service(settings)


def other_runtime(runtime: Runtime, settings: Dict[str, Any]) -> Optional[Runtime]:
    """Return the placement that was used before, where it is still there."""
    if runtime.placement == "container":
        active = service_is_active("caddy.service") or service_is_enabled("caddy.service")
        return Service(settings) if active else None
    if not shutil.which("docker"):
        return None
    found = run(["docker", "container", "inspect", "--format", "ok", CONTAINER], check=False).ok
    return Container(settings) if found else None


def gather(settings: Dict[str, Any], secrets: Dict[str, Any], runtime: Runtime, leftover: bool) -> Dict[str, Any]:
    """Return everything the plan asks about; see :func:`caddy.planning.plan`."""
    version = runtime.version()
    other = other_runtime(runtime, settings)
    facts: Dict[str, Any] = {
        "leftover": leftover,
        "version": version,
        "active": False,
        "runtime": [],
        "sites": [],
        "served": {},
        "smtp_facts": None,
        "other": None if other is None else f"Caddy as a {other.placement} gives way to the {runtime.placement}",
        "stale": _stale_pairs(settings),
    }
    if version is not None:
        facts["runtime"] = runtime.faults()
        facts["active"] = runtime.active()
    facts["files"] = ["the configuration is missing"]
    if version is not None:  # the owners of the files exist only once the package does
        facts["files"] = file_faults(caddy_files(settings, secrets, runtime))
    if facts["active"] or other is not None:
        facts["served"] = served(settings)
    if facts["active"]:
        facts["sites"] = site_faults(settings, runtime, facts["served"])
    facts["smtp"], facts["smtp_facts"] = _smtp(settings, runtime)
    return facts


def _stale_pairs(settings: Dict[str, Any]) -> List[str]:
    kept = settings["certificates"].get("pair")
    names = os.listdir(paths.PAIRS) if os.path.isdir(paths.PAIRS) else []
    return [os.path.join(paths.PAIRS, name) for name in sorted(names) if name != kept]


def served(settings: Dict[str, Any]) -> Dict[str, Optional[Certificate]]:
    """Return name to the certificate really shown for it."""
    return {site["name"]: certificate_of(site["name"]) for site in settings["sites"]}


def expected(settings: Dict[str, Any], runtime: Runtime, name: str) -> Optional[str]:
    """Return the SHA-256 of the certificate the host has for a name; None where it has none."""
    blocks = split(read_text(certificate_paths(settings, runtime, name)["certificate"]) or "")
    return read_certificate(blocks[0]).sha256 if blocks else None


def site_faults(
    settings: Dict[str, Any], runtime: Runtime, shown: Dict[str, Optional[Certificate]], whole: bool = True
) -> List[str]:
    """Say what is wrong with what the sites serve. Not ``whole``: certificates only."""
    found: List[Optional[str]] = []
    for site in settings["sites"]:
        name = site["name"]
        fault = site_fault(name, shown[name], expected(settings, runtime, name), time.time())
        found.append(fault)
        if whole:
            found.append(redirect_fault(name))
            found.append(policy_fault(site) if fault is None else None)
    return [what for what in found if what]


def _smtp(settings: Dict[str, Any], runtime: Runtime) -> "tuple[List[str], Optional[Dict[str, Any]]]":
    config = smtp_config(settings, runtime)
    unit = f"{paths.SMTP_UNIT}.timer"
    if config is None:
        there = os.path.exists(os.path.join(paths.SYSTEM_UNITS, unit))
        return (["the certificate is no longer brought to an SMTP server"] if there else []), None
    found = file_faults(smtp_files(settings, runtime))
    found += [
        f"{paths.SMTP_UNIT}.{kind} is not running"
        for kind in ("path", "timer")
        if not service_is_active(f"{paths.SMTP_UNIT}.{kind}")
    ]
    wrong, facts = findings(config)
    return found + wrong, facts
