"""The command line, ``mailstack``: one module for each group of commands."""

import sys
from collections.abc import Sequence

import typer

from cli import (
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

__all__ = ["app", "commands", "main"]

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0 when it worked, 1 when something is wrong, 2 for drift; more in a command's --help.

    Raises SystemExit with 2 for a wrong call.
    """
    try:
        code = app(args=None if arguments is None else list(arguments), prog_name="mailstack", standalone_mode=False)
    except typer.TyperException as error:
        if message := error.format_message():  # without one, help was shown already
            sys.stderr.write(f"{message}\n--help, behind a command too, tells how it is called.\n")
        raise SystemExit(error.exit_code) from None
    except Exception as error:
        if not _is_told(error):
            raise
        sys.stderr.write(f"{error}\n")
        return 1
    return int(code or 0)


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
