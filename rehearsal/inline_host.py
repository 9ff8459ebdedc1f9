"""The program of a checkout, served to an engine that has no language host of its own.

The engine is started with ``--client`` and this process's address, as the Automation API does it, and calls the program
back. A process of its own for every run: the SDK keeps state, and so do modules. Prints the port, then waits to be
ended.

Usage: python -m rehearsal.inline_host FOLDER
       python rehearsal/inline_host.py --once   runs the request on standard input, as a language host's executor does
"""

import asyncio
import json
import os
import runpy
import sys
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from types import ModuleType

import grpc
from pulumi.automation import _server
from pulumi.automation._server import LanguageServer
from pulumi.runtime._grpc_settings import _GRPC_CHANNEL_OPTIONS
from pulumi.runtime.proto import language_pb2, language_pb2_grpc

__all__ = ["language_server", "main", "once"]

# A mistake was told to the engine already.
TOLD = 32


class _Traces(ModuleType):
    """Stands for the SDK's ``traceback``, and says nothing of what only follows from a resource that failed.

    The language host ends the program quietly then; two pages of traces would bury what the failed role said.
    """

    @staticmethod
    def format_exc() -> str:
        """Return the trace of a mistake in the program."""
        text = traceback.format_exc()
        return "" if "rpc_wrapper" in text else text


def _only_follows(*_cancelled: type[BaseException]) -> AbstractContextManager[None]:
    """Stand for the SDK's ``suppress`` where it cancels what is left of a program that failed.

    The SDK expects nothing but cancellations. A second resource that fails meanwhile would end the clean-up: with a
    traceback in place of an answer to the engine, and an event loop that nobody closes.
    """
    return suppress(Exception, asyncio.CancelledError)


def language_server(program: Path) -> LanguageServer:
    """Return what runs ``program`` when an engine asks for it."""
    _server.__dict__["traceback"] = _Traces("traceback")
    _server.__dict__["suppress"] = _only_follows

    def run() -> None:
        runpy.run_path(str(program), run_name="__main__")

    return LanguageServer(run)


def main(folder: Path) -> None:
    """Serve ``folder``/__main__.py until this process is ended."""
    sys.path.insert(0, str(folder))
    server = grpc.server(ThreadPoolExecutor(max_workers=4), options=_GRPC_CHANNEL_OPTIONS)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(language_server(folder / "__main__.py"), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # What the program prints is not the port.
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()


def once() -> int:
    """Run what the ``RunRequest`` on standard input names, with the configuration of the environment.

    Returns 0, or 32 where the program failed: the engine was told why.
    """
    request = language_pb2.RunRequest.FromString(sys.stdin.buffer.read())
    request.config.update(json.loads(os.environ["PULUMI_CONFIG"]))
    request.configSecretKeys.extend(json.loads(os.environ["PULUMI_CONFIG_SECRET_KEYS"]))
    program = Path(request.info.program_directory) / request.info.entry_point
    answer = language_server(program).Run(request, None)  # type: ignore[no-untyped-call]
    return TOLD if answer.error else 0


if __name__ == "__main__":
    if sys.argv[1] == "--once":
        sys.exit(once())
    main(Path(sys.argv[1]))
