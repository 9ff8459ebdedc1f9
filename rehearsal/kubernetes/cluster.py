"""A whole cluster on this machine: one node with its control plane, in namespaces of its own."""

import ipaddress
import logging
import string
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from rehearsal.ground.errors import GroundError
from rehearsal.ground.network import docker_networks, machine_routes
from rehearsal.ground.state import CHECKOUT, exclusive, process_start
from rehearsal.kubernetes import cgroups, network
from rehearsal.kubernetes.addresses import Addresses, free_addresses
from rehearsal.kubernetes.api import Api
from rehearsal.kubernetes.control_plane import api_server, etcd
from rehearsal.kubernetes.credentials import CLUSTER_DOMAIN, Credentials
from rehearsal.kubernetes.errors import KubernetesError
from rehearsal.kubernetes.images import canonical, of_programs, save_from_docker
from rehearsal.kubernetes.namespaces import BIN, HOME, Namespaces
from rehearsal.kubernetes.node_files import CONTAINERD_SOCKET, PAUSE_IMAGE, node_files
from rehearsal.kubernetes.processes import Daemons
from rehearsal.kubernetes.programs import PROGRAMS
from rehearsal.kubernetes.record import CLUSTERS, Record, clean_leftovers
from rehearsal.waiting import wait_for

__all__ = ["Cluster"]

_LOG = logging.getLogger(__name__)
MANIFESTS = Path(__file__).with_name("manifests")

START_SECONDS = 240.0
"""Seconds for each step of the start; the whole takes twenty, and many times that beside a build."""

IMAGE_SECONDS = 60.0
"""Seconds until the kubelet's side of containerd knows an imported image; at once is usual."""

NODE_NAME = "node1"
# What the manifests name, and the program that is all of it.
ADDON_IMAGES = (
    ("rehearsal.invalid/coredns:1", "coredns"),
    ("rehearsal.invalid/metrics-server:1", "metrics-server"),
)


