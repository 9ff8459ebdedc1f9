"""What etcd and the API server are started with, on a node and alone."""

from pathlib import Path

from rehearsal.kubernetes.programs import PROGRAMS

__all__ = ["DELETERS", "api_server", "etcd"]

Argv = list[str | Path]

DELETERS: Argv = [
    PROGRAMS / "kube-controller-manager",
    "--controllers=garbage-collector-controller,namespace-controller",
    "--leader-elect=false",
    "--secure-port=0",
]
"""Only the controllers that finish a deletion; the caller adds the kubeconfig."""


def etcd(data: str | Path, client_port: int = 2379, peer_port: int = 2380) -> Argv:
    """A store on the loopback interface. It does not wait for the disk: what it holds is worth a rehearsal."""
    client, peer = f"http://127.0.0.1:{client_port}", f"http://127.0.0.1:{peer_port}"
    return [
        PROGRAMS / "etcd",
        "--name=rehearsal",
        f"--data-dir={data}",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=rehearsal={peer}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(pki: str | Path, *, services: str, store_port: int = 2379) -> Argv:
    """An API server with keys in ``pki`` (see ``credentials``); ``services`` is the range of services, CIDR.

    The caller adds where it listens and how it authorises.
    """
    return [
        PROGRAMS / "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{store_port}",
        f"--client-ca-file={pki}/ca.crt",
        f"--tls-cert-file={pki}/api-server.crt",
        f"--tls-private-key-file={pki}/api-server.key",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/service-accounts.key",
        f"--service-account-signing-key-file={pki}/service-accounts.key",
        f"--service-cluster-ip-range={services}",
        "--allow-privileged=true",
        "--profiling=false",
    ]
