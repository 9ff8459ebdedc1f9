"""The relay as a container of this machine's Docker engine: placement ``docker``, performed in this process."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from mailstack.settings.stackfile import engine_config
from rehearsal.container_place import ContainerPlace, remove_container_place
from rehearsal.ground.docker import docker
from rehearsal.in_process import InProcessBackend, run_program
from rehearsal.waiting import wait_for
from tests.behaviour.place import READ_METRICS, RELAY, Place

__all__ = ["DockerPlace"]

HEALTHY_SECONDS = 120


class DockerPlace(Place):
    """One container, its queue on a volume."""

    def prepare(self) -> None:
        raw = {"relay": {**RELAY, "placement": "docker", "egress_addresses": ["192.0.2.10"]}}
        self._container = ContainerPlace(self.ground, raw, self.authority, print)

    def ask(self, command: Sequence[str], stdin: str, *, stranger: bool) -> subprocess.CompletedProcess[str]:
        return self._container.ask(command, stdin=stdin, stranger=stranger)

    def metrics(self) -> str:
        return self.run("python3", "-c", READ_METRICS, "http://127.0.0.1:9154/metrics")

    def placed(self, relay: Mapping[str, Any]) -> dict[str, Any]:
        return {"relay": {**self._container.raw["relay"], **relay}}

    @property
    def egress(self) -> str:
        return str(self._container.raw["relay"]["docker"]["egress"]["subnet"])

    @property
    def addresses(self) -> list[str]:
        return [self._container.container]

    @property
    def stranger_addresses(self) -> list[str]:
        """Over the relay's way out, which is no application's way in."""
        docker_relay = self.plan().relay.docker
        assert docker_relay is not None
        return [self._container.inspect()["NetworkSettings"]["Networks"][docker_relay.egress.name]["IPAddress"]]

    @property
    def cut_off_by_change(self) -> int:
        # Without a state, the back end in this process makes the networks anew under the relay: the engine does not.
        return self.sessions

    def update(self, **changes: Any) -> None:
        run_program("behaviour", engine_config(self.raw(changes)), InProcessBackend(print))
        self._container.join(self.plan(**changes), self.google, self.granted)
        self.google.put_rule(self.granted)  # joined, the container is known by its address alone

    def stop(self) -> None:
        docker(["stop", self._container.container], timeout=120)

    def kill(self) -> None:
        docker(["kill", self._container.container])

    def start(self) -> None:
        docker(["start", self._container.container])
        healthy = wait_for(lambda: self._container.inspect()["State"]["Health"]["Status"] == "healthy", HEALTHY_SECONDS)
        assert healthy, self.log()

    def run(self, *command: str) -> str:
        return self._container.run(command)

    def log(self) -> str:
        return self._container.log()

    def forget(self) -> None:
        self.run("postsuper", "-d", "ALL")

    def close(self) -> None:
        remove_container_place(self.ground.name)
