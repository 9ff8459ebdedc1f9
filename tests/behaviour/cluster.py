"""The relay as two pods of a Kubernetes node: placement ``kubernetes``, performed in this process."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from mailstack.settings.stackfile import engine_config
from rehearsal.cluster_place import ClusterPlace
from rehearsal.in_process import InProcessBackend, run_program
from rehearsal.plugins.kubernetes import find_kubectl
from tests.behaviour.place import READ_METRICS, RELAY, Place, stack_of

__all__ = ["ClusterRelay"]

MONITORING = "monitoring"


class ClusterRelay(Place):
    """A StatefulSet of two, each with its queue on a volume, behind one service."""

    def prepare(self) -> None:
        relay = {
            **RELAY,
            "placement": "kubernetes",
            "egress_addresses": ["192.0.2.10"],
            # Where nobody takes a queue over, a pod waits for its grace to end.
            "kubernetes": {"monitoring": {"namespace": MONITORING}, "grace_seconds": 20},
        }
        self.place = ClusterPlace(self.ground, stack_of({"relay": relay}), self.authority, print)
        self.replicas = self.place.placed.relay.replicas
        self._left: Mapping[str, Any] = {}

    def placed(self, relay: Mapping[str, Any]) -> dict[str, Any]:
        return {"relay": {**self.place.raw["relay"], **relay}}

    @property
    def egress(self) -> str:
        return f"{self.place.address}/32"

    @property
    def kubectl(self) -> str:
        return str(find_kubectl())

    @property
    def addresses(self) -> list[str]:
        return [self.place.placed.relay.host]

    @property
    def sessions(self) -> int:
        # Each pod has as many as one relay.
        return super().sessions * self.replicas

    def ask(self, command: Sequence[str], stdin: str, *, stranger: bool) -> subprocess.CompletedProcess[str]:
        return self.place.ask(command, stdin=stdin, stranger=stranger)

    def metrics(self) -> str:
        """Return what the monitoring namespace reads, from each pod."""
        addresses = [pod["status"]["podIP"] for pod in self.place.pods()]
        texts = []
        for address in addresses:
            url = f"http://{address}:9154/metrics"
            done = self.place.ask_from(MONITORING, ["python3", "-c", READ_METRICS, url])
            assert done.returncode == 0, done.stderr
            texts.append(done.stdout)
        return "\n".join(texts)

    def update(self, **changes: Any) -> None:
        backend = InProcessBackend(print, previous=self._left)
        run_program("behaviour", engine_config(self.raw(changes)), backend)
        self._left = backend.left
        self.place.wait_ready(self.replicas)

    def stop(self) -> None:
        self.place.scale(0)

    def kill(self) -> None:
        self._killed = self.place.pods()
        for pod in self._killed:
            self.place.kill(pod)

    def start(self) -> None:
        if not self.place.pods():
            self.place.scale(self.replicas)
        else:
            self.place.wait_restarted(self._killed)

    def run(self, *command: str) -> str:
        return self.place.run(command)

    def log(self) -> str:
        return self.place.log()

    def forget(self) -> None:
        self.run("postsuper", "-d", "ALL")

    def close(self) -> None:
        self.place.cluster.stop()
