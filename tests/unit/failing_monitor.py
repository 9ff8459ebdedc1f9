"""A made-up engine in which one resource fails while others are under way, and the inline host's answer to it.

Run as ``python -m tests.unit.failing_monitor PROGRAM``: prints the error that the host answers.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, language_pb2, resource_pb2, resource_pb2_grpc

from rehearsal import inline_host

__all__ = ["WHY", "main"]

# As the engine answers what waits for a step when another has failed (resmon in v3.274).
WHY = "resource monitor shut down while waiting on step's done channel"


class Monitor(resource_pb2_grpc.ResourceMonitorServicer):
    """Makes every resource in a moment, but for ``bad``."""

    def SupportsFeature(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        return resource_pb2.SupportsFeatureResponse(hasSupport=request.id in {"secrets", "outputValues"})

    def RegisterResource(self, request: Any, context: Any) -> Any:  # noqa: N802 - the protocol's name
        if request.name == "bad":
            time.sleep(0.4)
            context.abort(grpc.StatusCode.UNAVAILABLE, WHY)
        time.sleep(0.1)
        return resource_pb2.RegisterResourceResponse(urn=f"urn:pulumi:s::p::{request.type}::{request.name}", id="i")

    def RegisterResourceOutputs(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        return empty_pb2.Empty()


class Engine(engine_pb2_grpc.EngineServicer):
    """Keeps the root, and no log."""

    root = ""

    def Log(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        return empty_pb2.Empty()

    def GetRootResource(self, _request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        return engine_pb2.GetRootResourceResponse(urn=self.root)

    def SetRootResource(self, request: Any, _context: Any) -> Any:  # noqa: N802 - the protocol's name
        self.root = request.urn
        return engine_pb2.SetRootResourceResponse()


def main(program: Path) -> None:
    """Run ``program`` and print what the host answers."""
    server = grpc.server(ThreadPoolExecutor(16))
    resource_pb2_grpc.add_ResourceMonitorServicer_to_server(Monitor(), server)
    engine_pb2_grpc.add_EngineServicer_to_server(Engine(), server)
    address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    request = language_pb2.RunRequest(project="p", stack="s", monitor_address=address, args=[address], parallel=4)
    answer = inline_host.language_server(program).Run(request, None)  # type: ignore[no-untyped-call]
    sys.stdout.write(answer.error)
    server.stop(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
