"""The configuration of what runs on the node. All paths are the node's own: see ``namespaces``."""

import json
from typing import Any

import yaml

from rehearsal.kubernetes.addresses import Addresses
from rehearsal.kubernetes.credentials import CLUSTER_DOMAIN
from rehearsal.kubernetes.namespaces import BIN, HOME

__all__ = ["CONTAINERD_SOCKET", "PAUSE_IMAGE", "node_files"]

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "rehearsal.invalid/pause:1"

_CONTAINERD = f"""\
version = 3
root = "{HOME}/containerd"
state = "/run/containerd"
# What the node does not have, so that the log does not tell of it at every start.
disabled_plugins = [
  "io.containerd.nri.v1.nri",
  "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.erofs",
  "io.containerd.differ.v1.erofs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
address = "{CONTAINERD_SOCKET}"

[plugins.'io.containerd.cri.v1.images']
snapshotter = "overlayfs"

[plugins.'io.containerd.cri.v1.images'.pinned_images]
sandbox = "{PAUSE_IMAGE}"

[plugins.'io.containerd.cri.v1.runtime']
netns_mounts_under_state_dir = true
# Root of a machine that is itself a container may not lower the score of a process.
restrict_oom_score_adj = true

[plugins.'io.containerd.cri.v1.runtime'.cni]
bin_dirs = ["{BIN}/cni"]
conf_dir = "{HOME}/cni"

[plugins.'io.containerd.cri.v1.runtime'.containerd]
default_runtime_name = "runc"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"

[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
BinaryName = "{BIN}/runc"
SystemdCgroup = false
"""


def _pod_network(addresses: Addresses) -> dict[str, Any]:
    # Every pod has a link of its own and the node routes between them, so that service addresses are translated and
    # policies enforced for neighbours too; over a bridge that would take the kernel's bridge filter.
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "ptp",
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": f"{HOME}/cni/leases",
                    "ranges": [[{"subnet": addresses.pods}]],
                    "routes": [{"dst": "0.0.0.0/0"}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}},
        ],
    }


def _kubelet(addresses: Addresses, cgroup: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "failCgroupV1": False,
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "failSwapOn": False,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{HOME}/pki/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{HOME}/pki/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{HOME}/pki/kubelet-server.key",
        "clusterDomain": CLUSTER_DOMAIN,
        "clusterDNS": [addresses.dns_service],
        "resolvConf": f"{HOME}/resolv.conf",
        # A full disk of the machine is not the pods' doing, and images come from here, so none may be thrown away.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageMinimumGCAge": "100h",
        # Nothing is ever pulled: an imported image is good for every pod.
        "imagePullCredentialsVerificationPolicy": "NeverVerify",
        "makeIPTablesUtilChains": False,
        "nodeStatusUpdateFrequency": "5s",
        "syncFrequency": "10s",
        "shutdownGracePeriod": "0s",
    }


def _proxy(addresses: Addresses, node: str) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": f"{HOME}/pki/proxy.kubeconfig"},
        "clusterCIDR": addresses.pods,
        "hostnameOverride": node,
        # Also on the addresses of grounds that the node joins later.
        "nodePortAddresses": ["0.0.0.0/0"],
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        # The machine's limit of connections is not the node's to change.
        "conntrack": {"maxPerCore": 0},
    }


def node_files(addresses: Addresses, *, node: str, cgroup: str) -> dict[str, str]:
    """Return the files of a node: path below its home to contents."""
    return {
        "containerd.toml": _CONTAINERD,
        "cni/pods.conflist": json.dumps(_pod_network(addresses), indent=2),
        "kubelet.yaml": yaml.safe_dump(_kubelet(addresses, cgroup), sort_keys=False),
        "proxy.yaml": yaml.safe_dump(_proxy(addresses, node), sort_keys=False),
        # Names outside the cluster are CoreDNS's business.
        "resolv.conf": "",
    }
