"""Stand-in for the cloudflare plugin where only the engine's own work is looked at: it asks no API."""

from rehearsal.plugins.cloudflare import COMPUTED, CloudflareProvider
from rehearsal.plugins.provider import Log, Properties, serve


class DryCloudflareProvider(CloudflareProvider):
    """Keeps records nowhere but in the state."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        return log.name, {**inputs, **dict.fromkeys(COMPUTED, "")}

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        return {**inputs, **dict.fromkeys(COMPUTED, "")}

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        """Nothing is anywhere."""


if __name__ == "__main__":
    serve(DryCloudflareProvider())
