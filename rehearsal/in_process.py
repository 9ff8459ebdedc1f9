"""Runs the real ``__main__.py`` without a Pulumi CLI.

The SDK's mock monitor takes the engine's place; this back end really performs what the plugins would:
``command:remote:Command`` over SSH, Cloudflare records over HTTP, what a Docker engine runs, a cluster's objects. It
creates only: there is no state, no diff and no delete, so every run performs everything. Roles and a cluster's objects
are idempotent, which makes that harmless; a container takes the place of the one of the run before.
"""

import asyncio
import json
import os
import runpy
import threading
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import pulumi
from google.protobuf.json_format import MessageToDict
from pulumi.runtime import rpc, settings
from pulumi.runtime.config import set_all_config
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import Stack, run_pulumi_func

from components.previous import QUESTION, SECRETS_SEEN
from mailstack.plan import Secret
from mailstack.reach.bundle import command_line
from mailstack.reach.connection import Connection
from mailstack.reach.ssh import run_over_ssh
from rehearsal.in_process_docker import InProcessDocker
from rehearsal.in_process_kubernetes import InProcessKubernetes
from rehearsal.plugins.provider import PluginError

__all__ = ["InProcessBackend", "ResourceFailedError", "run_program"]

ROOT = Path(__file__).resolve().parent.parent
SHOWN_ERROR_LINES = 12
# A role's exit code when its check found differences.
EXIT_DRIFT = 2
# What the version of a secret is called among a component's inputs, behind the secret's own name.
VERSION = " version"
# Explicit providers, and who performs what belongs to them.
PLACES: Mapping[str, type[InProcessDocker | InProcessKubernetes]] = {
    "pulumi:providers:docker": InProcessDocker,
    "pulumi:providers:kubernetes": InProcessKubernetes,
}


class ResourceFailedError(RuntimeError):
    """A resource could not be created; the text names it and carries the last lines of its output."""


