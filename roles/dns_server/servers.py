"""The two servers: what differs between them, and their configuration."""

import os
from typing import Callable, Dict, List, Optional, Sequence

__all__ = [
    "DEFAULT_SERVER",
    "MARK",
    "REPOSITORY_PACKAGES",
    "SERVERS",
    "Config",
    "Server",
    "needs_restart",
    "zone_file_name",
]

MARK = "# Written by mailstack (role dns_server). The next run undoes what is changed here by hand.\n"

# Knot where nothing is said: it reloads single zones and checks them with its own parser. On dnf systems both
# servers come from EPEL.
DEFAULT_SERVER = {"apt": "knot", "dnf": "knot"}
# Packages that have to be there before the server's own can be found.
REPOSITORY_PACKAGES: Dict[str, List[str]] = {"apt": [], "dnf": ["epel-release"]}


class Config:
    """What the configuration depends on. ``zones`` are names without the final dot."""

    def __init__(self, listen: Sequence[str], port: int, zones: Sequence[str], transfer_to: Sequence[str]) -> None:
        """Hold the values, sorted: their order in the settings means nothing."""
        self.listen = sorted(listen)
        self.port = port
        self.zones = sorted(zones)
        self.transfer_to = sorted(transfer_to)


class Server:
    """A kind of server: its names on the host, its configuration, and how a candidate is checked."""

    def __init__(
        self,
        name: str,
        config_path: str,
        config_mode: int,
        zone_directory: str,
        render: Callable[[Config, str], str],
        check_commands: Callable[[str, str, Sequence[str]], List[List[str]]],
        reload_command: Sequence[str],
        reloads_config: bool,
    ) -> None:
        """``name`` is that of package, unit, user and group alike.

        ``render`` gets the configuration and the directory of the zone files. ``check_commands`` gets the path of
        a configuration, that directory and the zones. ``reloads_config``: zones may come and go without a restart.
        """
        self.name = name
        self.config_path = config_path
        self.config_mode = config_mode
        self.zone_directory = zone_directory
        self.render = render
        self.check_commands = check_commands
        self.reload_command = list(reload_command)
        self.reloads_config = reloads_config

    @property
    def original_path(self) -> str:
        """Where the configuration that was there before us is kept."""
        return self.config_path + ".before-mailstack"


def needs_restart(server: Server, old: Optional[str], new: str) -> bool:
    """Tell whether ``new`` asks for more than a reload: other addresses, or a server that cannot reload zones."""
    if old is None or not old.startswith(MARK):
        return True
    if server.reloads_config:
        return old.split("\nlog:")[0] != new.split("\nlog:", maxsplit=1)[0]
    return old != new


def zone_file_name(zone: str) -> str:
    """Return the file name of a zone."""
    return f"{zone}.zone"


def _knot(config: Config, zone_directory: str) -> str:
    listen = ", ".join(f"{address}@{config.port}" for address in config.listen)
    lines = [
        MARK,
        "server:",
        '    rundir: "/run/knot"',
        "    user: knot:knot",
        f"    listen: [ {listen} ]",
        "    # Neither name nor version is told to strangers.",
        '    identity: ""',
        '    version: ""',
        "",
        "log:",
        "  - target: syslog",
        "    any: info",
        "",
        "database:",
        '    storage: "/var/lib/knot"',
        "",
    ]
    if config.transfer_to:
        lines += [
            "acl:",
            "  - id: transfer",
            f"    address: [ {', '.join(config.transfer_to)} ]",
            "    action: transfer",
            "",
        ]
    lines += [
        "template:",
        "  - id: default",
        f'    storage: "{zone_directory}"',
        '    file: "%s.zone"',
        "    semantic-checks: on",
        "    # The files belong to mailstack: the server reads them and never writes them.",
        "    zonefile-sync: -1",
        "    zonefile-load: whole",
        "    journal-content: none",
    ]
    if config.transfer_to:
        lines.append("    acl: transfer")
    lines += ["", "zone:", *(f"  - domain: {zone}" for zone in config.zones), ""]
    return "\n".join(lines)


def _check_knot(config_path: str, _zone_directory: str, zones: Sequence[str]) -> List[List[str]]:
    return [
        ["knotc", "-c", config_path, "conf-check"],
        *(["knotc", "-c", config_path, "zone-check", zone] for zone in zones),
    ]


def _nsd(config: Config, zone_directory: str) -> str:
    lines = [
        MARK,
        "server:",
        *(f"    ip-address: {address}@{config.port}" for address in config.listen),
        "    # An address may come up after the server does.",
        "    ip-transparent: yes",
        "    username: nsd",
        f'    zonesdir: "{zone_directory}"',
        "    log-only-syslog: yes",
        "    # Neither name nor version is told to strangers.",
        "    hide-identity: yes",
        "    hide-version: yes",
        "",
        "remote-control:",
        "    control-enable: no",
        "",
    ]
    for zone in config.zones:
        lines += ["zone:", f'    name: "{zone}"', f'    zonefile: "{zone_file_name(zone)}"']
        lines += [f"    provide-xfr: {address} NOKEY" for address in config.transfer_to]
        lines.append("")
    return "\n".join(lines)


def _check_nsd(config_path: str, zone_directory: str, zones: Sequence[str]) -> List[List[str]]:
    return [
        ["nsd-checkconf", config_path],
        *(["nsd-checkzone", zone, os.path.join(zone_directory, zone_file_name(zone))] for zone in zones),
    ]


SERVERS = {
    "knot": Server(
        name="knot",
        config_path="/etc/knot/knot.conf",
        config_mode=0o640,
        zone_directory="/var/lib/knot/mailstack",
        render=_knot,
        check_commands=_check_knot,
        reload_command=["systemctl", "reload", "knot"],
        reloads_config=True,
    ),
    "nsd": Server(
        name="nsd",
        config_path="/etc/nsd/nsd.conf",
        config_mode=0o640,
        zone_directory="/var/lib/nsd/mailstack",
        render=_nsd,
        check_commands=_check_nsd,
        # The unit's own reload needs the control channel on some systems; the signal reads changed zones on all.
        reload_command=["systemctl", "kill", "--signal=HUP", "--kill-who=main", "nsd"],
        reloads_config=False,
    ),
}
