"""An API server with its store and what deletes: it checks and keeps objects, and nobody acts on them."""

import logging
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from rehearsal.ground.ports import free_port
from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.control_plane import DELETERS, api_server, etcd
from rehearsal.kubernetes.credentials import Credentials
from rehearsal.kubernetes.processes import Daemons
from rehearsal.kubernetes.record import CLUSTERS, Record, clean_leftovers

__all__ = ["ApiServer"]

_LOG = logging.getLogger(__name__)

READY_SECONDS = 120.0
"""Seconds until it answers; four are usual, many more beside a build."""

SERVICES = "10.96.0.0/16"
# Kubernetes wants an address for its own service, and refuses loopback. Nobody connects to this one (RFC 5737).
ADVERTISED = "198.51.100.1"


class ApiServer(Api):
    """etcd and kube-apiserver on loopback ports. Needs no root.

    Schema, defaults, ``fieldValidation=Strict``, Pod Security and RBAC are those of any cluster. Only the controllers
    run that finish deletions (of namespaces, and in the foreground, as Pulumi deletes): a Deployment gets no pods, a
    namespace no service account; so the admission that asks for one is off.
    """

    def __init__(self, name: str, log: Callable[[str], None] = _LOG.info, *, root: Path = CLUSTERS) -> None:
        """Nothing is started yet."""
        self.name = name
        self._log = log
        self._root = root
        self._folder = root / name
        self._daemons = Daemons(self._folder)
        self._record: Record | None = None
        super().__init__(self._folder / "pki" / "admin.kubeconfig")

    def __enter__(self) -> Self:
        """Start it; returns once it accepts objects. Raises ``KubernetesError``."""
        clean_leftovers(self._log, self._root)
        self._record = record = Record.claim(self.name, keep=False, root=self._root)
        try:
            store, peer, port = free_port(), free_port(), free_port()
            pki = Credentials.make(self._folder / "pki", f"https://127.0.0.1:{port}", "127.0.0.1").folder
            listens = ["--bind-address=127.0.0.1", f"--secure-port={port}", f"--advertise-address={ADVERTISED}"]
            server = api_server(pki, services=SERVICES, store_port=store)
            for name, argv in (
                ("etcd", etcd(self._folder / "etcd", store, peer)),
                (
                    "kube-apiserver",
                    [*server, *listens, "--authorization-mode=RBAC", "--disable-admission-plugins=ServiceAccount"],
                ),
            ):
                record.processes.append(self._daemons.start(name, argv))
                record.write(self._root)
            self._daemons.wait_until(self._accepts, "answer of the API server", READY_SECONDS)
            # As the administrator: the manager itself may not delete, and has no service accounts to act as.
            deleters = [*DELETERS, f"--kubeconfig={self.kubeconfig_path}"]
            record.processes.append(self._daemons.start("kube-controller-manager", deleters))
            record.write(self._root)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def _accepts(self) -> bool:
        return (
            self.try_kubectl("get", "--raw=/readyz").returncode == 0
            and self.try_kubectl("get", "namespace", "default").returncode == 0
        )

    def stop(self) -> None:
        """End it and remove what it kept. Does nothing the second time."""
        if self._record is not None:
            self._record.remove(self._root)
            self._daemons.reap()
            self._record = None
