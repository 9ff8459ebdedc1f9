"""What all commands share: the project's folder, how something is said, and common options."""

import json
import os
import shlex
import shutil
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from mailstack.reach.environment import PROJECT_VARIABLE

__all__ = [
    "OWN_PROGRAMS", "ROOT", "SOURCE", "JsonOption", "StackOption", "called", "in_dns", "json_text", "named",
    "print_json", "say", "tell", "today", "with_own_programs",
]  # fmt: skip

# The project, and the folder with the stack files: the same but for a rehearsal that is kept (`rehearse --keep`).
SOURCE = Path(__file__).resolve().parent.parent
ROOT = Path(os.environ.get(PROJECT_VARIABLE) or SOURCE)

# Where scripts/install-pulumi.sh puts the engine, as in the Makefile.
OWN_PROGRAMS = SOURCE / ".tools/bin"

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


def with_own_programs(path: str) -> str:
    """Return a PATH on which the engine of this checkout is found, behind all others."""
    own = str(OWN_PROGRAMS)
    return path if own in path.split(os.pathsep) else os.pathsep.join(filter(None, (path, own)))


def called(program: str, *, here: Path | None = None, path: str | None = None) -> str:
    """Return how ``mailstack`` or ``pulumi`` is called from where a person is: a command that is shown has to work.

    ``here`` is the current folder and ``path`` the PATH, without what this program added to it.
    """
    here = here or Path.cwd()
    places = {"mailstack": SOURCE / ".venv/bin/mailstack", "pulumi": OWN_PROGRAMS / "pulumi"}
    usual = os.pathsep.join(one for one in os.environ.get("PATH", "").split(os.pathsep) if one != str(OWN_PROGRAMS))
    place = places[program]
    inside = here.is_relative_to(ROOT)
    if shutil.which(program, path=path if path is not None else usual) or not place.exists():
        name = program
    else:
        name = shlex.quote(str(place.relative_to(here)) if place.is_relative_to(here) else str(place))
    # The engine looks for its project from the current folder upwards.
    return name if program != "pulumi" or inside else f"{name} -C {shlex.quote(str(ROOT))}"


def print_json(document: Any) -> None:
    """Print the one document of ``--json``; it is whole in every encoding."""
    say(json_text(document))


def json_text(document: Any) -> str:
    """Return a document as standard output can show it: what an encoding has no letter for is escaped."""
    return json.dumps(document, indent=2, ensure_ascii=not (sys.stdout.encoding or "").lower().startswith("utf"))


def in_dns(name: str) -> str:
    """Return a domain as the stack has it: A-labels in lower case. What is no name stays, for who says so."""
    from mailstack.dns.names import NameRuleError, normalise_name

    try:
        return normalise_name(name)
    except NameRuleError:
        return name.lower()


def named(told: Any, stack: str) -> Any:
    """Return ``told`` with the stack's name where its texts leave room for it, at every depth."""
    if isinstance(told, dict):
        return {key: named(value, stack) for key, value in told.items()}
    if isinstance(told, list):
        return [named(value, stack) for value in told]
    return told.replace("<stack>", stack) if isinstance(told, str) else told
