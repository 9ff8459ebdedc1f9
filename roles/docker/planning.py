"""The plan: facts and settings in, steps out. Pure, so every host we do not have can still be tried."""

from typing import Any, Dict, List, Tuple

from docker import network as networks
from docker import paths
from docker.daemon_json import changed_keys, merged, parse
from docker.facts import Facts
from rolelib.host import RoleError

__all__ = ["Desired", "desired", "plan", "source_of"]

SOURCES = ("distribution", "docker")
# None of them has a package of Docker Engine.
RHEL = ("rhel", "rocky", "almalinux", "centos", "ol")
REPOSITORY_ENGINE = "docker-ce"

# (step, what for people). Steps: resume, packages, daemon, service, network, unit.
Step = Tuple[str, str]


class Desired:
    """What the settings ask for, checked."""

    def __init__(self, source: str, network: networks.Network, mirrors: List[str]) -> None:
        """Hold the values."""
        self.source = source
        self.network = network
        self.mirrors = mirrors


def desired(settings: Dict[str, Any]) -> Desired:
    """Return the settings, checked. Raises RoleError."""
    source = str(settings.get("source") or "distribution")
    if source not in SOURCES:
        raise RoleError("settings", f"source {source!r} is none of: {', '.join(SOURCES)}")
    mirrors = [str(mirror) for mirror in settings.get("registry_mirrors") or []]
    for mirror in mirrors:
        if not mirror.startswith(("https://", "http://")):
            raise RoleError("settings", f"registry mirror {mirror!r} is no URL: dockerd wants https://host[:port]")
    return Desired(source, networks.network_of(settings), mirrors)


def plan(facts: Facts, wanted: Desired, warnings: List[str]) -> List[Step]:
    """Return what to do, in order; empty when the host is as declared. Raises RoleError for what cannot be done."""
    _refuse_podman(facts)
    _refuse_overlap(facts, wanted.network)
    steps: List[Step] = []
    if facts.interrupted:
        steps.append(("resume", "a run was cut off while it changed Docker: start from what was there before"))
    steps += _packages(facts, wanted, warnings)
    steps += _daemon(facts, wanted, warnings)
    if not facts.active or (facts.installed and facts.engine is None):
        steps.append(("service", "docker.service is not running, or does not answer"))
    if not facts.enabled:
        steps.append(("service", "docker.service does not start at boot"))
    steps += _network(facts, wanted.network, warnings)
    if facts.network_unit != networks.unit(wanted.network):
        steps.append(("unit", f"{paths.NETWORK_UNIT_PATH} is missing or has other content"))
    elif not facts.network_unit_ready:
        steps.append(("unit", f"{paths.NETWORK_UNIT} is not enabled or not running"))
    return steps


def _refuse_podman(facts: Facts) -> None:
    if "podman-docker" in facts.packages:
        raise RoleError(
            "packages",
            "package podman-docker gives this host a `docker` that is Podman, which is not supported: "
            "remove that package, then repeat",
        )


def _refuse_overlap(facts: Facts, network: networks.Network) -> None:
    own = {network.bridge}
    if facts.network is not None:
        # It may be there under another bridge name; it goes before the new one comes.
        options = facts.network.get("Options") or {}
        own.add(str(options.get(networks.BRIDGE_OPTION) or "br-" + str(facts.network.get("Id", ""))[:12]))
    found = [item for item in networks.overlaps(network, facts.routes) if item[1] not in own]
    if found:
        listed = ", ".join(f"{destination} on {device}" for destination, device in found)
        raise RoleError(
            "network",
            f"subnet {network.subnet} of network {network.name} overlaps what this host already reaches: {listed}. "
            "Nothing was changed. Choose another private subnet (RFC 1918) in postal.docker.network",
        )
    # A daemon that does not answer may have made that bridge.
    known = facts.engine is not None or not facts.installed
    if known and facts.network is None and network.bridge in facts.interfaces:
        raise RoleError(
            "network",
            f"an interface named {network.bridge} is there already and belongs to something else: "
            "remove it or give it another name, then repeat",
        )


