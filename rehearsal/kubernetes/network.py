"""Puts a node on the network of a ground, beside the ground's hosts."""

import ipaddress
import itertools
import subprocess
from pathlib import Path

from rehearsal.ground.docker import docker_json
from rehearsal.ground.network import NODE
from rehearsal.kubernetes.addresses import Addresses
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.namespaces import Namespaces, ip

__all__ = ["join", "prepare", "remove_links"]

DEVICES = Path("/sys/class/net")
# Hosts of a ground know no way to a pod, so that they see the node's address, as behind any cluster.
MASQUERADE = """
table ip rehearsal {
  chain leaving {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr %s oifname "ground*" masquerade
  }
}
"""


def prepare(space: Namespaces, addresses: Addresses) -> None:
    """Translate what pods send to grounds."""
    space.run(["nft", "--file", "-"], stdin=MASQUERADE % addresses.pods)


def remove_links(addresses: Addresses) -> None:
    """Remove the machine's ends of a node's links, and with them the routes.

    They go with the node's network namespace too, but the kernel takes its time, and the next cluster has their names.
    """
    for port in (DEVICES / addresses.link, *DEVICES.glob(f"{addresses.link}g*")):
        subprocess.run(["ip", "link", "delete", port.name], capture_output=True, check=False)
        if port.exists():
            raise KubernetesError(
                f"The link {port.name} cannot be removed. Fix: `ip link delete {port.name}`, as root."
            )


def join(space: Namespaces, addresses: Addresses, network: str) -> str:
    """Plug the node into the bridge of a Docker network and return its address there.

    What led to networks that are gone is removed first: the next ground may have their range. Raises
    ``KubernetesError`` where the network keeps no address for a node, or another cluster has it.
    """
    record = docker_json(["network", "inspect", network])[0]
    config = record["IPAM"]["Config"][0]
    address = (config.get("AuxiliaryAddresses") or {}).get(NODE)
    if address is None:
        raise KubernetesError(
            f"The Docker network {network} keeps no address for a node. Fix: use the network of a ground that is new."
        )
    bridge = record["Options"].get("com.docker.network.bridge.name") or f"br-{record['Id'][:12]}"
    device = DEVICES / bridge
    if any(port.name.startswith("kube") for port in (device / "brif").iterdir()):
        raise KubernetesError(
            f"Another cluster is on the network {network} already. Fix: give each a ground of its own."
        )
    for port in DEVICES.glob(f"{addresses.link}g*"):
        if not (port / "master").exists():
            ip("link", "delete", port.name)
    number = next(number for number in itertools.count() if not (DEVICES / f"{addresses.link}g{number}").exists())
    outside, inside = f"{addresses.link}g{number}", f"ground{number}"
    prefix = ipaddress.ip_network(config["Subnet"]).prefixlen
    mtu = (device / "mtu").read_text().strip()
    ip("link", "add", outside, "mtu", mtu, "type", "veth", "peer", "name", inside, "mtu", mtu, "netns", str(space.init))
    ip("link", "set", outside, "master", bridge, "up")
    space.run(["ip", "address", "add", f"{address}/{prefix}", "dev", inside])
    space.run(["ip", "link", "set", inside, "up"])
    return str(address)
