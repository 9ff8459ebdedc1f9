"""Stands for `pulumi-language-python`, which is on no package registry: runs this project's program and policy pack.

What it keeps of the real one (v3.260 to v3.274, sdk/python/cmd/pulumi-language-python; analyzer_plugin.go and plugin.go
of resource/plugin): it prints its port, and is given the engine's address. Program and pack run on the Python of
``virtualenv`` in Pulumi.yaml, each in a process of its own, below the folder that the engine names. The whole
configuration travels in one variable of the environment, which Linux bounds (execve(2), MAX_ARG_STRLEN): above that the
program does not start. A program that has told its mistake ends with 32, and nothing more is said of it.

It makes no environment where there is none, installs nothing, and asks for no plugins: those on PATH are used. It is
started by its path and imports the SDK alone, so that a program finds nothing here that it would not find elsewhere.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

__all__ = ["LanguageHost", "main"]

# Runs a program once; by its path, as this file.
PROGRAM = Path(__file__).resolve().parents[1] / "inline_host.py"
TOLD = 32


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """The calls that the engine makes to run a program or a policy pack. ``engine`` is the engine's address."""

    def __init__(self, engine: str) -> None:
        """Nothing runs yet."""
        self._engine = engine

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Take the engine's address."""
        self._engine = request.engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Return a version that the engine knows."""
        return plugin_pb2.PluginInfo(version="3.274.1")

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Ask for no plugins."""
        return language_pb2.GetRequiredPackagesResponse()

    def GetRequiredPlugins(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Ask for no plugins, in the words of an older engine."""
        return language_pb2.GetRequiredPluginsResponse()

    def Run(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Run the program, and return once it has ended."""
        python = _python(Path(request.info.program_directory), MessageToDict(request.info.options))
        environment = {
            **os.environ,
            "PULUMI_CONFIG": _as_go_writes(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        request.ClearField("config")
        request.ClearField("configSecretKeys")
        request.args[:] = [self._engine]
        try:
            process = subprocess.Popen(
                [python, "-u", "-P", PROGRAM, "--once"], cwd=request.pwd, env=environment, stdin=subprocess.PIPE
            )
        except OSError as error:
            return language_pb2.RunResponse(error=f"problem executing program (could not run {python}): {error}")
        with process:
            context.add_callback(process.terminate)
            process.communicate(request.SerializeToString())
        if process.returncode in {0, TOLD}:
            return language_pb2.RunResponse(bail=process.returncode == TOLD)
        return language_pb2.RunResponse(error=f"program exited with non-zero exit code: {process.returncode}")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the protocol's name
        """Run a policy pack as long as the call lasts, and pass on what it prints: its port."""
        if request.kind != "analyzer":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"this stand-in runs no {request.kind}")
        folder = Path(request.info.program_directory)
        environment = dict(entry.split("=", 1) for entry in request.env)
        # The SDK's module runs a pack, given the engine's address and the folder (sdk/python/lib/pulumi/policy).
        command = [_python(folder, MessageToDict(request.info.options)), "-u", "-m", "pulumi.policy"]
        with subprocess.Popen(
            [*command, *request.args, str(folder)], cwd=request.pwd, env=environment or None, stdout=subprocess.PIPE
        ) as process:
            context.add_callback(process.terminate)
            assert process.stdout is not None  # noqa: S101 - tells the type checker what PIPE means
            for line in process.stdout:
                yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.returncode)


def _as_go_writes(config: dict[str, str]) -> str:
    """Return it as Go's encoding/json does: without blanks, and some characters as six."""
    text = json.dumps(config, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _python(folder: Path, options: dict[str, Any]) -> Path:
    return folder / str(options["virtualenv"]) / "bin" / "python"


def main(engine: str = "") -> None:
    """Serve the engine at this address until it ends this process."""
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(engine), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:  # how the engine ends what it has started
        server.stop(0).wait()  # and with it programs and packs, whose calls end


if __name__ == "__main__":
    main(*sys.argv[-1:] if len(sys.argv) > 1 else ())
