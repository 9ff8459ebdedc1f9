"""Where a rehearsal runs the relay's pods: a Kubernetes node on this machine, with names and addresses of its own.

The cluster of the stack is not reached. Everything else is as declared, but what only that cluster has: its classes of
storage and priority, its registry's login, its DNS, and more than one node.
"""

import copy
import json
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Self

from mailstack.plan import Plan, load_plan
from mailstack.plan.relay_cluster import KubernetesRelay
from rehearsal.google_standin import GoogleStandinClient
from rehearsal.ground import Ground, GroundError
from rehearsal.images.relay import ensure_relay_image
from rehearsal.kubernetes import Cluster, KubernetesError, missing
from rehearsal.pki import PrivateCa
from rehearsal.resolver import start_resolver
from rehearsal.waiting import wait_for

__all__ = ["APPLICATIONS", "STRANGERS", "ClusterPlace", "remove_cluster_place"]

APPLICATIONS, STRANGERS = "rehearsal-applications", "rehearsal-strangers"
CLIENT = "client"
READY_SECONDS = 300
# Of the declared cluster, not of this one.
OF_THE_CLUSTER = ("context", "image_pull_secret", "priority_class", "network_policies", "cluster_domain")


class ClusterPlace:
    """``raw`` is the configuration that puts the relay here; ``cluster`` is where it then is."""

    def __init__(
        self, ground: Ground, raw: Mapping[str, Any], authority: PrivateCa, say: Callable[[str], None]
    ) -> None:
        """Start the node beside the hosts of ``ground``, and pods for applications. Raises ``GroundError``."""
        reason = missing()
        if reason is not None:
            raise GroundError(reason)
        say("      a Kubernetes node, the relay's image, and pods for applications")
        self._ground = ground
        self._image = ensure_relay_image(say)
        # An earlier test or demo of the same name may have kept it.
        remove_cluster_place(ground.name)
        self.cluster = Cluster(ground.name, say, keep=ground.keep)
        self.cluster.start()
        try:
            self.cluster.import_image(self._image)
            resolver = start_resolver(ground, {}, log=say)
            self.address = self.cluster.join(ground.network, resolver=resolver.address)
            self.raw = self._swapped(raw, authority.certificate)
            self.placed = _placed(load_plan(self.raw))
            self._add_clients()
        except BaseException:
            self.cluster.stop()
            raise

    def __enter__(self) -> Self:
        """Nothing more is needed."""
        return self

    def __exit__(self, *_exception: object) -> None:
        """End the node, unless the ground is kept."""
        if not self._ground.keep:
            self.cluster.stop()

    def _swapped(self, raw: Mapping[str, Any], authorities: str) -> dict[str, Any]:
        swapped = copy.deepcopy(dict(raw))
        relay = swapped["relay"]
        relay.pop("client_networks", None)
        told = relay.setdefault("kubernetes", {})
        for key in OF_THE_CLUSTER:
            told.pop(key, None)
        (told.get("queue") or {}).pop("storage_class", None)
        if told.get("spread") == "require":  # there is one node
            told["spread"] = "prefer"
        told |= {"kubeconfig": self.cluster.kubeconfig, "authorities": authorities}
        relay["image"] = {"reference": self._image}
        return swapped

    def _add_clients(self) -> None:
        relay = self.placed.relay
        places = {APPLICATIONS: relay.client_namespace_labels, STRANGERS: {}}
        if relay.monitoring_namespace is not None:
            places[relay.monitoring_namespace] = {}
        namespaces = [_namespace(name, labels) for name, labels in places.items()]
        if not relay.create_namespace:
            namespaces.append(_namespace(relay.namespace, {}))
        theirs = {one.namespace for one in relay.applications} - places.keys() - {relay.namespace}
        namespaces += [_namespace(name, {}) for name in sorted(theirs)]
        self.cluster.apply(namespaces)
        for name in places:
            self.cluster.wait_for_namespace(name)
        self.cluster.apply([_client(name, self._image) for name in places])
        for name in places:
            self._wait("pod", CLIENT, name)

    def _wait(self, kind: str, name: str, namespace: str) -> None:
        self.cluster.kubectl(
            "wait", "--for=condition=Ready", f"{kind}/{name}", f"--namespace={namespace}",
            f"--timeout={READY_SECONDS}s", timeout=READY_SECONDS + 30,
        )  # fmt: skip

    def join(self, plan: Plan, google: GoogleStandinClient, rule: Mapping[str, Any]) -> None:
        """Tell the upstream the address that all pods leave from: the node's."""
        self.placed = _placed(plan)
        google.put_rule({**rule, "allowed_ips": [f"{self.address}/32"]})

    @property
    def namespace(self) -> str:
        """Return the option of kubectl that names the relay's namespace."""
        return f"--namespace={self.placed.relay.namespace}"

    @property
    def workload(self) -> str:
        """Return the workload, as kubectl names it."""
        relay = self.placed.relay
        return f"{'statefulset' if relay.durable else 'deployment'}/{relay.name}"

    def pods(self) -> list[dict[str, Any]]:
        """Return the relay's pods as the cluster knows them, those that are going away included."""
        labels = ",".join(f"{key}={value}" for key, value in self.placed.relay.pods.items())
        found: list[dict[str, Any]] = self.cluster.get("pods", self.namespace, f"--selector={labels}")["items"]
        return found

    def run(self, argv: Sequence[str]) -> str:
        """Run a command in every pod that runs and return what they print."""
        return "".join(self.run_in(name, argv) for name in self._names())

    def run_in(self, pod: str, argv: Sequence[str]) -> str:
        """Run a command in one pod and return what it prints."""
        return self.cluster.kubectl("exec", self.namespace, pod, "--container=postfix", "--", *argv)

    def _names(self) -> list[str]:
        return [pod["metadata"]["name"] for pod in self.pods() if _runs(pod)]

    def log(self) -> str:
        """Return the log of all pods, each line as Postfix wrote it."""
        lines = [
            self.cluster.try_kubectl("logs", self.namespace, name, "--container=postfix", *options).stdout
            for name in self._names()
            # Of the container before, where there was one.
            for options in (("--previous",), ())
        ]
        return "\n".join(_plain(line) for text in lines for line in text.splitlines())

    def ask(
        self, argv: Sequence[str], *, stdin: str = "", stranger: bool = False, timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in a pod of a namespace that may send, or of one that may not."""
        return self.ask_from(STRANGERS if stranger else APPLICATIONS, argv, stdin=stdin, timeout=timeout)

    def ask_from(
        self, namespace: str, argv: Sequence[str], *, stdin: str = "", timeout: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the pod that stands for all of a namespace."""
        place = (f"--namespace={namespace}", CLIENT)
        return self.cluster.try_kubectl("exec", "--stdin", *place, "--", *argv, stdin=stdin, timeout=timeout)

    # --- what an operator or a bad day does

    def scale(self, replicas: int) -> None:
        """Ask for so many pods; return once there are no others, and these are ready."""
        self.cluster.kubectl("scale", self.workload, self.namespace, f"--replicas={replicas}")
        self.wait_ready(replicas)

    def wait_ready(self, replicas: int, seconds: float = READY_SECONDS) -> None:
        """Return once there are so many pods, all of them ready. Raises ``GroundError``."""
        seen: list[str] = []

        def there() -> bool:
            pods = self.pods()
            seen[:] = [f"{pod['metadata']['name']} {'ready' if _is_ready(pod) else 'not ready'}" for pod in pods]
            return len(pods) == replicas and all(map(_is_ready, pods))

        if not wait_for(there, seconds, pause=0.5):
            raise GroundError(f"Not {replicas} ready pods within {seconds:.0f} s, but: {', '.join(seen) or 'none'}")

    def wait_rolled(self) -> None:
        """Return once all pods are of the newest version, and ready: an update may end before (docs/adr/0018)."""
        limit = ("rollout", "status", self.workload, self.namespace, f"--timeout={READY_SECONDS}s")
        self.cluster.kubectl(*limit, timeout=READY_SECONDS + 30)

    def kill(self, pod: Mapping[str, Any]) -> None:
        """End all processes of a pod's container at once, from outside; its kubelet starts another."""
        [status] = pod["status"]["containerStatuses"]
        identity = status["containerID"].rpartition("/")[2]
        self.cluster.kill_container(identity)

    def wait_restarted(self, before: Sequence[Mapping[str, Any]], seconds: float = READY_SECONDS) -> None:
        """Return once each of these pods has another container, and is ready. Raises ``GroundError``."""
        old = {status["containerID"] for pod in before for status in pod["status"]["containerStatuses"]}

        def there() -> bool:
            pods = self.pods()
            new = {status.get("containerID") for pod in pods for status in pod["status"].get("containerStatuses", [])}
            return len(pods) == len(before) and all(map(_is_ready, pods)) and not old & new

        if not wait_for(there, seconds, pause=0.5):
            raise GroundError(f"The pods were not started again within {seconds:.0f} s\n{self.log()[-2000:]}")


def remove_cluster_place(ground: str) -> None:
    """End the node that a kept rehearsal has left."""
    with suppress(KubernetesError):  # there is none
        Cluster.open(ground).stop()


def _placed(plan: Plan) -> KubernetesRelay:
    if plan.relay.kubernetes is None:
        raise GroundError("the stack has no relay on a cluster")
    return plan.relay.kubernetes


def _namespace(name: str, labels: Mapping[str, str]) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(labels)}}


def _client(namespace: str, image: str) -> dict[str, Any]:
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", "-c", "import signal; signal.sigwait([signal.SIGTERM])"],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": CLIENT, "namespace": namespace},
        "spec": {"containers": [container], "automountServiceAccountToken": False},
    }


def _runs(pod: Mapping[str, Any]) -> bool:
    return any("running" in status["state"] for status in pod["status"].get("containerStatuses", []))


def _is_ready(pod: Mapping[str, Any]) -> bool:
    conditions = {one["type"]: one["status"] for one in pod["status"].get("conditions", [])}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _plain(line: str) -> str:
    """Return a line of JSON as Postfix wrote it; what is no JSON stays."""
    try:
        told = json.loads(line)
    except ValueError:
        return line
    queued = f"{told['queue_id']}: " if "queue_id" in told else ""
    return f"{told.get('service', '')}[{told.get('pid', '')}]: {queued}{told['message']}"
