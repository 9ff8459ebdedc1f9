"""The command line, ``mailstack``: one module for each group of commands."""

import functools
import io
import os
import sys
from collections.abc import Sequence

import typer
from typer.core import TyperGroup
from typer.main import get_group

from cli import (
    demo,
    diagnose,
    diff,
    doctor,
    env,
    files,
    policy,
    postal,
    pull_requests,
    records,
    relay,
    rotation,
    send,
    stacks,
    status,
    verify,
)
from cli.common import print_json, with_own_programs
from cli.ending import ends_tidily
from cli.verify_options import WrongCallError

__all__ = ["app", "command", "commands", "main"]

app = typer.Typer(
    name="mailstack",
    help="Mail stack as code: helpers around the Pulumi program.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(stacks.init)
app.command()(stacks.validate)
app.command()(stacks.drift)
# The files we write on hosts call it `mailstack check`, after the --check of the roles.
app.command("check", help="The same as drift.")(stacks.drift)
app.command()(stacks.rehearse)
app.command(epilog=demo.EPILOG, context_settings=demo.OPTIONS)(demo.demo)
app.command(epilog=diff.EPILOG)(diff.diff)
app.command()(doctor.doctor)
app.command()(status.status)
app.command(epilog=verify.EPILOG)(verify.verify)
app.command(epilog=diagnose.EPILOG)(diagnose.diagnose)
app.command(epilog=env.EPILOG)(env.env)
app.command()(policy.policy)
app.add_typer(records.dns, name="dns")
app.add_typer(rotation.rotate, name="rotate")
app.add_typer(records.dmarc, name="dmarc")
app.add_typer(relay.relay, name="relay")
app.add_typer(postal.postal, name="postal")
app.command(epilog=send.EPILOG)(send.send)
app.add_typer(pull_requests.pr, name="pr")
app.command()(files.schema)
app.command()(files.monitoring)


@functools.cache  # Typer works out the parameters of sixty functions each time it is asked
def command() -> TyperGroup:
    """Return the whole command line as one command."""
    return get_group(app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when it worked, 1 when something is wrong, 2 for drift; more in a command's --help.

    Raises SystemExit with 2 for a wrong call.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal cannot show is a ?, and ends nothing
            stream.reconfigure(errors="replace")
    os.environ["PATH"] = with_own_programs(os.environ.get("PATH", ""))
    try:
        with ends_tidily():
            code = command().main(
                args=None if arguments is None else list(arguments), prog_name="mailstack", standalone_mode=False
            )
    except typer.TyperException as error:
        if message := error.format_message():  # without one, help was shown already
            _tell(message, arguments)
            if not isinstance(error, WrongCallError):  # those say themselves what to write
                sys.stderr.write("--help, behind a command too, tells how it is called.\n")
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if not _is_told(error):
            raise
        # Who leaves at a question says nothing (typer.Abort).
        _tell(str(error) or "broken off: the question was not answered", arguments)
        return 1
    return int(code or 0)


def _tell(error: str, arguments: Sequence[str] | None) -> None:
    """Tell an error to people, and to machines where those were to have an answer: a command prints its own last."""
    sys.stderr.write(f"{error}\n")
    if "--json" in (sys.argv[1:] if arguments is None else arguments):
        print_json({"error": error})


def _is_told(error: Exception) -> bool:
    """Tell whether the error's text is all that a person needs."""
    from mailstack.settings.initialise import InitError
    from mailstack.settings.problems import SettingsError
    from mailstack.settings.stackfile import StackFileError

    return isinstance(error, SettingsError | StackFileError | InitError | RuntimeError)


def commands() -> tuple[str, ...]:
    """Return the names of all commands, and of groups of them."""
    alone = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
    return (*alone, *(group.name for group in app.registered_groups if group.name))
