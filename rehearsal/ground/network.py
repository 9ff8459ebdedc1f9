"""The network of a ground, on an address range that collides with nothing on this machine."""

import ipaddress
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rehearsal.ground.daemon import default_mtu
from rehearsal.ground.docker import docker, docker_try
from rehearsal.ground.errors import GroundError

__all__ = ["NODE", "POOL", "candidates", "create_network", "docker_networks", "machine_routes"]

POOL = ipaddress.IPv4Network("10.213.0.0/16")
"""Grounds get one /24 of this private range (RFC 1918) each."""

NODE = "node"
"""Name of the last address of a ground, which Docker gives to nobody: a Kubernetes node may take it."""


def machine_routes(table: Path = Path("/proc/net/route")) -> list[ipaddress.IPv4Network]:
    """Return the IPv4 networks this machine routes to, without the default route."""
    try:
        lines = table.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return []
    networks = []
    for line in lines:
        fields = line.split()
        # Both are hexadecimal in the byte order of the machine, little-endian on all we run on.
        address, mask = (int.from_bytes(bytes.fromhex(fields[column]), "little") for column in (1, 7))
        if mask:
            networks.append(ipaddress.IPv4Network((address & mask, mask.bit_count())))
    return networks


def docker_networks() -> list[ipaddress.IPv4Network]:
    """Return the IPv4 ranges of all Docker networks, also of those nothing runs on."""
    names = docker(["network", "ls", "--quiet"]).split()
    records = json.loads(docker_try(["network", "inspect", *names]).stdout or b"[]")
    ranges = [
        ipaddress.ip_network(config["Subnet"], strict=False)
        for record in records
        for config in (record["IPAM"]["Config"] or [])
        if "Subnet" in config
    ]
    return [network for network in ranges if isinstance(network, ipaddress.IPv4Network)]


def candidates(ground: str, taken: Iterable[ipaddress.IPv4Network]) -> Iterator[ipaddress.IPv4Network]:
    """Yield free /24 ranges of the pool, starting at a place that depends on the ground's name.

    Two grounds started at the same moment then seldom try the same range first.
    """
    busy = list(taken)
    ranges = list(POOL.subnets(new_prefix=24))
    first = zlib.crc32(ground.encode()) % len(ranges)
    for network in ranges[first:] + ranges[:first]:
        if not any(network.overlaps(other) for other in busy):
            yield network


def create_network(name: str, *, seed: str, internet: bool, arguments: Sequence[str]) -> str:
    """Make a Docker network on a free range and return the range in CIDR notation.

    ``seed``: see :func:`candidates`. ``internet``: whether it has a way out. ``arguments``: further ones of
    docker-network-create(1). Raises ``GroundError``.
    """
    options = [] if internet else ["--internal"]
    for network in candidates(seed, [*machine_routes(), *docker_networks()]):
        result = docker_try(
            [
                "network", "create", "--driver", "bridge", "--subnet", str(network), "--gateway", str(network[1]),
                "--aux-address", f"{NODE}={network[-2]}",
                "--opt", f"com.docker.network.driver.mtu={default_mtu()}", *options, *arguments, name,
            ]
        )  # fmt: skip
        said = result.stderr.decode(errors="replace").strip()
        if result.returncode == 0:
            return str(network)
        # Another ground was quicker to take the range.
        if "overlap" not in said.lower():
            raise GroundError(f"Could not make the network of ground {seed!r}: {said}")
    raise GroundError("No free /24 is left for a ground. Fix: `python -m rehearsal.ground clean`.")
