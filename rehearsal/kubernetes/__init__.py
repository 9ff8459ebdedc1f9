"""A real Kubernetes on this machine: a whole cluster of one node, or an API server alone.

``with Cluster(name) as cluster`` and ``with ApiServer(name) as api`` are all a test needs. The programs are built by
``scripts/kubernetes.sh`` from Go modules; :func:`missing` says why there are none.

The node lives in namespaces of its own (``namespaces``): packet filter, routes, mounts and Docker of the machine stay
as they are, and killing the node's first process ends all of it. What it has on the machine is one link, one route, one
control group and one folder below ``.rehearsal/.kubernetes``; the next start removes what a killed run has left.
Several clusters may run at once, each with a /20 of its own (``addresses``).

Who reaches whom:

- This machine reaches pods, services, load balancers and the node by their addresses, over the link.
- Pods reach this machine at ``Cluster.addresses.machine``, and nothing beyond it: the node has no default route.
- ``Cluster.join(ground.network)`` puts the node on a ground's bridge, at the address that every ground keeps for it.
  Pods then reach the ground's hosts and stand-ins, who see the node's address; with ``resolver`` also by name. Hosts of
  the ground reach pods through a NodePort at that address, and with ``externalTrafficPolicy: Local`` pods see theirs.

What a pod finds is what a cluster has: DNS (CoreDNS), metrics (metrics-server), services (kube-proxy, nftables), load
balancers and enforced network policies (kube-router as the firewall), and a default storage class. That one is a
stand-in (``volumes``): directories of this machine. The limits of pods are enforced by this machine's control groups,
version 1 or 2; with version 1 a memory kill shows the reason ``Error``.
"""

from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.api_server import ApiServer
from rehearsal.kubernetes.cluster import Cluster
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.programs import missing
from rehearsal.kubernetes.record import clean_leftovers

__all__ = ["Api", "ApiServer", "Cluster", "KubernetesError", "clean_leftovers", "missing"]