class InProcessBackend(Mocks):
    """Performs resources as they are registered, or with ``action`` check only compares and collects ``drift``."""

    def __init__(
        self,
        log: Callable[[str], None],
        *,
        action: Literal["apply", "check"] = "apply",
        cloudflare_url: str | None = None,
        previous: Mapping[str, Any] | None = None,
    ) -> None:
        """``log`` gets progress lines; ``cloudflare_url`` is the API that records go to, where the stack has any.

        ``previous`` is what an earlier run has ``left``: what has changed then is a new version of it.
        """
        self.left: dict[str, Any] = {}
        self._previous = previous or {}
        self.performed: list[tuple[str, str]] = []
        self.drift: list[str] = []
        self._log = log
        self._action = action
        self._cloudflare_url = cloudflare_url
        self._tokens: dict[str, str] = {}
        self._places: dict[str, InProcessDocker | InProcessKubernetes] = {}
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        """Answer what an earlier run has left; the program asks nothing else."""
        if args.token == QUESTION:
            return {"outputs": dict(self._previous)}, []
        raise NotImplementedError(f"the program called {args.token}, which the rehearsal does not know")

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        """Perform one resource and return its id and state."""
        with self._lock:
            if self._failure is not None:  # the engine starts nothing more after a failure, nor does this
                # The same again: which of the two the SDK tells first is anybody's guess.
                raise ResourceFailedError(str(self._failure))
            self.performed.append((args.typ, args.name))
        try:
            return self._perform(args, _plain(args.inputs))
        except Exception as error:
            with self._lock:
                self._failure = self._failure or error
            raise

    def _perform(self, args: MockResourceArgs, inputs: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        if args.typ == "command:remote:Command":
            return self._command(args.name, inputs)
        if args.typ == "cloudflare:index/dnsRecord:DnsRecord":
            return self._dns_record(args.name, args.provider or "", inputs)
        if args.typ == "pulumi:providers:cloudflare":
            identity = str(uuid.uuid4())
            self._tokens[identity] = inputs["apiToken"]
            return identity, inputs
        if args.typ in PLACES:
            identity = str(uuid.uuid4())
            self._places[identity] = PLACES[args.typ](inputs, self._log)
            return identity, inputs
        if args.typ.startswith(("docker:", "kubernetes:")):
            urn = f"urn:pulumi:in-process::mailstack::{args.typ}::{args.name}"
            self.left[urn] = {"type": args.typ, "outputs": inputs}
            return self._place(args, inputs)
        if args.typ.startswith("mailstack:"):
            urn = f"urn:pulumi:in-process::mailstack::{args.typ}::{args.name}"
            self.left[urn] = {"type": args.typ, "outputs": {SECRETS_SEEN: _secrets_seen(inputs)}}
            return None, inputs
        raise NotImplementedError(f"{args.name}: the rehearsal does not know how to perform {args.typ}")

    def _place(self, args: MockResourceArgs, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if self._action == "check":
            return args.name, inputs
        try:
            return self._places[(args.provider or "").rpartition("::")[2]].perform(args.typ, args.name, inputs)
        except PluginError as error:
            raise ResourceFailedError(f"{args.name}: {error}") from None

    def _command(self, name: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        self._log(f"{name}: running over SSH")
        finished = run_over_ssh(
            Connection.of_record(inputs["connection"]),
            inputs["create"] if self._action == "apply" else command_line("check"),
            inputs.get("stdin", ""),
            on_line=lambda line: self._log(f"  {line}"),
        )
        if self._action == "check" and finished.code == EXIT_DRIFT:
            found = json.loads(finished.stdout.splitlines()[-1])["changed"]
            self.drift += [f"{name}: {what}" for what in found]
        elif finished.code != 0:
            tail = "\n".join(finished.stderr.strip().splitlines()[-SHOWN_ERROR_LINES:])
            raise ResourceFailedError(f"{name} failed with exit code {finished.code}\n{tail}")
        return str(uuid.uuid4()), {**inputs, "stdout": finished.stdout, "stderr": finished.stderr}

    def _dns_record(self, name: str, provider: str, inputs: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        if self._cloudflare_url is None:
            raise ResourceFailedError(f"{name}: no Cloudflare API to send it to")
        if self._action == "check":
            return name, self._compare_record(name, provider, inputs)
        body = {key: inputs[key] for key in ("name", "type", "content", "ttl", "priority", "proxied") if key in inputs}
        result = self._call_cloudflare(name, provider, f"/zones/{inputs['zoneId']}/dns_records", body)
        return result["id"], inputs

    def _compare_record(self, name: str, provider: str, inputs: dict[str, Any]) -> dict[str, Any]:
        query = urllib.parse.urlencode({"name": inputs["name"], "type": inputs["type"]})
        path = f"/zones/{inputs['zoneId']}/dns_records?{query}"
        served = [record["content"] for record in self._call_cloudflare(name, provider, path)]
        if inputs["content"] not in served:
            self.drift.append(f"{name}: {inputs['type']} {inputs['name']} is not as declared")
        return inputs

    def _call_cloudflare(self, name: str, provider: str, path: str, body: dict[str, Any] | None = None) -> Any:
        request = urllib.request.Request(
            f"{self._cloudflare_url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self._tokens[provider.rpartition('::')[2]]}",
                "Content-Type": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)["result"]
        except urllib.error.HTTPError as error:
            raise ResourceFailedError(f"{name}: Cloudflare answered {error.code}: {error.read().decode()}") from None


def run_program(
    stack: str,
    config: Mapping[str, str],
    backend: Mocks,
    *,
    project: str = "mailstack",
    preview: bool = False,
    marked: bool = False,
    monitor: MockMonitor | None = None,
) -> dict[str, Any]:
    """Run ``__main__.py`` on the mock monitor and return the stack outputs, secrets unwrapped.

    With ``marked`` they are as the engine is told them: secrets keep their marks.

    ``config`` maps full keys (``mailstack:relay``) to text, structures as JSON: what the engine hands over.
    ``monitor`` takes the place of the SDK's own and asks ``backend``.
    Raises what the program or a resource raised.
    """
    # Nobody outside is asked what a real zone of this name holds, or what SPF records of others cost.
    os.environ.setdefault("MAILSTACK_RESOLVERS", "")
    # Pulumi keeps its state per event loop: a fresh one per run lets several runs follow each other.
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loops = [loop]

    def start_worker() -> None:
        # The SDK wants a loop in every thread of the pool, and leaves open those it makes itself.
        own = asyncio.new_event_loop()
        loops.append(own)
        asyncio.set_event_loop(own)

    loop.set_default_executor(ThreadPoolExecutor(initializer=start_worker))
    try:
        settings.reset_options(project=project, stack=stack)
        set_mocks(backend, project=project, stack=stack, preview=preview, monitor=monitor)
        # What a rehearsal is given is thrown away: it counts as encrypted.
        set_all_config(dict(config), list(config))
        return loop.run_until_complete(_run(marked=marked))
    finally:
        # Resources still in the making end before the caller may take their hosts away.
        loop.run_until_complete(loop.shutdown_default_executor())
        # The first failure has been raised. Whatever waited for that resource failed with it and need not say so.
        loop.set_exception_handler(lambda _loop, _context: None)
        for opened in loops:
            opened.close()
        asyncio.set_event_loop(None)


async def _run(*, marked: bool) -> dict[str, Any]:
    def program() -> None:
        runpy.run_path(str(ROOT / "__main__.py"), run_name="__main__")

    await run_pulumi_func(program)
    root = settings.get_root_resource()
    if not isinstance(root, Stack):
        raise TypeError("the SDK made no root stack")
    if marked:
        # Not the SDK's own way back: that marks whatever a secret is in.
        told: dict[str, Any] = MessageToDict(await rpc.serialize_properties(root.outputs, {}))
        return told
    return {key: await pulumi.Output.from_input(value).future() for key, value in root.outputs.items()}


def _secrets_seen(inputs: Mapping[str, Any]) -> dict[str, list[str | int]]:
    """Return what a component keeps of its secrets (``components.base``), from its inputs."""
    versions = {name.removesuffix(VERSION): int(text) for name, text in inputs.items() if name.endswith(VERSION)}
    return {name: [Secret(inputs[name]).digest, number] for name, number in versions.items() if name in inputs}


def _plain(value: Any) -> Any:
    """Return ``value`` with the secret markers taken off, at every depth."""
    if rpc.is_rpc_secret(value):
        return _plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value
