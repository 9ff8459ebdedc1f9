"""The filter in front of containers.

Ports that Docker publishes never reach the INPUT rules of ufw and firewalld: Docker sends them to the container with
NAT. So they are filtered where packets are forwarded, in an nftables table of our own. It is not put into Docker's
chain DOCKER-USER because starting or reloading firewalld empties every iptables chain (seen with firewalld 1.3.3),
and Docker makes only its own rules again. A table of our own is touched by neither; it needs no Docker to be there,
and a packet has to pass it whatever Docker's rules say.
"""

import contextlib
import os
import re
from typing import List, Sequence, Tuple

from firewall.wanted import Wanted, family_of
from rolelib.commands import run
from rolelib.files import DesiredFile, read, write
from rolelib.host import service_is_active, service_is_enabled, systemctl

__all__ = ["FILES", "TABLE", "UNIT", "Facts", "files", "gather", "plan", "put", "ruleset", "take_away"]

TABLE = "mailstack_containers"
UNIT = "mailstack-docker-firewall.service"
UNIT_PATH = "/etc/systemd/system/" + UNIT
RULES_PATH = "/etc/mailstack/docker-firewall.nft"
# What the kernel said after the rules were loaded: it words them differently from version to version.
LOADED_PATH = "/run/mailstack-docker-firewall.loaded"
FILES = [UNIT_PATH, RULES_PATH]
# Docker names bridges docker0, docker_gwbridge and br-<id>; ours is br-mailstack.
BRIDGES = ("docker*", "br-*")

_UNIT = f"""# Written by mailstack (role firewall). The next run undoes what is changed here by hand.
[Unit]
Description=Only declared ports of containers are reachable from outside
# Before Docker: a container that starts with it must not be open for a moment. After those that may flush tables.
Before=docker.service
After=nftables.service ufw.service firewalld.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f {RULES_PATH}
ExecStart=/bin/sh -c '/usr/sbin/nft list table inet {TABLE} >{LOADED_PATH}'

[Install]
WantedBy=multi-user.target
WantedBy=docker.service
"""


class Facts:
    """What is there. ``live`` and ``loaded``: the table now, and as it was right after it was loaded."""

    def __init__(self, rules: str, unit: str, ready: bool, live: str, loaded: str) -> None:
        """Hold the values."""
        self.rules = rules
        self.unit = unit
        self.ready = ready
        self.live = live
        self.loaded = loaded


def ruleset(wanted: Wanted, uplinks: Sequence[str]) -> str:
    """Return the table as a file for ``nft -f``, which replaces it in one step.

    ``uplinks``: interfaces of the default routes, which are outside even when they are bridges.
    """
    lines = [
        "#!/usr/sbin/nft -f",
        "# Written by mailstack (role firewall). The next run undoes what is changed here by hand.",
        f"table inet {TABLE} {{}}",
        f"delete table inet {TABLE}",
        f"table inet {TABLE} {{",
        "\tchain forward {",
        "\t\ttype filter hook forward priority -10; policy accept;",
        "\t\tct state established,related accept",
    ]
    lines += [f'\t\tiifname "{name}" goto outside' for name in uplinks if name.startswith(("docker", "br-"))]
    lines += [f'\t\tiifname "{bridge}" accept' for bridge in BRIDGES]
    lines += ["\t\tgoto outside", "\t}", "\tchain outside {"]
    for opening in sorted(wanted.openings, key=lambda one: (one.port, one.protocol)):
        if opening.container:
            lines += [f"\t\t{rule}" for rule in _accepts(opening.protocol, opening.port, opening.sources)]
    lines += [
        "\t\t# Every other published port, and containers addressed directly.",
        "\t\tct status dnat drop",
        *(f'\t\toifname "{bridge}" drop' for bridge in BRIDGES),
        "\t}",
        "}",
        "",
    ]
    return "\n".join(lines)


def _accepts(protocol: str, port: int, sources: Sequence[str]) -> List[str]:
    """Return the rules for one port: the one that was asked for, not the one inside the container."""
    match = f"ct status dnat meta l4proto {protocol} ct original proto-dst {port}"
    if not sources:
        return [f"{match} accept"]
    rules = []
    for family, field in (("ipv4", "ip"), ("ipv6", "ip6")):
        networks = [source for source in sources if family_of(source) == family]
        if networks:
            rules.append(f"{match} {field} saddr {{ {', '.join(networks)} }} accept")
    return rules


def files(wanted: Wanted, uplinks: Sequence[str]) -> List[DesiredFile]:
    """Return rules and unit."""
    return [DesiredFile(RULES_PATH, ruleset(wanted, uplinks)), DesiredFile(UNIT_PATH, _UNIT)]


def default_route_interfaces() -> List[str]:
    """Return the interfaces of all default routes."""
    found = set()
    for family in ("-4", "-6"):
        output = run(["ip", family, "route", "show", "default"], check=False).out
        found |= set(re.findall(r"\bdev (\S+)", output))
    return sorted(found)


def gather() -> Facts:
    """Read files, unit and kernel."""
    return Facts(
        rules=read(RULES_PATH) or "",
        unit=read(UNIT_PATH) or "",
        ready=service_is_active(UNIT) and service_is_enabled(UNIT),
        live=run(["nft", "list", "table", "inet", TABLE], check=False).out,
        loaded=read(LOADED_PATH) or "",
    )


def plan(facts: Facts, wanted: Wanted, uplinks: Sequence[str]) -> List[Tuple[str, str]]:
    """Return (step, what) for everything in which the filter differs."""
    steps = []
    if facts.rules != ruleset(wanted, uplinks):
        steps.append(("containers", f"{RULES_PATH} is missing or has other content"))
    if facts.unit != _UNIT:
        steps.append(("containers", f"{UNIT_PATH} is missing or has other content"))
    elif not facts.ready:
        steps.append(("containers", f"{UNIT} is not enabled or not running"))
    if not steps and not (facts.live and facts.live == facts.loaded):
        steps.append(("containers", f"nftables table {TABLE} is not what {RULES_PATH} says"))
    return steps


def validate(wanted: Wanted, uplinks: Sequence[str]) -> None:
    """Let nft read the rules without using them. Raises CommandError."""
    run(["nft", "--check", "-f", "-"], stdin=ruleset(wanted, uplinks))


def put(wanted: Wanted, uplinks: Sequence[str]) -> None:
    """Write rules and unit, and load them. Raises RoleError; the caller goes back."""
    for file in files(wanted, uplinks):
        write(file)
    systemctl("daemon-reload")
    systemctl("enable", UNIT)
    systemctl("restart", UNIT)


def is_there(facts: Facts) -> bool:
    """Tell whether anything of the filter is on the host."""
    return bool(facts.rules or facts.unit or facts.live)


def take_away() -> List[str]:
    """Remove table, unit and files; return what was done."""
    run(["systemctl", "disable", "--now", UNIT], check=False)
    run(["nft", "delete", "table", "inet", TABLE], check=False)
    for path in [*FILES, LOADED_PATH]:
        if os.path.exists(path):
            os.unlink(path)
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(RULES_PATH))
    systemctl("daemon-reload")
    return ["the filter in front of containers removed"]
