"""What all commands share: the project's folder, how something is said, and common options."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ROOT", "JsonOption", "StackOption", "say", "tell", "today"]

ROOT = Path(__file__).resolve().parent.parent

StackOption = Annotated[str, typer.Option("--stack", help="stack name: reads Pulumi.<stack>.yaml", show_default=False)]

JsonOption = Annotated[bool, typer.Option("--json", help="one JSON document on standard output, nothing else there")]


def say(text: str) -> None:
    """Print a line at once, so that who waits sees it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """Print a line for people where standard output is for machines."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def today() -> date:
    """Return the date, the same for everybody: in UTC."""
    return datetime.now(UTC).date()
