"""Where k3s and this role keep things. Source: https://docs.k3s.io/installation/configuration and install.sh."""

import os

__all__ = [
    "API_PORT", "BINARY", "CONFIG", "DATA", "IMAGES", "IMAGES_PREFIX", "KUBECONFIG", "KUBELET_KUBECONFIG", "LEFTOVERS",
    "MARK", "NEW_BINARY", "REGISTRIES", "SERVER_TOKEN", "TOKEN", "UNITS", "VOLUMES", "unit_path",
]  # fmt: skip

API_PORT = 6443
BINARY = "/usr/local/bin/k3s"
NEW_BINARY = "/usr/local/bin/.k3s.mailstack-new"
CONFIG = "/etc/rancher/k3s/config.yaml"
TOKEN = "/etc/rancher/k3s/cluster-token"  # noqa: S105 - a place, not a token
REGISTRIES = "/etc/rancher/k3s/registries.yaml"
# The administrator's access; only servers have it.
KUBECONFIG = "/etc/rancher/k3s/k3s.yaml"
DATA = "/var/lib/rancher/k3s"
SERVER_TOKEN = os.path.join(DATA, "server/token")
# The node's own access: it may read its own entry.
KUBELET_KUBECONFIG = os.path.join(DATA, "agent/kubelet.kubeconfig")
IMAGES = os.path.join(DATA, "agent/images")
IMAGES_PREFIX = "mailstack-"
# Volumes of the local-path provisioner: they exist on this disk only.
VOLUMES = os.path.join(DATA, "storage")
UNITS = {"server": "k3s.service", "agent": "k3s-agent.service"}
MARK = "# Written by mailstack (role k3s)."
# What a node leaves on a host, apart from its unit and program.
LEFTOVERS = (
    "/etc/rancher/k3s", "/etc/rancher/node", "/run/k3s", "/run/flannel", "/var/lib/cni", "/var/lib/kubelet", DATA,
)  # fmt: skip


def unit_path(kind: str) -> str:
    """Return the path of the unit of a ``server`` or an ``agent``."""
    return os.path.join("/etc/systemd/system", UNITS[kind])
