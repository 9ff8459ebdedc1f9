"""Stand-in for pulumi-resource-kubernetes: objects of any kind, applied on the server, waited for, and removed.

Contract of 4.34, read in provider/ of github.com/pulumi/pulumi-kubernetes; point by point, with what is not kept, in
tests/kubernetes/test_kubernetes_plugin.py, which holds the real plugin to the same promises. It speaks by kubectl.
"""

import base64
import contextlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version
from typing import Any

from mailstack.reach.kubectl import Kubectl, KubectlError, address_of
from rehearsal.kubernetes.programs import PROGRAMS
from rehearsal.plugins.differences import differences
from rehearsal.plugins.provider import Difference, Log, PluginError, Properties, UnfinishedError, plain, serve
from rehearsal.waiting import wait_for

__all__ = ["KubernetesProvider", "find_kubectl"]

MANAGER = "pulumi-kubernetes"
# The real one's own limit, where the program names none (provider/pkg/await).
SECONDS = 600.0
PAUSE_SECONDS = 0.5
# Annotation of what is ready at once (await/await.go).
SKIP_AWAIT = "pulumi.com/skipAwait"
SECRET_FIELDS = ("data", "stringData")
# Paths whose change makes a new object (provider/pkg/provider/fields.go); whose name stays goes first.
OF_ALL = ("apiVersion", "kind", "metadata.name", "metadata.namespace")
# Of ConfigMaps and Secrets the data too, unless the provider is told otherwise: so that what uses them rolls.
REPLACES: Mapping[str, tuple[str, ...]] = {
    "StatefulSet": (
        "spec.podManagementPolicy",
        "spec.revisionHistoryLimit",
        "spec.selector",
        "spec.serviceName",
        "spec.volumeClaimTemplates",
    ),
    "Deployment": ("spec.selector",),
    "Job": ("spec.completions", "spec.parallelism", "spec.selector", "spec.template"),
    "Secret": ("type", *SECRET_FIELDS),
    "ConfigMap": ("immutable", "data", "binaryData"),
    "Service": ("spec.clusterIP",),
}
OF_THE_SERVER = ("managedFields", "resourceVersion", "generation")


def find_kubectl() -> str:
    """Return the kubectl to use: one on PATH, else the one that ``make kubernetes`` built."""
    return shutil.which("kubectl") or str(PROGRAMS / "kubectl")


