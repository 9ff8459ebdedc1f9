"""firewalld: a zone of our own as the default zone, what differs, and putting it in place.

Formats: firewalld.zone(5), firewalld.richlanguage(5), firewalld.conf(5).
"""

import os
import re
import shutil
import tempfile
from typing import Dict, List, Sequence, Tuple
from xml.etree import ElementTree as ET

from firewall.wanted import Wanted, family_of
from rolelib.commands import run
from rolelib.files import DesiredFile, read, write
from rolelib.host import RoleError, service_is_active, service_is_enabled, systemctl

__all__ = ["FILES", "ZONE", "Facts", "bound_zones", "gather", "plan", "put", "with_default_zone", "zone_text"]

DIRECTORY = "/etc/firewalld"
ZONE = "mailstack"
ZONES = DIRECTORY + "/zones"
ZONE_PATH = f"{ZONES}/{ZONE}.xml"
CONF = DIRECTORY + "/firewalld.conf"
FILES = [ZONE_PATH, CONF]
UNIT = "firewalld.service"
# Docker makes this zone and puts its bridges there.
DOCKER_ZONE = "docker"
FALLBACK_ZONE = "public"


class Facts:
    """What firewalld has. ``bound``: interface or network -> foreign zone that holds it for good.

    ``live_problem``: how the running firewalld differs from its own files, in words.
    """

    def __init__(self) -> None:
        """Start as on a host where firewalld is not running."""
        self.active = False
        self.enabled = False
        self.default_zone = FALLBACK_ZONE
        self.zone_text = ""
        self.bound: Dict[str, str] = {}
        self.custom: List[str] = []
        self.uplinks: List[str] = []
        self.live_problem = ""


def zone_text(wanted: Wanted, ssh_ports: Sequence[int]) -> str:
    """Return the zone file. Without a target, what matches nothing is refused, and ICMP works."""
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        "<!-- Written by mailstack (role firewall). The next run undoes what is changed here by hand. -->",
        "<zone>",
        f"  <short>{ZONE}</short>",
        "  <description>Only what is declared is let in.</description>",
        '  <service name="dhcpv6-client"/>',
    ]
    everybody = {(port, "tcp") for port in ssh_ports}
    everybody |= {(opening.port, opening.protocol) for opening in wanted.openings if not opening.sources}
    lines += [f'  <port port="{port}" protocol="{protocol}"/>' for port, protocol in sorted(everybody)]
    for opening in sorted(wanted.openings, key=lambda one: (one.port, one.protocol, one.sources)):
        port = f'<port port="{opening.port}" protocol="{opening.protocol}"/>'
        lines += [_rich(source, port) for source in opening.sources]
    lines += [_rich(network, "") for network in wanted.trusted]
    # A rule that is there twice would be a warning at every reload.
    return "\n".join([*dict.fromkeys(lines), "</zone>", ""])


def _rich(source: str, element: str) -> str:
    return f'  <rule family="{family_of(source)}"><source address="{source}"/>{element}<accept/></rule>'


def with_default_zone(conf: str, zone: str) -> str:
    """Return firewalld.conf with another default zone, all else untouched."""
    line = f"DefaultZone={zone}"
    if re.search(r"^DefaultZone=", conf, re.MULTILINE):
        return re.sub(r"^DefaultZone=.*$", line, conf, flags=re.MULTILINE)
    return conf.rstrip("\n") + ("\n" if conf.strip() else "") + line + "\n"


def default_zone(conf: str) -> str:
    """Return the default zone of firewalld.conf."""
    found = re.search(r"^DefaultZone=(\S+)", conf, re.MULTILINE)
    return found.group(1) if found else FALLBACK_ZONE


def bound_zones(files: Dict[str, str]) -> Dict[str, str]:
    """Return interface or network -> zone for zone files (name -> text), ours and Docker's left out.

    Traffic of such an interface or network never comes to the default zone.
    """
    found = {}
    for name, text in sorted(files.items()):
        if name in (ZONE, DOCKER_ZONE):
            continue
        try:
            zone = ET.fromstring(text)  # noqa: S314 - root's own files
        except ET.ParseError:
            continue
        for element in zone:
            holder = {"interface": "name", "source": "address"}.get(element.tag)
            if holder and element.get(holder):
                found[str(element.get(holder))] = name
    return found


def gather(uplinks: Sequence[str]) -> Facts:
    """Read the files and ask the daemon. Call it only where firewalld is installed."""
    facts = Facts()
    facts.uplinks = list(uplinks)
    facts.active, facts.enabled = service_is_active(UNIT), service_is_enabled(UNIT)
    facts.default_zone = default_zone(read(CONF) or "")
    facts.zone_text = read(ZONE_PATH) or ""
    names = sorted(os.listdir(ZONES)) if os.path.isdir(ZONES) else []
    files = {name[:-4]: read(os.path.join(ZONES, name)) or "" for name in names if name.endswith(".xml")}
    facts.bound = bound_zones(files)
    facts.custom = [path for path in (DIRECTORY + "/direct.xml",) if os.path.exists(path)]
    if facts.active and facts.zone_text:
        facts.live_problem = _live_problem()
    return facts


