"""What the engine sees of drift: its preview with a refresh compares every resource it can read with what is declared.

Hosts' files it cannot read; those are `mailstack.reach.drift`'s.
"""

import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mailstack.reach.errors import DriftError

__all__ = ["NOT_BROUGHT_UP", "Preview", "engine_drift", "engine_preview"]

Preview = Callable[[], str]
# A preview of a thousand domains at Cloudflare's rate limit takes minutes.
LONGEST_SECONDS = 1800
SHOWN_CHARACTERS = 100
SHOWN_LINES = 12
# Steps that change nothing outside of the state.
QUIET = frozenset({"same", "refresh", "read", "read-discard"})
MEANING = {
    "create": "is not there",
    "delete": "is there, and declared no more",
    "update": "is not as declared",
    "replace": "is not as declared, and has to be made anew",
    "create-replacement": "is not as declared, and has to be made anew",
    "import": "is to be taken over",
}
# The second half of a replacement is told by the first.
HALVES = frozenset({"create-replacement", "delete-replaced", "discard-replaced"})
COMMAND = "command:remote:Command"
NOT_BROUGHT_UP = "is declared and was not brought up yet; `pulumi up` does"
SECRET = "[secret]"  # noqa: S105 - what the engine writes in place of one


def engine_preview(stack: str, folder: Path) -> str:
    """Run `pulumi preview --refresh` and return its JSON document. Changes nothing, the state included.

    Raises DriftError where the engine is missing or cannot look; the text has its reasons.
    """
    command = ["pulumi", "preview", "--refresh", "--json", "--stack", stack, "--non-interactive"]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=LONGEST_SECONDS)
    except FileNotFoundError:
        raise DriftError(
            "the Pulumi CLI is not on PATH: run scripts/install-pulumi.sh, or leave its look out with --no-engine"
        ) from None
    except subprocess.TimeoutExpired:
        raise DriftError(f"`{' '.join(command)}` did not end within {LONGEST_SECONDS} s") from None
    if done.returncode != 0:
        raise DriftError(f"the engine could not look:\n{_reasons(done.stdout, done.stderr)}")
    return done.stdout


def _reasons(stdout: str, stderr: str) -> str:
    """Return the errors of a preview that failed: in its document, else the end of what it said."""
    try:
        said = [one["message"].strip() for one in json.loads(stdout)["diagnostics"] if one["severity"] == "error"]
    except (ValueError, LookupError, TypeError):
        said = []
    lines = [line for text in said or [stderr or stdout] for line in text.strip().splitlines()]
    return "\n".join(lines[-SHOWN_LINES:])


def engine_drift(document: str) -> list[str]:
    """Return the differences in a preview's JSON, in words: the resource's name, and what is not as declared.

    Components are left out, since they only show what their resources have. Raises DriftError for no such document.
    """
    try:
        steps = json.loads(document)["steps"]
        return [found for step in steps for found in _differences(step)]
    except (ValueError, LookupError, TypeError) as error:
        raise DriftError(f"the engine's preview is not of the known form: {type(error).__name__}: {error}") from None


def _differences(step: Mapping[str, Any]) -> Iterator[str]:
    operation, state = step["op"], step.get("newState") or step.get("oldState") or {}
    if operation in QUIET or operation in HALVES or not state.get("custom", True) or _is_provider(state):
        return
    name = step["urn"].rpartition("::")[2]
    meaning = MEANING.get(operation, f"would be changed ({operation})")
    if state.get("type") == COMMAND:
        # The engine compares what a run was told with what it would be told now.
        yield f"{name}: {NOT_BROUGHT_UP}"
        return
    changes = list(_changes(step)) if operation in {"update", "replace"} else []
    yield f"{name}: {meaning}{': ' if changes else ''}{'; '.join(changes)}"


def _is_provider(state: Mapping[str, Any]) -> bool:
    return str(state.get("type", "")).startswith("pulumi:")


def _changes(step: Mapping[str, Any]) -> Iterator[str]:
    old = (step.get("oldState") or {}).get("inputs") or {}
    new = (step.get("newState") or {}).get("inputs") or {}
    for key in step.get("diffReasons") or ():
        yield f"{key} is {_shown(old.get(key))}, declared is {_shown(new.get(key))}"


def _shown(value: Any) -> str:
    if value is None:
        return "not set"
    if value == SECRET:
        return "another secret"
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
