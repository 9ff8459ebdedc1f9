"""Stand-in for the command plugin where only the engine's own work is looked at: it reaches no host.

Diffs, previews and the state are those of the real contract; a command that would run says what a role might.
"""

import json
import os

from rehearsal.plugins.command import OUTPUTS, CommandProvider
from rehearsal.plugins.provider import UNKNOWN, Log, PluginError, Properties, secret, serve

PROBE = {"ok": True, "target": "smtp-relay.gmail.com:587", "steps": [], "failure": None}
FACTS = {"names": {}, "domains": {}, "containers": {}, "probe": PROBE}


class DryCommandProvider(CommandProvider):
    """Performs nothing."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        failing = os.environ.get("DRY_FAILS")
        if failing is not None and not preview and log.urn.endswith(f"::{failing}"):
            raise PluginError(f"{failing} was told to fail")
        return "dry", self._answered(inputs, preview=preview)

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        return self._answered(inputs, preview=preview)

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        return None

    def _answered(self, inputs: Properties, *, preview: bool) -> Properties:
        if preview:
            return {**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)}
        return {**inputs, "stdout": secret(json.dumps({"facts": FACTS})), "stderr": secret("")}


if __name__ == "__main__":
    serve(DryCommandProvider())
