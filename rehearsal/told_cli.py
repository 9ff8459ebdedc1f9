"""Answers as `pulumi stack output` and `pulumi config` do, of a stack that was rehearsed without an engine.

``python -m rehearsal.told_cli ANSWERS stack output [NAME] [--json] [--show-secrets] --stack NAME``. Everything else
needs the engine, and says so.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from pulumi.runtime import rpc

__all__ = ["main"]

HIDDEN = "[secret]"
NO_ENGINE = (
    "this stack was rehearsed without a Pulumi CLI, so only its outputs and its configuration can be read; "
    "`make engine` builds one"
)


def main(arguments: list[str]) -> int:
    """Print the answer; return the exit code."""
    parser = argparse.ArgumentParser(prog="pulumi", add_help=False, allow_abbrev=False)
    parser.add_argument("answers", type=Path)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--stack")
    for flag in ("--json", "--show-secrets", "--non-interactive"):
        parser.add_argument(flag, action="store_true")
    given, more = parser.parse_known_args(arguments)
    told = json.loads(given.answers.read_text())
    if more or given.words[:2] not in (["stack", "output"], ["config"]):
        return _failed(NO_ENGINE)
    if given.stack not in {None, told["stack"]}:
        return _failed(f"error: no stack named '{given.stack}' found")
    if given.words == ["config"]:
        return _said(json.dumps({key: _entry(text) for key, text in told["config"].items()}))
    outputs = {name: shown(value, secrets=given.show_secrets) for name, value in told["outputs"].items()}
    if len(given.words) == len(["stack", "output"]):
        return _said(json.dumps(outputs))
    name = given.words[-1]
    if name not in outputs:
        return _failed(f"error: current stack does not have output property '{name}'")
    return _said(outputs[name] if isinstance(outputs[name], str) and not given.json else json.dumps(outputs[name]))


def _entry(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {"value": text}
    return {"value": text, "objectValue": value} if isinstance(value, dict | list) else {"value": text}


def shown(value: Any, *, secrets: bool) -> Any:
    """Return an output as the CLI shows it: marked values in clear, or hidden; whole numbers as such."""
    if rpc.is_rpc_secret(value):
        return shown(rpc.unwrap_rpc_secret(value), secrets=secrets) if secrets else HIDDEN
    if isinstance(value, dict):
        return {key: shown(item, secrets=secrets) for key, item in value.items()}
    if isinstance(value, list):
        return [shown(item, secrets=secrets) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _said(text: str) -> int:
    sys.stdout.write(f"{text}\n")
    return 0


def _failed(text: str) -> int:
    sys.stderr.write(f"{text}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
