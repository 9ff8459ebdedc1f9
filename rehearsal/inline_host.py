"""The program of a checkout, served to an engine that has no language host of its own.

The engine is started with ``--client`` and this process's address, as the Automation API does it, and calls the program
back. A process of its own for every run: the SDK keeps state, and so do modules. Prints the port, then waits to be
ended. Usage: python -m rehearsal.inline_host FOLDER
"""

import runpy
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc

__all__ = ["main"]


def main(folder: Path) -> None:
    """Serve ``folder``/__main__.py until this process is ended."""
    sys.path.insert(0, str(folder))

    def program() -> None:
        runpy.run_path(str(folder / "__main__.py"), run_name="__main__")

    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(LanguageServer(program), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # What the program prints is not the port.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
