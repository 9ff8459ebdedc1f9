"""Stands for `pulumi-language-python`, which is on no package registry, as far as a policy pack needs it.

The engine (v3.274.1, analyzer_plugin.go and plugin.go of resource/plugin) has the language host run the pack, and reads
its port from what it prints. The pack runs on the Python of ``options.virtualenv``, relative to its folder, by the
SDK's module ``pulumi.policy``, given the engine's address and the folder (sdk/python/lib/pulumi/policy/__main__.py;
the shim pulumi-analyzer-policy-python before). It ends with the call. The engine gives this program its address.
"""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

__all__ = ["LanguageHost", "main"]


class LanguageHost(language_pb2_grpc.LanguageRuntimeServicer):
    """Runs policy packs, and nothing else."""

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        return plugin_pb2.PluginInfo(version="3.274.1")

    def RunPlugin(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802 - the protocol's name
        if request.kind != "analyzer":
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"this stand-in runs no {request.kind}")
        folder = Path(request.info.program_directory)
        environment = dict(entry.split("=", 1) for entry in request.env)
        command = [str(_python(folder, MessageToDict(request.info.options))), "-u", "-m", "pulumi.policy"]
        with subprocess.Popen(
            [*command, *request.args, str(folder)], cwd=request.pwd, env=environment or None, stdout=subprocess.PIPE
        ) as process:
            context.add_callback(process.terminate)
            assert process.stdout is not None
            for line in process.stdout:
                yield language_pb2.RunPluginResponse(stdout=line)
        yield language_pb2.RunPluginResponse(exitcode=process.returncode)


def _python(folder: Path, options: dict[str, Any]) -> Path:
    return folder / str(options["virtualenv"]) / "bin" / "python"


def main() -> None:
    server = grpc.server(ThreadPoolExecutor(max_workers=4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageHost(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    try:
        server.wait_for_termination()
    except KeyboardInterrupt:  # how the engine ends what it has started
        server.stop(0).wait()  # and with it the packs, whose calls end


if __name__ == "__main__":
    main()
