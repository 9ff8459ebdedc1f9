"""Who is who in a cluster: its authorities, a certificate for each component, and kubeconfig files."""

import base64
from dataclasses import dataclass
from pathlib import Path

import yaml

from rehearsal.ground.state import private_directory
from rehearsal.pki import PemPair, PrivateCa

__all__ = ["Credentials", "kubeconfig"]

# Kubernetes takes the common name as the user and the organisation as the group
# (https://kubernetes.io/docs/setup/best-practices/certificates/).
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "kubelet-client": ("kube-apiserver-kubelet-client", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "proxy": ("system:kube-proxy", None),
    "policies": ("policies", "system:masters"),
    "volumes": ("volumes", "system:masters"),
}
# A client needs no name of its own, but a certificate does.
CLIENT = "client.invalid"
API_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
CLUSTER_DOMAIN = "cluster.local"


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """The files of one cluster below ``folder``: ``NAME.crt``, ``NAME.key`` and ``NAME.kubeconfig``."""

    folder: Path

    @classmethod
    def make(cls, folder: Path, server: str, *addresses: str, node: tuple[str, str] | None = None) -> "Credentials":
        """Write everything new. ``server`` is the URL in the kubeconfig files, ``addresses`` are the API server's.

        ``node``: name and address of the node, where there is one.
        """
        private_directory(folder)
        authority, front = PrivateCa("kubernetes"), PrivateCa("kubernetes front proxy")
        (folder / "ca.crt").write_text(authority.certificate, encoding="ascii")
        (folder / "ca.key").touch(mode=0o600)
        (folder / "ca.key").write_text(authority.key, encoding="ascii")
        (folder / "front-ca.crt").write_text(front.certificate, encoding="ascii")
        front.issue(CLIENT, common_name="front-proxy-client").write(folder, "front-client")
        names = (*API_NAMES, f"kubernetes.default.svc.{CLUSTER_DOMAIN}", *addresses)
        authority.issue(*names, common_name="kube-apiserver").write(folder, "api-server")
        authority.issue(CLIENT, common_name="service-accounts").write(folder, "service-accounts")
        clients = dict(CLIENTS)
        if node is not None:
            authority.issue(*node).write(folder, "kubelet-server")
            clients["kubelet"] = (f"system:node:{node[0]}", "system:nodes")
        for name, (user, group) in clients.items():
            pair = authority.issue(CLIENT, common_name=user, organization=group)
            pair.write(folder, name)
            file = folder / f"{name}.kubeconfig"
            file.touch(mode=0o600)
            file.write_text(kubeconfig(server, authority.certificate, pair), encoding="ascii")
        return cls(folder=folder)

    def kubeconfig(self, name: str) -> Path:
        """Return the kubeconfig file of a component."""
        return self.folder / f"{name}.kubeconfig"


def kubeconfig(server: str, authority: str, pair: PemPair) -> str:
    """Return a kubeconfig with everything inside, as text; ``authority`` is a PEM certificate."""

    def encoded(text: str) -> str:
        return base64.b64encode(text.encode("ascii")).decode("ascii")

    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "rehearsal", "cluster": {"server": server, "certificate-authority-data": encoded(authority)}}
        ],
        "users": [
            {
                "name": "rehearsal",
                "user": {
                    "client-certificate-data": encoded(pair.certificate),
                    "client-key-data": encoded(pair.key),
                },
            }
        ],
        "contexts": [{"name": "rehearsal", "context": {"cluster": "rehearsal", "user": "rehearsal"}}],
        "current-context": "rehearsal",
    }
    return yaml.safe_dump(document, sort_keys=False)
