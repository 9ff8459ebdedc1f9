"""The text of postal.yml, and which process has to restart for which change.

The role merges the secrets in on the host, so this module keeps to Python 3.6 and the standard library.
"""

import hashlib
import json
from typing import Any, Dict, List, Mapping

from mailstack.postal.config_keys import KEYS

__all__ = ["PROCESSES", "RenderError", "config_digest", "merge", "render_postal_yml"]

PROCESSES = ("web", "smtp", "worker")
# Groups only one process reads; a change of any other concerns all three.
PRIVATE_GROUPS: Dict[str, str] = {"web_server": "web", "smtp_server": "smtp", "worker": "worker"}


class RenderError(ValueError):
    """A key is set twice, or a value cannot be written."""


def merge(config: Mapping[str, Any], secrets: Mapping[str, Any]) -> Dict[str, Dict[str, Any]]:
    """Return ``config`` with the secret keys added. Raises RenderError where both set one key."""
    merged: Dict[str, Dict[str, Any]] = {group: dict(config[group]) for group in config}
    for group, keys in secrets.items():
        for key, value in keys.items():
            if key in merged.get(group, {}):
                raise RenderError(f"{group}.{key} is set in the configuration and as a secret")
            merged.setdefault(group, {})[key] = value
    return merged


def render_postal_yml(config: Mapping[str, Mapping[str, Any]]) -> str:
    """Return postal.yml, version 2: blocks in Postal's order, every value a JSON scalar (which is YAML, too).

    Raises RenderError for a key Postal does not know and for null: Postal ignores the one and crashes on the other.
    """
    lines: List[str] = ["# Written by mailstack; changes made here are lost.", "version: 2"]
    for group in [name for name in KEYS if config.get(name)]:
        lines += ["", f"{group}:"]
        for key in [name for name in KEYS[group] if name in config[group]]:
            lines += _entry(group, key, config[group][key])
    written = {(group, key) for group in KEYS for key in KEYS[group]}
    for group in config:
        for key in config[group]:
            if (group, key) not in written:
                raise RenderError(f"{group}.{key} is no key of Postal's configuration")
    return "\n".join(lines) + "\n"


def _entry(group: str, key: str, value: Any) -> List[str]:
    if value is None:
        raise RenderError(f"{group}.{key} is null, which would replace Postal's default")
    if isinstance(value, (list, tuple)):
        if not value:
            return [f"  {key}: []"]
        return [f"  {key}:"] + [f"    - {_scalar(item)}" for item in value]
    return [f"  {key}: {_scalar(value)}"]


def _scalar(value: Any) -> str:
    # Unescaped: JSON writes characters beyond U+FFFF as two escapes, which YAML refuses. Control characters, where the
    # two formats differ as well, are refused by key_problems.
    return json.dumps(value, ensure_ascii=False)


def config_digest(process: str, config: Mapping[str, Mapping[str, Any]], signing_key: str) -> str:
    """Return what to label the containers of ``process`` with: it changes when the process must read its files anew."""
    read = {group: config[group] for group in config if PRIVATE_GROUPS.get(group, process) == process}
    text = json.dumps([read, signing_key], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]
