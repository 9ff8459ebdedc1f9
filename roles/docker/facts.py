"""What is on the host. Everything the plan depends on is read here."""

import json
import os
from typing import Any, Dict, List, Optional

from docker import paths
from docker.network import Network
from rolelib.commands import run
from rolelib.files import read
from rolelib.host import installed_packages, os_release, package_family, service_is_active, service_is_enabled

__all__ = ["Facts", "compose_command", "engine_version", "gather", "mtu_of_way_out"]

ENGINE_PACKAGES = ("docker.io", "docker-ce", "moby-engine", "docker-engine")
OTHER_PACKAGES = ("docker-compose-plugin", "docker-compose-v2", "docker-compose", "docker-cli", "podman-docker")
# Any address outside: only the route to it is asked for, nothing is sent (RFC 5737).
OUTSIDE = "192.0.2.1"
DEFAULT_MTU = 1500


class Facts:
    """What was found. ``engine`` is the running daemon's version, None where none answers.

    ``command``: whether there is a ``docker`` program; ``unit``: whether systemd knows docker.service. ``users``: names
    of the containers on the network. ``info``: ``docker info`` as an object, empty without a daemon.
    """

    def __init__(self, family: str, release: Dict[str, str], packages: Dict[str, str]) -> None:
        """Hold what every host has; the rest starts as on a host without Docker."""
        self.family = family
        self.release = release
        self.packages = packages
        self.command = False
        self.unit = False
        self.engine: Optional[str] = None
        self.compose: List[str] = []
        self.compose_version: Optional[str] = None
        self.info: Dict[str, Any] = {}
        self.active = False
        self.enabled = False
        self.daemon_json: Optional[str] = None
        self.interrupted = False
        self.network: Optional[Dict[str, Any]] = None
        self.users: List[str] = []
        self.routes: List[Dict[str, Any]] = []
        self.interfaces: List[str] = []
        self.mtu = DEFAULT_MTU
        self.network_unit: Optional[str] = None
        self.network_unit_ready = False
        self.selinux_enforcing = False

    @property
    def engine_package(self) -> str:
        """The package the engine came in; empty where it came without one (a snap, a binary)."""
        return next((name for name in ENGINE_PACKAGES if name in self.packages), "")

    @property
    def installed(self) -> bool:
        """Whether there is an engine, running or not. The ``docker`` program alone may be for other hosts."""
        return self.unit or bool(self.engine_package)


def engine_version() -> Optional[str]:
    """Return the version of the daemon that answers, None where none does."""
    result = run(["docker", "version", "--format", "{{.Server.Version}}"], check=False, timeout=60)
    return result.out.strip() if result.ok and result.out.strip() else None


def compose_command() -> "tuple[List[str], Optional[str]]":
    """Return the command that runs Compose and its version: the plugin before the older program of its own."""
    for command in (["docker", "compose"], ["docker-compose"]):
        result = run([*command, "version", "--short"], check=False, timeout=60)
        if result.ok and result.out.strip():
            return command, result.out.strip()
    return [], None


def mtu_of_way_out() -> int:
    """Return the MTU of the interface the default route uses: a larger one in containers makes connections hang."""
    for family in ("-4", "-6"):
        target = OUTSIDE if family == "-4" else "2001:db8::1"
        routes = _ip(["ip", "-json", family, "route", "get", target])
        text = read("/sys/class/net/{}/mtu".format(routes[0].get("dev", ""))) if routes else None
        if text:
            return min(int(text), DEFAULT_MTU)
    return DEFAULT_MTU


def _ip(argv: List[str]) -> List[Dict[str, Any]]:
    result = run(argv, check=False)
    return list(json.loads(result.out)) if result.ok and result.out.strip() else []


def gather(network: Network, state_directory: str) -> Facts:
    """Read the host."""
    facts = Facts(package_family(), os_release(), installed_packages([*ENGINE_PACKAGES, *OTHER_PACKAGES]))
    facts.command = run(["docker", "--version"], check=False).ok
    facts.unit = run(["systemctl", "cat", "docker.service"], check=False).ok
    facts.active = service_is_active("docker.service")
    facts.enabled = service_is_enabled("docker.service")
    facts.daemon_json = read(paths.DAEMON_JSON)
    facts.interrupted = os.path.exists(os.path.join(state_directory, "rollback", "manifest.json"))
    facts.routes = _ip(["ip", "-json", "-4", "route", "show", "table", "all"])
    facts.interfaces = sorted(os.listdir("/sys/class/net"))
    facts.mtu = mtu_of_way_out()
    facts.network_unit = read(paths.NETWORK_UNIT_PATH)
    facts.network_unit_ready = service_is_active(paths.NETWORK_UNIT) and service_is_enabled(paths.NETWORK_UNIT)
    facts.selinux_enforcing = (read("/sys/fs/selinux/enforce") or "0").strip() == "1"
    if facts.command:
        # A question to a stopped Docker would start it by way of docker.socket.
        facts.engine = engine_version() if facts.active or not facts.unit else None
        facts.compose, facts.compose_version = compose_command()
    if facts.engine is not None:
        _ask_daemon(facts, network)
    return facts


def _ask_daemon(facts: Facts, network: Network) -> None:
    facts.info = dict(json.loads(run(["docker", "info", "--format", "{{json .}}"]).out))
    result = run(["docker", "network", "inspect", network.name], check=False)
    if result.ok:
        # Docker matches names exactly first, then prefixes of identities.
        facts.network = next((item for item in json.loads(result.out) if item["Name"] == network.name), None)
    if facts.network is not None:
        argv = ["docker", "ps", "--all", "--filter", f"network={network.name}", "--format", "{{.Names}}"]
        facts.users = sorted(run(argv).out.split())
