"""What security updates are on each kind of system: package, files, units. Pure.

Sources: apt.conf(5) and the comments in 50unattended-upgrades; dnf-automatic(8) and automatic.conf of dnf.
"""

import re
from typing import Dict, List, NamedTuple

__all__ = ["SYSTEMS", "System", "automatic_conf", "differences"]

System = NamedTuple("System", [("package", str), ("units", List[str]), ("files", List[str])])

# Read after the package's 50unattended-upgrades, which stays as it is.
APT_OURS = "/etc/apt/apt.conf.d/52mailstack-security-updates"
DNF_CONF = "/etc/dnf/automatic.conf"

# apt lists of the distributions hold ordinary updates too: #clear empties what the package's file allows.
APT_POLICY = """\
// Written by mailstack (role security_updates). The next run undoes what is changed here by hand.
APT::Periodic::Enable "1";
APT::Periodic::Update-Package-Lists "1";
APT::Periodic::Unattended-Upgrade "1";
#clear Unattended-Upgrade::Allowed-Origins;
#clear Unattended-Upgrade::Origins-Pattern;
Unattended-Upgrade::Origins-Pattern {
  "origin=Debian,codename=${distro_codename},label=Debian-Security";
  "origin=Debian,codename=${distro_codename}-security,label=Debian-Security";
  "origin=Ubuntu,archive=${distro_codename}-security,label=Ubuntu";
  "origin=UbuntuESM,archive=${distro_codename}-infra-security";
  "origin=UbuntuESMApps,archive=${distro_codename}-apps-security";
};
Unattended-Upgrade::Automatic-Reboot "false";
"""

SYSTEMS: Dict[str, System] = {
    "apt": System("unattended-upgrades", ["apt-daily.timer", "apt-daily-upgrade.timer"], [APT_OURS]),
    "dnf": System("dnf-automatic", ["dnf-automatic.timer"], [DNF_CONF]),
}

_DNF_WANTED = {
    "upgrade_type": "security",
    "download_updates": "yes",
    "apply_updates": "yes",
    # A newer option; older versions say so in a warning and go on.
    "reboot": "never",
}


def automatic_conf(text: str) -> str:
    """Return automatic.conf of dnf-automatic with our values in [commands], all else untouched."""
    head, found, rest = text.partition("[commands]")
    if not found:
        head, rest = text.rstrip("\n") + ("\n\n" if text.strip() else ""), "\n"
    body, bracket, tail = rest.partition("\n[")
    for key, value in sorted(_DNF_WANTED.items()):
        line = f"{key} = {value}"
        pattern = re.compile(rf"^{key}\s*=.*$", re.MULTILINE)
        body = pattern.sub(line, body) if pattern.search(body) else body.rstrip("\n") + f"\n{line}\n"
    return head + "[commands]" + body + bracket + tail


def wanted_files(family: str, current: Dict[str, str]) -> Dict[str, str]:
    """Return path -> content; ``current`` is what is there (empty text for a missing file)."""
    if family == "apt":
        return {APT_OURS: APT_POLICY}
    return {DNF_CONF: automatic_conf(current.get(DNF_CONF, ""))}


def differences(family: str, installed: bool, current: Dict[str, str], enabled: Dict[str, bool], on: bool) -> List[str]:
    """Return what differs, in words. ``enabled``: unit -> whether it runs and starts at boot."""
    system = SYSTEMS[family]
    if not on:
        return []
    found = [] if installed else [f"package {system.package} is not installed"]
    wanted = wanted_files(family, current)
    found += [f"{path} is missing or has other content" for path in wanted if current.get(path) != wanted[path]]
    return found + [f"{unit} is not running or does not start at boot" for unit in system.units if not enabled[unit]]
