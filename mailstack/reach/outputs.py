"""What a stack tells, read with the Pulumi CLI."""

import json
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["OutputError", "secret_output", "stack_output", "stack_outputs"]

LONGEST_SECONDS = 120


class OutputError(RuntimeError):
    """The output could not be read; the text says why and what to do."""


def stack_output(name: str, stack: str, folder: Path) -> str:
    """Return a stack's output as text. Raises OutputError without a CLI, a stack or such an output."""
    return _told(["pulumi", "stack", "output", name, "--stack", stack, "--non-interactive"], name, stack, folder)


def secret_output(name: str, stack: str, folder: Path) -> Any:
    """Return a stack's output as data, with its secrets: treat all of it as one. Raises OutputError."""
    command = ["pulumi", "stack", "output", name, "--json", "--show-secrets", "--stack", stack, "--non-interactive"]
    return json.loads(_told(command, name, stack, folder))


def stack_outputs(stack: str, folder: Path) -> dict[str, Any]:
    """Return all of a stack's outputs, secret ones as ``[secret]``. Raises OutputError."""
    command = ["pulumi", "stack", "output", "--json", "--stack", stack, "--non-interactive"]
    found: dict[str, Any] = json.loads(_told(command, "(all of them)", stack, folder) or "{}")
    return found


def _told(command: list[str], name: str, stack: str, folder: Path) -> str:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except FileNotFoundError:
        raise OutputError(
            "the outputs of a stack are read with the Pulumi CLI, and there is none on PATH; run "
            "scripts/install-pulumi.sh, or look at what the stack file declares with --from-file"
        ) from None
    except subprocess.TimeoutExpired:
        raise OutputError(f"`{' '.join(command)}` did not end within {LONGEST_SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise OutputError(
            f"output `{name}` of stack {stack} cannot be read: {said[-1] if said else 'no reason was given'}; "
            "a stack tells it once `pulumi up` went through, until then use --from-file"
        )
    return done.stdout.strip()
