"""Stand-in for the docker plugin where only the engine's own work is looked at: it asks no Docker engine.

A preview is the real contract's; an update says that each container ended well.
"""

from rehearsal.plugins.docker import COMPUTED, DockerProvider
from rehearsal.plugins.provider import Log, Properties, serve


class DryDockerProvider(DockerProvider):
    """Keeps networks, volumes and containers nowhere but in the state."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        if preview:
            return super().create(kind, inputs, preview=True, log=log)
        made = {**dict.fromkeys(COMPUTED[kind], ""), **({"exitCode": 0} if "exitCode" in COMPUTED[kind] else {})}
        return f"made-{log.name}", {**inputs, **made}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        return {**inputs, **{key: old[key] for key in COMPUTED[kind] if key in old}}

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Nothing is anywhere."""


if __name__ == "__main__":
    serve(DryDockerProvider())