def _packages(facts: Facts, wanted: Desired, warnings: List[str]) -> List[Step]:
    if facts.engine is not None and not facts.unit:
        raise RoleError(
            "packages",
            f"Docker {facts.engine} is here, but not as docker.service (a snap, or rootless): that is not supported. "
            "Remove it, then repeat",
        )
    if facts.installed and facts.compose:
        _warn_about_source(facts, wanted, warnings)
        return []
    if not facts.installed:
        return [("packages", f"Docker Engine and Compose are not installed (source: {source_of(facts, wanted)})")]
    if not facts.engine_package:
        raise RoleError(
            "packages",
            "Docker is here without a package (a snap or a binary) and without Compose: install the Compose plugin "
            "the same way (https://docs.docker.com/compose/install/), or remove Docker, then repeat",
        )
    _warn_about_source(facts, wanted, warnings)
    return [("packages", f"Compose is not installed beside {facts.engine_package}")]


def _warn_about_source(facts: Facts, wanted: Desired, warnings: List[str]) -> None:
    """An engine that works is somebody's choice, and replacing it would stop every container."""
    from_repository = facts.engine_package == REPOSITORY_ENGINE
    source = source_of(facts, wanted)
    if from_repository != (source == "docker"):
        origin = f"package {facts.engine_package}" if facts.engine_package else "no package"
        warnings.append(
            f"Docker was here before, from {origin}, although postal.docker.source is {source!r}: it is used as it is"
        )


def source_of(facts: Facts, wanted: Desired) -> str:
    """Return where Docker comes from on this host: as declared, but where the distribution has none."""
    return "docker" if facts.release.get("ID") in RHEL else wanted.source


def daemon_configuration(facts: Facts, wanted: Desired) -> Dict[str, Any]:
    """Return the daemon's configuration as it should be on this host."""
    swarm = (facts.info.get("Swarm") or {}).get("LocalNodeState") == "active"
    current = parse(facts.daemon_json, paths.DAEMON_JSON)
    return merged(current, wanted.mirrors, swarm, facts.selinux_enforcing)


def _daemon(facts: Facts, wanted: Desired, warnings: List[str]) -> List[Step]:
    current = parse(facts.daemon_json, paths.DAEMON_JSON)
    new = daemon_configuration(facts, wanted)
    if not new.get("live-restore"):
        warnings.append("Docker is part of a swarm, so live-restore stays off: a restart of Docker stops containers")
    options = facts.info.get("SecurityOptions") or []
    if facts.selinux_enforcing and facts.info and not any("selinux" in str(item) for item in options):
        warnings.append(
            "SELinux is enforcing, but Docker runs without it: containers are not confined. See selinux-enabled in "
            f"{paths.DAEMON_JSON} and package container-selinux"
        )
    keys = changed_keys(current, new)
    return [("daemon", f"{paths.DAEMON_JSON} needs {', '.join(keys)}")] if keys else []


def _network(facts: Facts, network: networks.Network, warnings: List[str]) -> List[Step]:
    if facts.installed and facts.engine is None:
        return [("network", f"network {network.name} cannot be seen while Docker does not answer")]
    if facts.network is None:
        return [("network", f"network {network.name} ({network.subnet} on {network.bridge}) is missing")]
    wrong, better = networks.differences(network, facts.mtu, facts.network)
    if not wrong and not better:
        return []
    what = ", ".join([*wrong, *better])
    if facts.users and wrong:
        raise RoleError(
            "network",
            f"network {network.name} has {what}, and containers use it: {', '.join(facts.users)}. "
            "Remove them (or take postal.docker.network back), then repeat",
        )
    if facts.users:
        warnings.append(f"network {network.name} has {what}; it cannot be changed while containers use it")
        return []
    return [("network", f"network {network.name} has {what}: it is made anew")]