def _live_problem() -> str:
    found = run(["firewall-cmd", "--get-default-zone"], check=False).out.strip()
    if found != ZONE:
        return f"the running firewalld has {found or 'no'} default zone, not {ZONE}"
    # "(active)" and the interfaces depend on what is plugged in.
    listings = [
        sorted(
            line.strip()
            for line in run(["firewall-cmd", *permanent, f"--zone={ZONE}", "--list-all"], check=False).out.splitlines()
            if not line.startswith(ZONE) and not line.strip().startswith("interfaces:")
        )
        for permanent in ([], ["--permanent"])
    ]
    return "" if listings[0] == listings[1] else f"the running zone {ZONE} is not what {ZONE_PATH} says"


def plan(facts: Facts, wanted: Wanted, ssh_ports: Sequence[int], warnings: List[str]) -> List[Tuple[str, str]]:
    """Return (step, what) for every difference. Raises RoleError where the rules would have no effect."""
    _refuse_bound_uplinks(facts)
    others = [f"{what} in zone {zone}" for what, zone in sorted(facts.bound.items())]
    others += [f"direct rules in {path}" for path in facts.custom]
    if others:
        warnings.append("firewalld has settings that are not declared here; they are kept: " + "; ".join(others))
    steps = []
    if facts.zone_text != zone_text(wanted, ssh_ports):
        steps.append(("firewalld", f"{ZONE_PATH} is missing or has other content"))
    if facts.default_zone != ZONE:
        steps.append(("firewalld", f"the default zone is {facts.default_zone}, not {ZONE}"))
    if not facts.enabled:
        steps.append(("firewalld", "firewalld does not start at boot"))
    if not facts.active:
        steps.append(("firewalld", "firewalld is not running"))
    elif not steps and facts.live_problem:
        steps.append(("firewalld", facts.live_problem))
    return steps


def _refuse_bound_uplinks(facts: Facts) -> None:
    for interface in facts.uplinks:
        if interface in facts.bound:
            zone = facts.bound[interface]
            raise RoleError(
                "firewalld",
                f"interface {interface}, the way out, is bound to zone {zone}, so the declared rules would not apply "
                "to it. Nothing was changed. Run: "
                f"firewall-cmd --permanent --zone={zone} --remove-interface={interface}",
            )


def validate(wanted: Wanted, ssh_ports: Sequence[int]) -> None:
    """Let firewalld read a copy of its whole configuration with our zone in it. Raises CommandError."""
    directory = tempfile.mkdtemp(prefix="mailstack-firewalld-")
    copy = os.path.join(directory, "etc")
    try:
        shutil.copytree(DIRECTORY, copy, symlinks=True)
        write(DesiredFile(os.path.join(copy, "zones", f"{ZONE}.xml"), zone_text(wanted, ssh_ports)))
        conf = with_default_zone(read(CONF) or "", ZONE)
        write(DesiredFile(os.path.join(copy, "firewalld.conf"), conf))
        run(["firewall-offline-cmd", f"--system-config={copy}", "--check-config"])
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def put(facts: Facts, wanted: Wanted, ssh_ports: Sequence[int]) -> bool:
    """Make firewalld as declared; return whether it was (re)started, which empties the tables Docker uses.

    Raises CommandError or RoleError; the caller goes back.
    """
    write(DesiredFile(ZONE_PATH, zone_text(wanted, ssh_ports), 0o644))
    write(DesiredFile(CONF, with_default_zone(read(CONF) or "", ZONE), 0o644))
    run(["systemctl", "unmask", "--runtime", UNIT], check=False)
    if facts.active:
        run(["firewall-cmd", "--reload"])
    else:
        systemctl("start", UNIT)
    systemctl("enable", UNIT)
    left = plan(gather(facts.uplinks), wanted, ssh_ports, [])
    if left:
        raise RoleError(
            "firewalld", "firewalld took the zone and still differs: " + "; ".join(what for _, what in left)
        )
    return not facts.active


def take_away(before: Dict[str, object]) -> List[str]:
    """Remove our zone and put the default zone and the service back as ``before`` says; return what was done."""
    write(DesiredFile(CONF, with_default_zone(read(CONF) or "", str(before.get("default_zone") or FALLBACK_ZONE))))
    if os.path.exists(ZONE_PATH):
        os.unlink(ZONE_PATH)
    if before.get("active"):
        run(["firewall-cmd", "--reload"])
    else:
        run(["systemctl", "stop", UNIT], check=False)
    if not before.get("enabled"):
        run(["systemctl", "disable", UNIT], check=False)
    return [f"zone {ZONE} removed"] + ([] if before.get("active") else ["firewalld stopped"])
