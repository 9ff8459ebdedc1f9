"""What the unit tests share."""

import typer.testing

from cli.main import command

# Its runner builds the whole command line anew for every call; a process of `mailstack` does it once.
typer.testing._get_command = lambda _: command()  # type: ignore[assignment, attr-defined]
