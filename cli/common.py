"""What all commands share: the project's folder, how something is said, and common options."""

import sys
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["ROOT", "StackOption", "say"]

ROOT = Path(__file__).resolve().parent.parent

StackOption = Annotated[str, typer.Option("--stack", help="stack name: reads Pulumi.<stack>.yaml", show_default=False)]


def say(text: str) -> None:
    """Print a line at once, so that who waits sees it."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