class Cluster(Api):
    """A node that runs pods, with DNS, metrics, volumes and enforced network policies. Needs root.

    As a context manager it is ready inside the block and gone after it, unless it is kept.
    """

    def __init__(
        self,
        name: str,
        log: Callable[[str], None] = _LOG.info,
        *,
        keep: bool = False,
        root: Path = CLUSTERS,
    ) -> None:
        """Nothing is started yet. ``keep``: it outlives this process until :meth:`stop`."""
        self.name = name
        self.folder = root / name
        """Keys, logs and volumes of the cluster, while it is there."""
        self._log = log
        self._keep = keep
        self._root = root
        self._daemons = Daemons(self.folder / "logs")
        self._record: Record | None = None
        self._space: Namespaces | None = None
        super().__init__(self.folder / "pki" / "admin.kubeconfig")

    @classmethod
    def open(cls, name: str, log: Callable[[str], None] = _LOG.info, *, root: Path = CLUSTERS) -> Self:
        """Return a cluster that another process has started and kept. Raises ``KubernetesError``."""
        record = Record.read(root / name)
        pid, started = record.processes[0] if record and record.processes else (0, "")
        if record is None or process_start(pid) != started:
            raise KubernetesError(f"There is no running cluster {name!r} in {root}. Fix: start it.")
        cluster = cls(name, log, keep=record.keep, root=root)
        cluster._record = record
        cluster._space = Namespaces(init=pid)
        return cluster

    def __enter__(self) -> Self:
        """Start it; returns once it is ready."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it unless it is kept."""
        if not self._keep:
            self.stop()

    # --- where things are

    @property
    def addresses(self) -> Addresses:
        """The ranges of this cluster; this machine reaches pods, services and the node by their addresses."""
        return Addresses(whole=ipaddress.IPv4Network(self._running.range))

    @property
    def node_name(self) -> str:
        """Name of the only node."""
        return NODE_NAME

    @property
    def _running(self) -> Record:
        if self._record is None:
            raise KubernetesError(f"The cluster {self.name!r} is not running. Fix: start it.")
        return self._record

    @property
    def _node(self) -> Namespaces:
        if self._space is None:
            raise KubernetesError(f"The node of {self.name!r} is not running. Fix: start the cluster.")
        return self._space

    # --- start and stop

    def start(self) -> None:
        """Start the node and everything on it; returns once it is ready. Raises ``KubernetesError``."""
        began = time.monotonic()
        clean_leftovers(self._log, self._root)
        self._record = Record.claim(self.name, keep=self._keep, root=self._root)
        try:
            self._make_node()
            self._start_control_plane()
            self._start_node()
            self._add_what_every_cluster_has()
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        self._log(f"cluster {self.name} ({self.addresses.whole}) is ready after {time.monotonic() - began:.1f} s")

    def stop(self) -> None:
        """End every process and remove what they left. Does nothing the second time."""
        if self._record is not None:
            self._record.remove(self._root)
            self._daemons.reap()
            self._record = self._space = None

    def _make_node(self) -> None:
        record = self._running
        for directory in ("logs", "volumes", "cni"):
            (self.folder / directory).mkdir()
        self._space, init = Namespaces.make(self._daemons)
        record.processes.append(init)
        record.write(self._root)
        # The route to the range is what tells others that it is taken.
        with exclusive("kubernetes"):
            addresses = free_addresses([*machine_routes(), *_docker_ranges()])
            record.range = str(addresses.whole)
            record.write(self._root)
            self._space.set_up(self.folder, NODE_NAME, addresses)
        network.prepare(self._space, addresses)
        cgroups.create(addresses.link)
        server = f"https://{addresses.node}:6443"
        names = ("127.0.0.1", addresses.node, addresses.api_service)
        Credentials.make(self.folder / "pki", server, *names, node=(NODE_NAME, addresses.node))
        for path, content in node_files(addresses, node=NODE_NAME, cgroup=cgroups.group(addresses.link)).items():
            (self.folder / path).write_text(content, encoding="utf-8")

    def _daemon(self, name: str, *argv: str) -> None:
        self._daemons.start(name, self._node.enter(*argv), path=f"{BIN}/cni:{BIN}")

    def _start_control_plane(self) -> None:
        addresses, pki = self.addresses, f"{HOME}/pki"
        self._daemon("containerd", f"{BIN}/containerd", f"--config={HOME}/containerd.toml")
        self._daemon("etcd", *_on_node(etcd(f"{HOME}/etcd")))
        server = _on_node(api_server(pki, services=addresses.services))
        self._daemon("kube-apiserver", *server, *_api_server_options(addresses, pki))
        self.wait_for(("get", "--raw=/readyz"))

        def as_component(name: str) -> list[str]:
            file = f"{pki}/{name}.kubeconfig"
            kinds = ("", "authentication-", "authorization-")
            return [*(f"--{kind}kubeconfig={file}" for kind in kinds), "--leader-elect=false", "--profiling=false"]

        self._daemon(
            "kube-controller-manager",
            f"{BIN}/kube-controller-manager",
            *as_component("controller-manager"),
            "--use-service-account-credentials",
            f"--service-account-private-key-file={pki}/service-accounts.key",
            f"--root-ca-file={pki}/ca.crt",
            f"--cluster-signing-cert-file={pki}/ca.crt",
            f"--cluster-signing-key-file={pki}/ca.key",
            f"--requestheader-client-ca-file={pki}/front-ca.crt",
            f"--cluster-cidr={addresses.pods}",
            "--allocate-node-cidrs=false",
            f"--service-cluster-ip-range={addresses.services}",
            # A rehearsal waits for each of these; the defaults are minutes.
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
        )
        self._daemon("kube-scheduler", f"{BIN}/kube-scheduler", *as_component("scheduler"))

    def _start_node(self) -> None:
        addresses, pki = self.addresses, f"{HOME}/pki"
        self._daemons.wait_until(self._ctr_answers, "answer of containerd", START_SECONDS)
        for image, name in ((PAUSE_IMAGE, "pause"), *ADDON_IMAGES):
            self.load_image(of_programs(image, PROGRAMS / name))
        self._daemon(
            "kubelet",
            f"{BIN}/kubelet",
            f"--config={HOME}/kubelet.yaml",
            f"--kubeconfig={pki}/kubelet.kubeconfig",
            f"--root-dir={HOME}/kubelet",
            f"--hostname-override={NODE_NAME}",
            f"--node-ip={addresses.node}",
            # Where the statistics of containers come from; the metrics would be without them.
            f"--containerd={CONTAINERD_SOCKET}",
        )
        self._daemon("kube-proxy", f"{BIN}/kube-proxy", f"--config={HOME}/proxy.yaml")
        # It ends where it does not find its node.
        self.wait_for(("get", "node", NODE_NAME))
        self._daemon(
            "kube-router",
            # Whose lease of leadership it is; as a pod it would be told.
            "env",
            "POD_NAMESPACE=kube-system",
            "POD_NAME=kube-router",
            f"{BIN}/kube-router",
            f"--kubeconfig={pki}/policies.kubeconfig",
            f"--hostname-override={NODE_NAME}",
            "--run-firewall=true",
            "--run-router=false",
            "--run-service-proxy=false",
            "--run-loadbalancer=true",
            f"--loadbalancer-ip-range={addresses.load_balancers}",
            f"--service-cluster-ip-range={addresses.services}",
            "--health-port=0",
        )
        volumes = [sys.executable, "-m", "rehearsal.kubernetes.volumes", f"https://{addresses.node}:6443"]
        places = [str(self.folder / "pki"), str(self.folder / "volumes"), f"{HOME}/volumes", NODE_NAME]
        home = ["env", f"PYTHONPATH={CHECKOUT}"]
        self._daemons.start("volumes", self._node.enter_network(*home, *volumes, *places))

    def _add_what_every_cluster_has(self, resolver: str | None = None) -> None:
        values = {
            "domain": CLUSTER_DOMAIN,
            "dns_service": self.addresses.dns_service,
            "forward": f"forward . {resolver}" if resolver else "",
        }
        texts = [
            string.Template(file.read_text("utf-8")).substitute(values) for file in sorted(MANIFESTS.glob("*.yaml"))
        ]
        self.apply("\n---\n".join(texts))

    def wait_ready(self, *, metrics: bool = False, seconds: float = START_SECONDS) -> None:
        """Return once pods can be made and names be resolved; with ``metrics`` also once there are figures of the node.

        Raises ``KubernetesError``.
        """
        self.wait_for_namespace("default")
        self.wait_for(("wait", "--for=condition=Ready", f"node/{NODE_NAME}", "--timeout=1s"), seconds)
        dns = ("rollout", "status", "deployment/coredns", "--namespace=kube-system", "--timeout=1s")
        self.wait_for(dns, seconds)
        if metrics:
            self.wait_for(("top", "node", NODE_NAME), seconds)

    def wait_for_namespace(self, name: str) -> None:
        """Return once pods can be made in a namespace that was just created. Raises ``KubernetesError``."""
        self.wait_for(("get", "serviceaccount", "default", f"--namespace={name}"))

    def wait_for(self, question: Sequence[str], seconds: float = START_SECONDS) -> None:
        """Return once ``kubectl QUESTION`` succeeds. Raises ``KubernetesError`` after ``seconds``."""
        self._daemons.wait_until(
            lambda: self.try_kubectl(*question).returncode == 0, f"success of `kubectl {' '.join(question)}`", seconds
        )

    # --- images and networks

    def _ctr(self, *arguments: str) -> list[str | Path]:
        return self._node.enter(f"{BIN}/ctr", f"--address={CONTAINERD_SOCKET}", "--namespace=k8s.io", *arguments)

    def _ctr_answers(self) -> bool:
        return subprocess.run(self._ctr("version"), capture_output=True, check=False, cwd="/").returncode == 0

    def load_image(self, image: bytes) -> None:
        """Bring an image to the node that Docker does not have (``images.of_programs``). Raises ``KubernetesError``."""
        done = subprocess.run(self._import_argv(), input=image, capture_output=True, check=False, cwd="/")
        if done.returncode != 0:
            raise KubernetesError(f"containerd did not take an image: {done.stderr.decode(errors='replace').strip()}")

    def _import_argv(self) -> Sequence[str | Path]:
        return self._ctr("images", "import", "--local", "-")

    def import_image(self, tag: str) -> None:
        """Bring an image of the ground's Docker to the node, where pods find it under the same tag.

        With the tag ``latest`` a pod needs ``imagePullPolicy: Never`` or ``IfNotPresent``: nothing can be pulled.
        Raises ``KubernetesError``.
        """
        save_from_docker(tag, self._import_argv())
        name = canonical(tag)
        # The kubelet's side of containerd learns of it by an event, and marks it then.
        seen = self._ctr("images", "list", "--quiet", f'name=={name},labels."io.cri-containerd.image"==managed')

        def known() -> bool:
            return bool(subprocess.run(seen, capture_output=True, check=False, cwd="/").stdout.strip())

        if not wait_for(known, IMAGE_SECONDS):
            raise KubernetesError(f"The node does not know the image {name} {IMAGE_SECONDS:.0f} s after its import.")

    def join(self, docker_network: str, *, resolver: str | None = None) -> str:
        """Put the node on the network of a ground and return its address there (see the package's docstring).

        ``resolver`` is the address of a DNS server on the ground that pods shall ask for names outside the cluster.
        Raises ``KubernetesError``.
        """
        address = network.join(self._node, self.addresses, docker_network)
        if resolver is not None:
            self._add_what_every_cluster_has(resolver)
            self.kubectl("rollout", "status", "deployment/coredns", "--namespace=kube-system")
        return address

    def kill_container(self, identity: str) -> None:
        """Kill every process of a container, by its id; the kubelet sees it end. Raises ``KubernetesError``."""
        argv = self._ctr("tasks", "kill", "--all", "--signal=SIGKILL", identity)
        done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd="/")
        if done.returncode != 0:
            raise KubernetesError(f"The container {identity} was not killed: {done.stderr.strip()}")

    def run_on_node(self, *argv: str) -> str:
        """Run a command on the node, as its root, and return its stdout. Raises ``KubernetesError``."""
        return self._node.run(argv)


def _docker_ranges() -> list[ipaddress.IPv4Network]:
    # Without Docker there is nothing to collide with.
    try:
        return docker_networks()
    except GroundError:
        return []


def _on_node(argv: Sequence[str | Path]) -> list[str]:
    """Return a command line with the program where the node has it."""
    program, *arguments = argv
    return [f"{BIN}/{Path(program).name}", *map(str, arguments)]


def _api_server_options(addresses: Addresses, pki: str) -> list[str]:
    return [
        "--bind-address=0.0.0.0",
        "--secure-port=6443",
        f"--advertise-address={addresses.node}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--kubelet-client-certificate={pki}/kubelet-client.crt",
        f"--kubelet-client-key={pki}/kubelet-client.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        # The aggregation layer, behind which the metrics are.
        f"--requestheader-client-ca-file={pki}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-client.crt",
        f"--proxy-client-key-file={pki}/front-client.key",
        "--enable-aggregator-routing=true",
    ]
