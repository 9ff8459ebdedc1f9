"""What the program registers, recorded and not performed: for whoever looks at a stack without an engine.

The SDK's mock monitor takes the engine's place. It tells its mocks neither options nor parents, so this one notes them.
"""

import json
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks

from mailstack.plan import load_plan
from mailstack.policy import Options, Resource
from mailstack.settings.stackfile import engine_config
from rehearsal.in_process import run_program

__all__ = ["recorded_resources"]

PROBE = {"ok": True, "target": "", "steps": [], "failure": None}
NO_ZONE = "0" * 32
FACTS = {"probe": PROBE, "version": "v1.33.5+k3s1"}


class _Answers(Mocks):
    """Answers as if everything had been made, so that the program runs to its end."""

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:  # noqa: ARG002
        return {"outputs": {}}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        state = dict(args.inputs)
        if args.typ == "command:remote:Command":
            summary = {"role": args.name, "status": "changed", "facts": FACTS, "warnings": []}
            state.update(stdout=f"{json.dumps({'secret': '{}'})}\n{json.dumps(summary)}\n", stderr="")
        if args.typ == "docker:index/container:Container":
            state.update(exitCode=0, containerLogs="")
        return f"{args.name}-id", state


class _Monitor(MockMonitor):
    """Notes each registration in the order in which it comes."""

    def __init__(self, mocks: Mocks) -> None:
        super().__init__(mocks)
        self.noted: list[Resource] = []

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the monitor's name for it
        if request.type != "pulumi:pulumi:Stack":
            self.noted.append(_resource(request, self.make_urn(request.parent, request.type, request.name)))
        return super().RegisterResource(request)  # type: ignore[no-untyped-call] # the SDK has no types for it


def _resource(request: Any, urn: str) -> Resource:
    return Resource(
        request.type,
        request.name,
        MessageToDict(request.object),
        Options(
            protect=request.protect,
            retain_on_delete=request.retainOnDelete,
            delete_before_replace=request.deleteBeforeReplace,
            parent=request.parent,
        ),
        urn,
    )


def recorded_resources(stack: str, raw: Mapping[str, Any], *, preview: bool = False) -> list[Resource]:
    """Run the program on ``raw`` (configuration key to value) and return what it registers, nothing of it made.

    With ``preview`` as the engine's preview does: what only an update tells is unknown. Nobody is asked what live zones
    hold. Raises SettingsError or pulumi.RunError for settings with mistakes.
    """
    answers = _Answers()
    monitor = _Monitor(answers)
    run_program(stack, engine_config(_alone(raw)), answers, preview=preview, monitor=monitor)
    return monitor.noted


def _alone(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``raw`` for a run that looks at no zone, and has an ID of its own for each that would be looked up."""
    found = load_plan(raw).dns.cloudflare
    dns = {**raw.get("dns", {}), "look_seconds": 0}
    if found is not None:
        zones = {zone: identity or NO_ZONE for zone, identity in found.zone_ids.items()}
        dns["cloudflare"] = {**dns["cloudflare"], "zones": zones}
    return {**raw, "dns": dns}
