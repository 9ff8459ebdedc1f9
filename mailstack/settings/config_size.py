"""How large a configuration may be.

With the language host, every user's way, the engine puts the whole configuration into one environment variable,
``PULUMI_CONFIG``. Linux takes 131,072 bytes for one string of the environment, name and final NUL included (execve(2),
MAX_ARG_STRLEN); beyond that the program does not start: ``fork/exec …: argument list too long``.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from mailstack.settings.problems import Problem

__all__ = ["LIMIT_BYTES", "config_bytes", "engine_json", "size_problem", "size_warning", "sized"]

LIMIT_BYTES = 131_072
WARN_SHARE = 0.8
VARIABLE = "PULUMI_CONFIG="
GCM_TAG_BYTES = 16
# Shorter than a line of a PEM text: the more line ends, the more bytes are foreseen.
LINE = 57
WAY_OUT = (
    "name keys once under dkim_keys and let domains refer to them by `key`, move the domains into a file "
    "(domains_file), or split the stack; see docs/how-to/many-domains.md"
)


def config_bytes(config: Mapping[str, str]) -> int:
    """Return the bytes ``config`` (full key to text, structures as JSON) takes in the environment."""
    return len(VARIABLE) + len(engine_json(config).encode()) + 1


def engine_json(value: Any) -> str:
    """Return ``value`` as the engine writes it: Go's encoding/json has no blanks, and some characters as six.

    A day without quotes is a date to the YAML parser; the engine has its text.
    """
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=str)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _secret_length(sealed: str) -> int:
    """Return how long a value encrypted by Pulumi may be in clear: ``v1:nonce:ciphertext``, or a cloud's own form."""
    try:
        length = len(base64.b64decode(sealed.rpartition(":")[2], validate=True))
    except (binascii.Error, ValueError):
        return len(sealed)
    return max(0, length - GCM_TAG_BYTES) if sealed.startswith("v1:") else length


def size_problem(config: Mapping[str, str]) -> Problem | None:
    """Return what is wrong with a configuration too large to start the program with; None when it fits."""
    size = config_bytes(config)
    if size <= LIMIT_BYTES:
        return None
    largest = max(config, key=lambda key: len(config[key]))
    return Problem(
        field=largest.partition(":")[2] or largest,
        value=f"{size:,} bytes with the rest of the configuration",
        rule=f"the engine hands all configuration over in one environment variable of {LIMIT_BYTES:,} bytes at most",
        fix=WAY_OUT,
    )


def size_warning(config: Mapping[str, str]) -> str | None:
    """Return a sentence about a configuration that is close to the limit; None when it is not."""
    size = config_bytes(config)
    if not WARN_SHARE * LIMIT_BYTES < size <= LIMIT_BYTES:
        return None
    return f"the configuration takes {size:,} of {LIMIT_BYTES:,} bytes; before it grows further: {WAY_OUT}"


def sized(value: Any) -> Any:
    """Return ``value`` with every encrypted entry replaced by as many characters as it may have in clear.

    A PEM text has a line end every 64 characters, which two layers of JSON write as three, and two short lines: what is
    foreseen is never less than what it takes.
    """
    if isinstance(value, Mapping):
        if set(value) == {"secure"} and isinstance(value["secure"], str):
            length = _secret_length(value["secure"])
            return "\n".join("x" * min(LINE, length - start) for start in range(0, length, LINE + 1))
        return {key: sized(item) for key, item in value.items()}
    if isinstance(value, list):
        return [sized(item) for item in value]
    return value
