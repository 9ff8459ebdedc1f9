"""The address ranges of a cluster, on a part of a private range that collides with nothing on this machine."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

from rehearsal.kubernetes.errors import KubernetesError

__all__ = ["POOL", "Addresses", "free_addresses"]

POOL = ipaddress.IPv4Network("10.214.0.0/16")
"""Clusters get one /20 of this private range (RFC 1918) each; grounds have the one before it."""


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """One /20: a /24 for the link between machine and node, /24s for pods and load balancers, a /21 for services."""

    whole: ipaddress.IPv4Network

    @property
    def link(self) -> str:
        """Name of this machine's end of the link, and of what else is one for each range."""
        return f"kube{self.whole.network_address.packed[2]}"

    def _part(self, number: int) -> ipaddress.IPv4Network:
        return list(self.whole.subnets(new_prefix=24))[number]

    @property
    def machine(self) -> str:
        """This machine's end of the link."""
        return str(self._part(0)[1])

    @property
    def node(self) -> str:
        """The node's end, which is its address in the cluster."""
        return str(self._part(0)[2])

    @property
    def pods(self) -> str:
        """Range of the pods, CIDR."""
        return str(self._part(1))

    @property
    def load_balancers(self) -> str:
        """Range of the services of type LoadBalancer, CIDR."""
        return str(self._part(2))

    @property
    def services(self) -> str:
        """Range of the services, CIDR."""
        return str(list(self.whole.subnets(new_prefix=21))[1])

    @property
    def api_service(self) -> str:
        """The service ``kubernetes``: the first address of the range, as Kubernetes chooses it."""
        return str(ipaddress.IPv4Network(self.services)[1])

    @property
    def dns_service(self) -> str:
        """The service of the cluster's DNS: the tenth, by custom."""
        return str(ipaddress.IPv4Network(self.services)[10])


def free_addresses(taken: Iterable[ipaddress.IPv4Network]) -> Addresses:
    """Return the first part of the pool that none of ``taken`` overlaps. Raises ``KubernetesError``."""
    busy = list(taken)
    for whole in POOL.subnets(new_prefix=20):
        if not any(whole.overlaps(other) for other in busy):
            return Addresses(whole=whole)
    raise KubernetesError(f"All of {POOL} is routed already. Fix: end other clusters (`ip route` shows the ranges).")
