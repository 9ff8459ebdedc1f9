"""The provider protocol (``pulumirpc.ResourceProvider``) around a plain Python object.

Values arrive and leave as plain data. A secret or unknown inside keeps the engine's marks: ``plain`` takes secrets'
marks off. Source: proto/pulumi/provider.proto of github.com/pulumi/pulumi.
"""

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime import rpc
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc, status_pb2

__all__ = ["UNKNOWN", "Difference", "PluginError", "Provider", "UnfinishedError", "plain", "secret", "serve", "whole"]

UNKNOWN = rpc.UNKNOWN
# A role's payload is a few hundred kilobytes, a stack's state in one message may be more.
MAX_MESSAGE_BYTES = 400 * 1024 * 1024
WORKERS = 16
Properties = dict[str, Any]


class PluginError(RuntimeError):
    """An operation failed; the text is what the engine shows."""


class UnfinishedError(PluginError):
    """Something was made but is not as it has to be: it is in the state, and the next update comes back to it."""

    def __init__(self, text: str, identity: str, outputs: "Properties") -> None:
        """Keep what was made."""
        super().__init__(text)
        self.identity = identity
        self.outputs = outputs


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What differs between two sets of inputs: path to ``add``, ``update`` or ``delete``; which paths replace.

    ``delete_first``: a replacement is made once the old one is gone, unless the program says otherwise.
    """

    changes: Mapping[str, str] = field(default_factory=dict)
    replaces: tuple[str, ...] = ()
    delete_first: bool = False


class Provider(Protocol):
    """What a plugin does. Inputs hold secrets as marked values; what is returned may too."""

    name: str
    version: str

    def configure(self, settings: Properties) -> None:
        """Take the provider's own configuration."""

    def check(self, kind: str, inputs: Properties, *, old: Properties, name: str) -> Properties:
        """Return inputs as the state keeps them. Raises PluginError for what the plugin does not know.

        ``old`` are those the state has, ``name`` is the resource's: for plugins that make a name of it.
        """

    def diff(self, kind: str, old: Properties, new: Properties) -> Difference:
        """Compare inputs."""

    def create(self, kind: str, inputs: Properties, *, preview: bool, log: "Log") -> tuple[str, Properties]:
        """Return id and outputs; a preview's id may be empty. Raises PluginError; then nothing is in the state."""

    def update(
        self, kind: str, identity: str, old: Properties, inputs: Properties, *, preview: bool, log: "Log"
    ) -> Properties:
        """Return the new outputs. Raises PluginError; then the state stays."""

    def read(
        self, kind: str, identity: str, inputs: Properties, outputs: Properties
    ) -> tuple[str, Properties, Properties] | None:
        """Return id, inputs and outputs as they are now; None for a resource that is gone.

        ``inputs`` and ``outputs`` are those of the state, both empty for an import.
        """

    def delete(self, kind: str, identity: str, outputs: Properties, *, log: "Log") -> None:
        """Remove the resource. Raises PluginError."""


def plain(value: Any) -> Any:
    """Return ``value`` with the secret marks taken off, at every depth."""
    if rpc.is_rpc_secret(value):
        return plain(rpc.unwrap_rpc_secret(value))
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if isinstance(value, list) else value


def secret(value: Any) -> Properties:
    """Return ``value`` marked as a secret."""
    return {rpc._special_sig_key: rpc._special_secret_sig, "value": value}  # noqa: SLF001 - the SDK has no public name


class Log:
    """Sends lines to the engine, which shows them beside the resource while it is worked on, and keeps none."""

    def __init__(self, engine: str, urn: str) -> None:
        """``engine`` is the engine's address, as it is given to every plugin on its command line."""
        self._engine = engine
        self.urn = urn

    @property
    def name(self) -> str:
        """The resource's name."""
        return self.urn.rpartition("::")[2]

    def info(self, text: str) -> None:
        """Show one line."""
        if not self._engine:
            return
        with grpc.insecure_channel(self._engine) as channel:
            request = engine_pb2.LogRequest(severity=engine_pb2.INFO, message=text, urn=self.urn, ephemeral=True)
            engine_pb2_grpc.EngineStub(channel).Log(request)


def _read(struct: struct_pb2.Struct) -> Properties:
    found: Properties = whole(json_format.MessageToDict(struct))
    return found


def whole(value: Any) -> Any:
    """Return numbers as the program wrote them: a Struct knows floats only."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


def _written(properties: Properties) -> struct_pb2.Struct:
    return json_format.ParseDict(properties, struct_pb2.Struct())


def _kind(urn: str) -> str:
    """Return a resource's type: the last part of the type chain in its URN."""
    return urn.split("::")[2].rpartition("$")[2]


