"""What a kept rehearsal leaves, and where, so that the commands for a running stack look after it as after a real one.

A file for the shell says where: the folder with the stack's own file, the engine's back end, the ground's resolver and
authorities. All of it is worth as little as the hosts: passwords and keys were made up for them.
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mailstack.reach.environment import PROJECT_VARIABLE, RESOLVERS
from mailstack.settings.stackfile import engine_config
from rehearsal.engine import Engine
from rehearsal.sealing import Sealer

__all__ = [
    "ANSWERS", "DEMO_STACK", "Way", "engine_folder", "engine_way", "environment_file", "leave_answers",
    "leave_environment", "rehearsal_name",
]  # fmt: skip

ROOT = Path(__file__).resolve().parent.parent
STATE = ROOT / ".rehearsal"
# That of `make demo`.
DEMO_STACK = "local"
ANSWERS = "answers.json"
# As Pulumi.yaml names it.
VIRTUAL_ENVIRONMENT = ".venv"
# The name by which the commands start the engine's CLI.
PROGRAM = """#!/bin/sh
PYTHONPATH={root} exec {python} -P -m rehearsal.told_cli {answers} "$@"
"""
HEAD = """\
# Makes this terminal look after the rehearsed stack {stack} and no other: `. {path}`, then
# `mailstack status --stack {stack}`. A new terminal has forgotten it.
"""


@dataclass(frozen=True, kw_only=True)
class Way:
    """How a shell gets to a stack: folders of programs that come first, and variables."""

    programs: Sequence[Path]
    variables: Mapping[str, str]


def rehearsal_name(stack: str, *, keep: bool) -> str:
    """Name ground and engine state. Two checkouts, or a kept demo and a test beside it, do not meet."""
    checkout = hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]
    return f"{stack}-{checkout}" if keep else f"{stack}-{checkout}-{os.getpid()}"


def engine_folder(name: str) -> Path:
    """Return where the rehearsal ``name`` has its engine's back end and its own copy of the stack file."""
    return STATE / f"engine-{name}"


def environment_file(stack: str) -> Path:
    """Return where a kept rehearsal leaves what a shell needs to find it."""
    return STATE / f"{stack}.env"


def leave_answers(folder: Path, stack: str, raw: Mapping[str, Any], outputs: Mapping[str, Any]) -> Way:
    """Leave what an engine would tell of a stack that was brought up without one; return the way there.

    ``outputs`` as ``run_program`` marks them.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    answers = folder / ANSWERS
    answers.touch(mode=0o600)
    answers.write_text(json.dumps({"stack": stack, "config": engine_config(raw), "outputs": dict(outputs)}))
    _stack_file(folder, stack, raw)
    programs = folder / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "pulumi"
    program.write_text(PROGRAM.format(**_quoted(root=ROOT, python=sys.executable, answers=answers)))
    program.chmod(0o755)
    return Way(programs=(programs,), variables={})


def _stack_file(folder: Path, stack: str, raw: Mapping[str, Any]) -> None:
    """Write the stack's file with its throw-away hosts, secrets encrypted as the CLI does it."""
    path = folder / f"Pulumi.{stack}.yaml"
    path.touch(mode=0o600)
    sealer = Sealer("thrown away")
    config = {f"mailstack:{key}": value for key, value in sealer.seal(dict(raw)).items()}
    path.write_text(json.dumps({"encryptionsalt": sealer.salt, "config": config}, default=str))


def engine_way(engine: Engine) -> Way:
    """Return the way to the back end of a rehearsal's own engine, and link the program beside its stack file.

    A rehearsal hands the engine its program itself. Whoever comes later has a language host, which looks for the
    program and its virtual environment in this folder, and would make an empty one.
    """
    environment = engine.folder / VIRTUAL_ENVIRONMENT
    if environment.is_dir() and not environment.is_symlink():  # made by a language host, before there was a link
        shutil.rmtree(environment)
    for name in ("__main__.py", VIRTUAL_ENVIRONMENT):
        (engine.folder / name).unlink(missing_ok=True)
        (engine.folder / name).symlink_to(ROOT / name)
    names = ("PULUMI_BACKEND_URL", "PULUMI_HOME", "PULUMI_SKIP_UPDATE_CHECK")
    return Way(
        programs=(engine.folder / "plugins", engine.cli.path.parent),
        variables={
            **{name: engine.environment[name] for name in names},
            "PULUMI_CONFIG_PASSPHRASE_FILE": str(engine.folder / "passphrase"),
            "PYTHONPATH": str(ROOT),  # the program's own packages
        },
    )


def leave_environment(
    path: Path, folder: Path, stack: str, way: Way, *, resolver: str | None, authorities: str
) -> None:
    """Write the file for the shell to ``path``; ``folder`` has the stack's file. ``resolver`` None: nobody is asked."""
    roots = folder / "authorities.pem"
    roots.write_text(authorities)
    told = {
        PROJECT_VARIABLE: str(folder),
        RESOLVERS: resolver or "",
        "SSL_CERT_FILE": str(roots),
        "REQUESTS_CA_BUNDLE": str(roots),
        **way.variables,
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in told.items()]
    # A passphrase that stands in the environment would win over the file with the right one.
    lines += [f"export PATH={_quoted_path(way.programs)}:$PATH\n", "unset PULUMI_CONFIG_PASSPHRASE\n"]
    path.touch(mode=0o600)
    path.write_text(HEAD.format(stack=stack, path=_near(path)) + "".join(lines))


def _near(path: Path) -> Path:
    return path.relative_to(ROOT) if path.is_relative_to(ROOT) else path


def _quoted_path(folders: Sequence[Path]) -> str:
    return ":".join(shlex.quote(str(folder)) for folder in folders)


def _quoted(**words: Path | str) -> dict[str, str]:
    return {name: shlex.quote(str(word)) for name, word in words.items()}
