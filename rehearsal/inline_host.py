"""The program of a checkout, served to an engine that has no language host of its own.

The engine is started with ``--client`` and this process's address, as the Automation API does it, and calls the program
back. A process of its own for every run: the SDK keeps state, and so do modules. Prints the port, then waits to be
ended. Usage: python -m rehearsal.inline_host FOLDER
"""

import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import grpc
from pulumi.automation import _server
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2_grpc

__all__ = ["main"]


class _Traces(ModuleType):
    """Stands for the SDK's ``traceback``, and says nothing of what only follows from a resource that failed.

    The language host ends the program quietly then; two pages of traces would bury what the failed role said.
    """

    @staticmethod
    def format_exc() -> str:
        """Return the trace of a mistake in the program."""
        text = traceback.format_exc()
        return "" if "rpc_wrapper" in text else text


def main(folder: Path) -> None:
    """Serve ``folder``/__main__.py until this process is ended."""
    sys.path.insert(0, str(folder))
    _server.__dict__["traceback"] = _Traces("traceback")

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
