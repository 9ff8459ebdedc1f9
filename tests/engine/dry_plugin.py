"""Stand-in for the command plugin where only the engine's own work is looked at: it reaches no host.

Diffs, previews and the state are those of the real contract; a command that would run says what a role might. With
DRY_LOG it writes ``create NAME``, ``update NAME``, ``delete NAME`` into that file, and ``end NAME`` a moment later.
DRY_FAILS names the resource that fails: at once, or as soon as the file DRY_FAILS_AFTER is there. The engine begins
nothing new after a failure, so a test of what is made beside the failing one decides when it fails.
"""

import json
import os
import time
from pathlib import Path

from rehearsal.plugins.command import OUTPUTS, CommandProvider
from rehearsal.plugins.provider import UNKNOWN, Log, PluginError, Properties, secret, serve

PROBE = {"ok": True, "target": "smtp-relay.gmail.com:587", "steps": [], "failure": None}
FACTS = {"names": {}, "domains": {}, "containers": {}, "probe": PROBE}


# What would overlap does so within this time.
SECONDS = 0.3
# A gate that nobody opens holds the failure back no longer than this.
GATE_SECONDS = 60.0


class DryCommandProvider(CommandProvider):
    """Performs nothing."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: Log) -> tuple[str, Properties]:
        self._pretend("create", log, preview=preview)
        return "dry", self._answered(inputs, preview=preview)

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: Log
    ) -> Properties:
        self._pretend("update", log, preview=preview)
        return self._answered(inputs, preview=preview)

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: Log) -> None:
        self._pretend("delete", log, preview=False)

    def _pretend(self, action: str, log: Log, *, preview: bool) -> None:
        name, path, failing = log.urn.rpartition("::")[2], os.environ.get("DRY_LOG"), os.environ.get("DRY_FAILS")
        if preview:
            return
        if path is not None:
            _note(path, f"{action} {name}")
            time.sleep(SECONDS)
        if failing == name:
            _wait_for(os.environ.get("DRY_FAILS_AFTER"))
            raise PluginError(f"{failing} was told to fail")
        if path is not None:
            _note(path, f"end {name}")

    def _answered(self, inputs: Properties, *, preview: bool) -> Properties:
        if preview:
            return {**inputs, **dict.fromkeys(OUTPUTS, UNKNOWN)}
        return {**inputs, "stdout": secret(json.dumps({"facts": FACTS})), "stderr": secret("")}


def _wait_for(gate: str | None) -> None:
    deadline = time.monotonic() + GATE_SECONDS
    while gate is not None and not Path(gate).exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _note(path: str, line: str) -> None:
    with Path(path).open("a", encoding="utf-8") as log:
        log.write(f"{line}\n")


if __name__ == "__main__":
    serve(DryCommandProvider())
