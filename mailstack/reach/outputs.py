"""What a stack tells, read with the Pulumi CLI, or from a file that it was asked to write elsewhere."""

import json
import subprocess
from pathlib import Path
from typing import Any

from mailstack.settings.refusals import way_out

__all__ = [
    "OutputError", "mail_servers", "opened_outputs", "parse_outputs", "secret_output", "stack_output", "stack_outputs",
]  # fmt: skip

LONGEST_SECONDS = 120
# What is sent with, of one of output `mail_servers`.
OF_MAIL_SERVER = (
    "smtp_host", "smtp_port", "smtp_starttls", "smtp_user", "smtp_keys", "api_url", "api_keys", "sender_domains",
)  # fmt: skip


class OutputError(RuntimeError):
    """The output could not be read; the text says why and what to do."""


def stack_output(name: str, stack: str, folder: Path, *, instead: str | None = None) -> str:
    """Return a stack's output as text. Raises OutputError without a CLI, a stack or such an output.

    ``instead`` is the option of the command that does without, where it has one.
    """
    return _ask(["pulumi", "stack", "output", name], f"output `{name}`", stack, folder, instead).strip()


def secret_output(name: str, stack: str, folder: Path) -> Any:
    """Return a stack's output as data, with its secrets: treat all of it as one. Raises OutputError."""
    command = ["pulumi", "stack", "output", name, "--json", "--show-secrets"]
    return json.loads(_ask(command, f"output `{name}`", stack, folder))


def mail_servers(stack: str, folder: Path) -> dict[str, dict[str, Any]]:
    """Return output ``mail_servers``, keys in clear. Raises OutputError where it is not as this version writes it."""
    told = secret_output("mail_servers", stack, folder)
    servers = told if isinstance(told, dict) else {"": told}
    lacking = [
        name for one in servers.values() for name in OF_MAIL_SERVER if not isinstance(one, dict) or name not in one
    ]
    if lacking:
        raise OutputError(
            f"output `mail_servers` of stack {stack} is not understood (it has no {lacking[0]}): it was written by "
            "another version of this project; run `pulumi up` with this one"
        )
    return servers


def stack_outputs(stack: str, folder: Path) -> dict[str, Any]:
    """Return all of a stack's outputs, secret ones as ``[secret]``. Raises OutputError."""
    found: dict[str, Any] = json.loads(
        _ask(["pulumi", "stack", "output", "--json"], "the outputs", stack, folder) or "{}"
    )
    return found


def opened_outputs(stack: str, folder: Path) -> dict[str, Any]:
    """Return all outputs of a stack, secrets in clear. Raises OutputError without a CLI or a stack.

    They come on the CLI's standard output, and are in no argument and no environment on the way.
    """
    command = ["pulumi", "stack", "output", "--json", "--show-secrets"]
    return parse_outputs(_ask(command, "the outputs", stack, folder, "--from-json"), f"stack {stack}")


def parse_outputs(text: str, source: str) -> dict[str, Any]:
    """Return the outputs in ``text``, as `pulumi stack output --json --show-secrets` prints them.

    ``source`` names it in errors. Raises OutputError where it is no such JSON.
    """
    try:
        found = json.loads(text)
    except ValueError as error:
        raise OutputError(f"{source} is no JSON: {error}; it is what {_printed()} prints") from None
    if not isinstance(found, dict) or "contract_version" not in found:
        raise OutputError(
            f"{source} has no outputs of this program (no contract_version); they are there once `pulumi up` went "
            f"through, and {_printed()} prints them"
        )
    return found


def _printed() -> str:
    return "`pulumi stack output --json --show-secrets --stack NAME`"


def _ask(command: list[str], what: str, stack: str, folder: Path, instead: str | None = None) -> str:
    """Return what the CLI prints. ``instead`` is the option that does without it."""
    command = [*command, "--stack", stack, "--non-interactive"]
    ways = {
        "--from-file": "look at what the stack file declares with --from-file",
        "--from-json": f"read what {_printed()} wrote elsewhere with --from-json FILE",
    }
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except FileNotFoundError:
        raise OutputError(
            "the outputs of a stack are read with the Pulumi CLI, and there is none on PATH; run "
            "scripts/install-pulumi.sh" + ("" if instead is None else f", or {ways[instead]}")
        ) from None
    except subprocess.TimeoutExpired:
        raise OutputError(f"`{' '.join(command)}` did not end within {LONGEST_SECONDS} seconds") from None
    if done.returncode:
        said = done.stderr.strip().splitlines()
        why = said[-1] if said else "no reason was given"
        fix = way_out(why)
        # Who does not get as far as the stack's state does not know what it would tell.
        if fix is not None:
            way = "" if instead is None else f"\nOr {ways[instead]}"
            raise OutputError(f"{what} of stack {stack} cannot be read: {why}\nFix: {fix}{way}")
        raise OutputError(
            f"{what} of stack {stack} cannot be read: {why}; a stack tells it once `pulumi up` went through"
            + ("" if instead is None else f", until then use {instead}")
        )
    return done.stdout
