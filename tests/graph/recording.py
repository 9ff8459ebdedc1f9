"""A mock monitor that records what the program registers and performs nothing."""

import json
from typing import Any

from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockResourceArgs, Mocks

from components.previous import QUESTION
from mailstack.settings.stackfile import engine_config
from rehearsal.in_process import run_program

__all__ = ["KUBECONFIG", "Recorder", "is_secret", "plain", "run_graph"]

PROBE = {"ok": True, "target": "smtp-relay.gmail.com:587", "steps": [], "failure": None}
# What only the run that tells a secret prints, before its summary.
KUBECONFIG = "apiVersion: v1\nclient-key-data: planted-kubeconfig-key\n"


class Recorder(Mocks):
    """Remembers every registration, with secret markers as they arrive."""

    def __init__(self) -> None:
        self.resources: dict[str, MockResourceArgs] = {}

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        assert args.token == QUESTION, f"the program called {args.token}"
        return {"outputs": {}}, []

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        assert args.name not in self.resources, f"{args.name} was registered twice"
        self.resources[args.name] = args
        state = dict(args.inputs)
        if args.typ == "command:remote:Command":
            facts = {"probe": PROBE, "version": "v1.33.5+k3s1"}
            summary = {"role": args.name, "status": "changed", "facts": facts, "warnings": []}
            told = json.dumps({"secret": KUBECONFIG}) + "\n" if args.name == "cluster-kubeconfig" else ""
            state.update(stdout=told + json.dumps(summary) + "\n", stderr="")
        if args.typ == "docker:index/container:Container":
            state.update(exitCode=0, containerLogs="")
        return f"{args.name}-id", state

    def of_type(self, kind: str) -> dict[str, MockResourceArgs]:
        return {name: args for name, args in self.resources.items() if args.typ == kind}


def is_secret(value: Any) -> bool:
    return bool(rpc.is_rpc_secret(value))


def plain(value: Any) -> Any:
    if is_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value


def run_graph(raw: dict[str, Any], *, preview: bool = False) -> tuple[Recorder, dict[str, Any]]:
    """Run the program on ``raw`` and return what it registered and its outputs."""
    recorder = Recorder()
    outputs = run_program("test", engine_config(raw), recorder, preview=preview)
    return recorder, outputs