class _Servicer(provider_pb2_grpc.ResourceProviderServicer):
    """Translates between the protocol and a ``Provider``."""

    def __init__(self, provider: Provider, engine: str) -> None:
        self._provider = provider
        self._engine = engine

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name, so below
        return plugin_pb2.PluginInfo(version=self._provider.version)

    def GetSchema(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.GetSchemaResponse(schema="{}")

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: N802
        same = plain(_read(request.olds)) == plain(_read(request.news))
        kind = provider_pb2.DiffResponse.DIFF_NONE if same else provider_pb2.DiffResponse.DIFF_SOME
        return provider_pb2.DiffResponse(changes=kind)

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: N802
        self._provider.configure(plain(_read(request.args)))
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, request: Any, context: Any) -> Any:  # noqa: N802
        try:
            inputs = self._provider.check(
                _kind(request.urn), _read(request.news), old=_read(request.olds), name=request.urn.rpartition("::")[2]
            )
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return provider_pb2.CheckResponse(inputs=_written(inputs))

    def Diff(self, request: Any, context: Any) -> Any:  # noqa: N802
        old = _read(request.old_inputs) or _read(request.olds)
        new = _read(request.news)
        for path in request.ignoreChanges:
            new.pop(path, None)
            old.pop(path, None)
        found = self._provider.diff(_kind(request.urn), old, new)
        details = {}
        for path, change in found.changes.items():
            name = f"{change.upper()}_REPLACE" if path in found.replaces else change.upper()
            kind = provider_pb2.PropertyDiff.Kind.Value(name)
            details[path] = provider_pb2.PropertyDiff(kind=kind, inputDiff=True)
        some = provider_pb2.DiffResponse.DIFF_SOME if found.changes else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some,
            replaces=list(found.replaces),
            diffs=sorted({path.partition("[")[0].partition(".")[0] for path in found.changes}),
            detailedDiff=details,
            hasDetailedDiff=True,
            deleteBeforeReplace=found.delete_first,
        )

    def Create(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs, log = _read(request.properties), Log(self._engine, request.urn)
        try:
            identity, outputs = self._provider.create(_kind(request.urn), inputs, preview=request.preview, log=log)
        except UnfinishedError as error:
            # Trailing metadata of this name is how gRPC carries details of an error (google.rpc.Status).
            context.set_trailing_metadata((("grpc-status-details-bin", _unfinished(error, inputs)),))
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return provider_pb2.CreateResponse(id=identity, properties=_written(outputs))

    def Update(self, request: Any, context: Any) -> Any:  # noqa: N802
        old, inputs, log = _read(request.olds), _read(request.news), Log(self._engine, request.urn)
        try:
            outputs = self._provider.update(
                _kind(request.urn), request.id, old, inputs, preview=request.preview, log=log
            )
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return provider_pb2.UpdateResponse(properties=_written(outputs))

    def Read(self, request: Any, context: Any) -> Any:  # noqa: N802
        inputs = _read(request.inputs)
        try:
            found = self._provider.read(_kind(request.urn), request.id, inputs, _read(request.properties))
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        if found is None:
            return provider_pb2.ReadResponse()
        identity, now, outputs = found
        return provider_pb2.ReadResponse(id=identity, inputs=_written(now), properties=_written(outputs))

    def Delete(self, request: Any, context: Any) -> Any:  # noqa: N802
        log = Log(self._engine, request.urn)
        try:
            self._provider.delete(_kind(request.urn), request.id, _read(request.properties), log=log)
        except PluginError as error:
            context.abort(grpc.StatusCode.UNKNOWN, str(error))
        return empty_pb2.Empty()

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: N802
        return empty_pb2.Empty()


def _unfinished(error: UnfinishedError, inputs: Properties) -> bytes:
    details = provider_pb2.ErrorResourceInitFailed(
        id=error.identity, properties=_written(error.outputs), reasons=[str(error)], inputs=_written(inputs)
    )
    status = status_pb2.Status(code=grpc.StatusCode.UNKNOWN.value[0], message=str(error))
    status.details.add().Pack(details)
    found: bytes = status.SerializeToString()
    return found


def serve(provider: Provider) -> None:
    """Serve ``provider`` until the engine ends this process. Prints the port, as the protocol wants it."""
    engine = next((argument for argument in sys.argv[1:] if not argument.startswith("-")), "")
    server = grpc.server(
        ThreadPoolExecutor(max_workers=WORKERS),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.max_send_message_length", -1)],
    )
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(_Servicer(provider, engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
