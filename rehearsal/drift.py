"""Compares real hosts and records with the declaration, which `pulumi refresh` cannot: it does not see into hosts."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mailstack.stackfile import PROJECT, StackFileError, engine_config
from rehearsal.in_process import InProcessBackend, run_program

__all__ = ["CLOUDFLARE_API", "decrypted_config", "find_drift"]

CLOUDFLARE_API = "https://api.cloudflare.com/client/v4"


def find_drift(
    stack: str, raw: Mapping[str, Any], say: Callable[[str], None], *, cloudflare_url: str | None = CLOUDFLARE_API
) -> list[str]:
    """Run every role with ``--check`` and look every record up; return the differences, in words. Changes nothing.

    Raises what reaching a host or the API raises.
    """
    backend = InProcessBackend(say, action="check", cloudflare_url=cloudflare_url)
    run_program(stack, engine_config(raw), backend)
    return backend.drift


def decrypted_config(stack: str, folder: Path) -> dict[str, Any]:
    """Return the stack's configuration with its secrets, from the Pulumi CLI. Raises StackFileError when it cannot."""
    try:
        finished = subprocess.run(
            ["pulumi", "config", "--json", "--show-secrets", "--stack", stack, "--non-interactive"],
            check=False, capture_output=True, text=True, cwd=folder,
        )  # fmt: skip
    except FileNotFoundError:
        raise StackFileError("the Pulumi CLI is not on PATH; it decrypts the stack's secrets") from None
    if finished.returncode != 0:
        raise StackFileError(f"pulumi config failed: {finished.stderr.strip()}")
    entries = json.loads(finished.stdout)
    return {
        key.removeprefix(f"{PROJECT}:"): entry.get("objectValue", entry.get("value"))
        for key, entry in entries.items()
        if key.startswith(f"{PROJECT}:")
    }