class KubernetesProvider:
    """Keeps what one cluster has."""

    name = "kubernetes"
    version = version("pulumi-kubernetes")

    def __init__(self) -> None:
        """The engine configures it before anything else."""
        self._cluster = Kubectl(None)

    def configure(self, settings: Properties) -> None:
        """Take where the cluster is."""
        self._cluster = Kubectl(settings.get("kubeconfig"), settings.get("context"), program=find_kubectl())

    def check(self, kind: str, inputs: Properties, *, old: Properties, name: str) -> Properties:
        """Take any kind; this project names all its objects."""
        if not plain(inputs).get("metadata", {}).get("name"):
            raise PluginError(f"the stand-in for the kubernetes plugin makes up no names: {kind} {name} has none")
        return inputs

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs. Of kinds that can be changed in place, only some fields make a new object."""
        before, after = (_inputs_of(one) for one in (old, new))
        changes = dict(differences(before, after))
        forced = (*OF_ALL, *REPLACES.get(str(plain(after).get("kind")), ()))
        replaces = tuple(path for path in changes if any(_is_below(path, one) for one in forced))
        same = [plain(one)["metadata"].get(key) for one in (before, after) for key in ("name", "namespace")]
        return Difference(changes=changes, replaces=replaces, delete_first=bool(replaces) and same[:2] == same[2:])

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        """Apply it and wait until it is as it has to be."""
        identity = _identity(plain(inputs))
        if preview:
            return identity, inputs
        with _failing():
            self._cluster.apply(plain(inputs), manager=MANAGER)
        self._settle(plain(inputs), identity, inputs, log)
        return identity, inputs

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        """Apply it again, and wait again."""
        if not preview:
            self.create(kind, inputs, preview=False, log=log)
        return inputs

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Tell what is gone, and what differs from the inputs by the server's own word."""
        told = _inputs_of(plain(inputs) or plain(outputs))
        with _failing():
            live = self._cluster.get(told)
            if live is None:
                return None
            same = _compared(live) == _compared(self._as_applied(told, live))
        seen = inputs if same else _seen(told, live)
        return identity, seen, {**outputs, **seen}

    def _as_applied(self, told: Properties, live: Properties) -> Properties:
        if told.get("immutable"):  # only its name can change
            return live
        return self._cluster.apply(told, manager=MANAGER, dry_run=True)

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Remove it with all that belongs to it, and wait until it is gone."""
        told = _inputs_of(plain(outputs))
        with _failing():
            self._cluster.run(
                "delete", *address_of(told), "--ignore-not-found", "--cascade=foreground",
                f"--timeout={SECONDS:.0f}s", seconds=SECONDS + 30,
            )  # fmt: skip

    def _settle(self, told: Properties, identity: str, inputs: Properties, log: Log) -> None:
        ways: Mapping[str, Callable[[Properties], None]] = {
            "StatefulSet": self._rolled,
            "Deployment": self._rolled,
            "Job": self._ended,
            "Service": self._reached,
        }
        wait = ways.get(told["kind"])
        if wait is None or told["metadata"].get("annotations", {}).get(SKIP_AWAIT) == "true":
            return
        log.info("waiting until it is ready")
        try:
            wait(told)
        except (KubectlError, PluginError) as error:
            raise UnfinishedError(f"{told['kind']} {identity}: {error}", identity, inputs) from None

    def _rolled(self, told: Properties) -> None:
        kind, *where = address_of(told)
        limit = f"--timeout={SECONDS:.0f}s"
        self._cluster.run("rollout", "status", kind, *where, limit, seconds=SECONDS + 30)

    def _ended(self, told: Properties) -> None:
        found: list[str] = []

        def over() -> bool:
            live = self._cluster.get(told) or {}
            conditions = live.get("status", {}).get("conditions", [])
            found[:] = [one["type"] for one in conditions if one["status"] == "True"]
            return "Complete" in found or "Failed" in found

        if not wait_for(over, SECONDS, pause=PAUSE_SECONDS) or "Failed" in found:
            raise PluginError(f"the job has not succeeded ({', '.join(found) or 'it still runs'})")

    def _reached(self, told: Properties) -> None:
        if told["spec"].get("type") != "LoadBalancer":
            return

        def addressed() -> bool:
            live = self._cluster.get(told) or {}
            return bool(live.get("status", {}).get("loadBalancer", {}).get("ingress"))

        if not wait_for(addressed, SECONDS, pause=PAUSE_SECONDS):
            raise PluginError("no load balancer gave it an address")


@contextlib.contextmanager
def _failing() -> Iterator[None]:
    try:
        yield
    except KubectlError as error:
        raise PluginError(str(error)) from None


def _inputs_of(found: Properties) -> Properties:
    """Return the manifest, without the marks the engine keeps beside it."""
    return {key: value for key, value in found.items() if not key.startswith("__")}


def _is_below(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


def _identity(told: Properties) -> str:
    metadata = told["metadata"]
    return "/".join(filter(None, (metadata.get("namespace"), metadata["name"])))


def _compared(found: Properties) -> Properties:
    metadata = {key: value for key, value in found["metadata"].items() if key not in OF_THE_SERVER}
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _seen(told: Any, live: Any) -> Any:
    """Return ``told`` with what is there now, for the fields that it names."""
    if isinstance(told, dict) and isinstance(live, dict):
        found = dict(told)
        for key, value in told.items():
            if key == "stringData":
                held = live.get("data", {})
                found[key] = {name: base64.b64decode(held[name]).decode() for name in value if name in held}
            elif key in live:
                found[key] = _seen(value, live[key])
            else:
                found.pop(key)
        return found
    return live


if __name__ == "__main__":
    serve(KubernetesProvider())
