"""The network: what is declared, what is wrong with the one that is there, and whom its subnet would disturb. Pure."""

import ipaddress
import re
from typing import Any, Dict, List, Sequence, Tuple

from rolelib.host import RoleError

__all__ = ["BRIDGE_OPTION", "MTU_OPTION", "Network", "create_command", "differences", "network_of", "overlaps", "unit"]

BRIDGE_OPTION = "com.docker.network.bridge.name"
MTU_OPTION = "com.docker.network.driver.mtu"
LABEL = "mailstack.role=docker"
# IFNAMSIZ is 16 with the final zero.
_INTERFACE = re.compile(r"^[A-Za-z][A-Za-z0-9_.-]{0,14}$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")


class Network:
    """The declared network: name, bridge interface, subnet (CIDR) and gateway, all as text."""

    def __init__(self, name: str, bridge: str, subnet: str, gateway: str) -> None:
        """Hold the values as given."""
        self.name = name
        self.bridge = bridge
        self.subnet = subnet
        self.gateway = gateway


def network_of(settings: Dict[str, Any]) -> Network:
    """Return the declared network. Raises RoleError for values Docker or the kernel would refuse, or misread."""
    given = settings["network"]
    network = Network(str(given["name"]), str(given["bridge"]), str(given["subnet"]), str(given["gateway"]))
    if not _NAME.match(network.name) or network.name in ("bridge", "host", "none"):
        raise RoleError(
            "settings", f"network name {network.name!r} is not free for use: Docker keeps bridge, host, none"
        )
    if not _INTERFACE.match(network.bridge):
        raise RoleError("settings", f"bridge {network.bridge!r} is no interface name: a letter, then at most 14 more")
    try:
        subnet = ipaddress.IPv4Network(network.subnet)
        gateway = ipaddress.IPv4Address(network.gateway)
    except ValueError as error:
        raise RoleError("settings", f"network {network.name}: {error}") from None
    if gateway not in subnet or gateway in (subnet.network_address, subnet.broadcast_address):
        raise RoleError("settings", f"gateway {gateway} is not an address for a host in {subnet}")
    return network


def overlaps(network: Network, routes: Sequence[Dict[str, Any]]) -> List[Tuple[str, str]]:
    """Return (destination, interface) of every route of the host that the subnet would take traffic from.

    ``routes`` is ``ip -json -4 route show table all``. The default route and the network's own bridge do not count.
    """
    subnet = ipaddress.IPv4Network(network.subnet)
    found = set()
    for route in routes:
        destination, device = str(route.get("dst", "default")), str(route.get("dev", route.get("type", "")))
        if destination in ("default", "0.0.0.0/0") or device == network.bridge:
            continue
        if route.get("type", "unicast") not in ("unicast", "local"):
            continue  # broadcast and multicast entries repeat what a unicast entry says
        try:
            other = ipaddress.IPv4Network(destination)
        except ValueError:
            continue
        if other.overlaps(subnet):
            found.add((destination, device))
    return sorted(found)


def differences(network: Network, mtu: int, inspected: Dict[str, Any]) -> Tuple[List[str], List[str]]:
    """Compare with one entry of ``docker network inspect``: (what is wrong, what merely could be better)."""
    configs = (inspected.get("IPAM") or {}).get("Config") or [{}]
    ipv4 = [config for config in configs if ":" not in str(config.get("Subnet", ""))] or [{}]
    options = inspected.get("Options") or {}
    wrong = []
    for what, found, wanted in (
        ("driver", inspected.get("Driver"), "bridge"),
        ("subnet", ipv4[0].get("Subnet"), network.subnet),
        ("gateway", ipv4[0].get("Gateway"), network.gateway),
        ("bridge", options.get(BRIDGE_OPTION), network.bridge),
    ):
        if found != wanted:
            wrong.append(f"{what} {found}, not {wanted}")
    found_mtu = str(options.get(MTU_OPTION, "1500"))
    return wrong, [f"MTU {found_mtu}, not {mtu}"] if found_mtu != str(mtu) else []


def create_command(network: Network, mtu: int) -> List[str]:
    """Return the argv that makes the network."""
    return [
        "docker", "network", "create", "--driver", "bridge", "--subnet", network.subnet, "--gateway", network.gateway,
        "--opt", f"{BRIDGE_OPTION}={network.bridge}", "--opt", f"{MTU_OPTION}={mtu}", "--label", LABEL, network.name,
    ]  # fmt: skip


def unit(network: Network) -> str:
    """Return the unit that others order after: it ends once the gateway address is on the bridge."""
    look = f"ip -4 -o address show dev {network.bridge}"
    return f"""# Written by mailstack (role docker). The next run undoes what is changed here by hand.
[Unit]
Description=The address {network.gateway} of Docker network {network.name} is there
Wants=docker.service
After=docker.service

[Service]
Type=oneshot
RemainAfterExit=yes
TimeoutStartSec=120
ExecStart=/bin/sh -c 'until {look} | grep -qF " {network.gateway}/"; do sleep 0.2; done'

[Install]
WantedBy=multi-user.target
"""
