"""Stand-in for the kubernetes plugin where only the engine's own work is looked at: it asks no cluster."""

from rehearsal.plugins.kubernetes import KubernetesProvider
from rehearsal.plugins.provider import Log, Properties, plain, serve


class DryKubernetesProvider(KubernetesProvider):
    """Keeps objects nowhere but in the state."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        metadata = plain(inputs)["metadata"]
        return f"{metadata.get('namespace', '')}/{metadata['name']}", inputs

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        return inputs

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Tell of a ConfigMap that a job wrote nothing into; of anything else, that it is as it was made."""
        return identity, inputs, outputs or {"data": {}}

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Nothing is anywhere."""


if __name__ == "__main__":
    serve(DryKubernetesProvider())
