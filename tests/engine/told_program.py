"""Stands for a mail stack that is up: tells what ``told.json`` beside it says. ``{"secret": x}`` is a secret."""

import json
from pathlib import Path
from typing import Any

import pulumi


def opened(value: Any) -> Any:
    """Return ``value`` with marked secrets made secrets."""
    if isinstance(value, dict):
        if set(value) == {"secret"}:
            return pulumi.Output.secret(value["secret"])
        return {key: opened(item) for key, item in value.items()}
    return value


for name, value in json.loads((Path(__file__).parent / "told.json").read_text()).items():
    pulumi.export(name, opened(value))
