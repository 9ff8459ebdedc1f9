"""Any command, asked of the hosts that a kept rehearsal left up instead of those of the stack."""

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from cli.common import SOURCE

__all__ = ["EPILOG", "OPTIONS", "demo"]

EPILOG = """Before this, run `make demo`. Examples:

mailstack demo status\n
mailstack demo relay queue list\n
mailstack demo relay test --to someone@example.org

Of another rehearsal that was kept: mailstack demo status --stack docker
"""
# What stands behind `demo` belongs to the other command, its options and --help too.
OPTIONS = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def demo(
    command: Annotated[
        list[str], typer.Argument(metavar="COMMAND", help="any other command with its options", show_default=False)
    ],
) -> None:
    """Run a command against the demo: `mailstack demo status` is `mailstack status` of the hosts that make demo left.

    --stack is local where nothing else is said.
    """
    from rehearsal.kept import DEMO_STACK, environment_file

    stack = _stack_of(command)
    there = environment_file(stack or DEMO_STACK)
    if not there.exists():
        again = f"mailstack rehearse --stack {stack} --keep" if stack else "make demo"
        raise RuntimeError(f"no rehearsal of {stack or DEMO_STACK} is up: `{again}`")
    whole = command if stack else [*command, "--stack", DEMO_STACK]
    # The file is for a shell, so a shell reads it.
    argv = ["sh", "-c", '. "$0" && exec "$@"', str(there), sys.executable, "-m", "cli", *whole]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    raise typer.Exit(subprocess.run(argv, env=environment, check=False).returncode)


def _stack_of(arguments: Sequence[str]) -> str | None:
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if before == "--stack":
            return argument
        if argument.startswith("--stack="):
            return argument.partition("=")[2]
    return None
