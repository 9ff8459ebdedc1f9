"""The ways into a running stack: where from output ``operations``, keys from the stack's encrypted configuration.

With an identity file, or where the configuration holds no key, the SSH agent of who calls is asked. Keys are read when
the first place needs one: a stack on this machine's engine needs none.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mailstack.plan import Plan, load_plan
from mailstack.reach.connection import Connection, Jump
from mailstack.reach.docker_api import DockerApi, EngineAccess, ssh_options
from mailstack.reach.drift import decrypted_config, own_kubeconfig
from mailstack.reach.kubectl import Kubectl
from mailstack.reach.operations import HostAt, JumpAt, Operations, PodsAt
from mailstack.reach.place import (
    ContainerPlace,
    HostPlace,
    Place,
    PlaceError,
    PodPlace,
    StoppedError,
    StoppedPlace,
)

__all__ = ["Entry"]

ATTEMPTS = 3


@dataclass(kw_only=True)
class Entry:
    """Opens the places of one stack. ``identity`` is the text of a private key for SSH."""

    operations: Operations
    stack: str
    folder: Path
    identity: str | None = field(default=None, repr=False)
    open_plan: Callable[[], Plan] | None = field(default=None, repr=False)
    kubectl: str | Path = "kubectl"

    @cached_property
    def plan(self) -> Plan:
        """Return the plan with its secrets, which the Pulumi CLI opens."""
        if self.open_plan is not None:
            return self.open_plan()
        return load_plan(decrypted_config(self.stack, self.folder))

    def host(self, name: str) -> HostPlace:
        """Return a host. Raises PlaceError for one that is not there."""
        if name not in self.operations.hosts:
            known = ", ".join(self.operations.hosts) or "none"
            raise PlaceError(f"stack {self.stack} has no host {name!r}; its hosts: {known}")
        return HostPlace(name=name, connection=self._connection(name, self.operations.hosts[name]))

    def relay(self, *, host: str | None = None, pod: str | None = None) -> list[Place]:
        """Return the places of the relay: all of them, or that of one host or pod. Raises PlaceError."""
        at = self.operations.relay
        if at is None:
            raise PlaceError(f"stack {self.stack} has no relay")
        if pod is not None and at.placement != "kubernetes":
            raise PlaceError(f"--pod {pod}: the relay of stack {self.stack} runs on {at.placement}, not in pods")
        if host is not None and at.placement == "kubernetes":
            raise PlaceError(f"--host {host}: the relay of stack {self.stack} runs in pods; name one with --pod")
        if at.pods is not None:
            return list(self._pods(at.pods, pod))
        if at.container is not None:
            if host not in {None, at.container.host}:
                raise PlaceError(
                    f"--host {host}: the relay is container {at.container.name} of {at.container.endpoint}"
                )
            return [ContainerPlace(name=at.container.name, api=DockerApi(self._engine()))]
        if host is not None and host not in at.hosts:
            raise PlaceError(f"--host {host}: the relay of stack {self.stack} runs on {', '.join(at.hosts)}")
        return [self.host(name) for name in at.hosts if host in {None, name}]

    def pods(self, at: PodsAt) -> list[PodPlace]:
        """Return the pods that run. Raises StoppedError where none does, KubectlError where none can be asked for."""
        running = [place for place in self._pods(at) if isinstance(place, PodPlace)]
        if not running:
            raise _no_pod(at)
        return running

    def _pods(self, at: PodsAt, only: str | None = None) -> list[PodPlace | StoppedPlace]:
        """Return the pods that run, then those that are there and do not. Raises PlaceError where there are none."""
        cluster = self.cluster(at)
        labels = ",".join(f"{name}={value}" for name, value in at.labels.items())
        text = cluster.run("get", "pods", f"--namespace={at.namespace}", f"--selector={labels}", "--output=json")
        # One that has ended is no pod of the workload any more: another has taken its place.
        found = [pod for pod in json.loads(text)["items"] if pod["status"].get("phase") not in {"Succeeded", "Failed"}]
        names = [str(pod["metadata"]["name"]) for pod in found]
        places = [self._pod(at, cluster, pod) for pod in found if only in {None, pod["metadata"]["name"]}]
        if not places and only is not None:
            raise PlaceError(
                f"no pod {only} of {at.workload} is in namespace {at.namespace} of {at.cluster}; "
                f"there are: {', '.join(names) or 'none'}"
            )
        if not places:
            raise _no_pod(at)
        return sorted(places, key=lambda place: isinstance(place, StoppedPlace))

    def _pod(self, at: PodsAt, cluster: Kubectl, pod: Mapping[str, Any]) -> PodPlace | StoppedPlace:
        name, phase = str(pod["metadata"]["name"]), str(pod["status"].get("phase"))
        if phase == "Running":
            return PodPlace(name=name, kubectl=cluster, namespace=at.namespace, container=at.container)
        said = [one["message"] for one in pod["status"].get("conditions", ()) if one.get("message")]
        return StoppedPlace(name=name, why=f"the pod is {phase}{f': {said[0]}' if said else ''}")

    def cluster(self, at: PodsAt) -> Kubectl:
        """Return the cluster that pods run on."""
        if at.own:
            return Kubectl(own_kubeconfig(self.stack, self.folder), at.context, program=self.kubectl)
        plan = self.plan
        placed = (plan.relay.kubernetes, None if plan.postal is None else plan.postal.kubernetes)
        kubeconfig = next((one.access.kubeconfig for one in placed if one is not None), None)
        return Kubectl(kubeconfig, at.context, program=self.kubectl)

    def _connection(self, name: str, at: HostAt) -> Connection:
        key, jump_key = self._keys(name)
        return Connection(
            **_place(at), private_key=key, attempts=ATTEMPTS,
            jump=None if at.jump is None else Jump(**_place(at.jump), private_key=jump_key),
        )  # fmt: skip

    def _keys(self, name: str) -> tuple[str | None, str | None]:
        if self.identity is not None:
            return self.identity, self.identity
        if name not in self.plan.hosts:
            return None, None
        declared = self.plan.hosts[name].connection
        return declared.private_key, None if declared.jump is None else declared.jump.private_key

    def _engine(self) -> EngineAccess:
        """Return the way to the relay's engine: where it was, with the login that is declared."""
        relay = self.operations.relay
        at = None if relay is None else relay.container
        if at is None:
            raise PlaceError(f"stack {self.stack} has no relay in a container")
        if at.endpoint.startswith("unix://"):
            return EngineAccess(endpoint=at.endpoint)
        if at.host is not None and self.identity is not None:
            raise PlaceError("--identity: the engine of this relay is reached as relay.docker.ssh_key says")
        declared = self.plan.relay.docker
        if declared is None:
            raise PlaceError("the stack's settings declare no container any more; run `pulumi up` first")
        access = declared.access
        options = access.ssh_options
        if at.host is not None and at.host in self.operations.hosts and not options:
            options = ssh_options(self._connection(at.host, self.operations.hosts[at.host]), None)
        return EngineAccess(
            endpoint=at.endpoint,
            ssh_options=options,
            ca_certificate=access.ca_certificate,
            certificate=access.certificate,
            private_key=access.private_key,
        )


def _no_pod(at: PodsAt) -> StoppedError:
    return StoppedError(
        f"no pod of {at.workload} runs in namespace {at.namespace} of {at.cluster}; "
        f"look: kubectl get pods -n {at.namespace}"
    )


def _place(at: JumpAt) -> dict[str, Any]:
    return {"address": at.address, "port": at.port, "user": at.user, "host_key": at.host_key}
