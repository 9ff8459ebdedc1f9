"""Reads what `pulumi preview --diff` prints: which lines are marked as changes, below which resource."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

HEADER = re.compile(r"^\s*([~+-]|\+-)?\s*(\S+:\S+:\S+): \((\w+)\)")
URN = re.compile(r"^\s*\[urn=(\S+)\]")
MARKED = re.compile(r"^\s+([~+-]) (\S.*?)\s*: (.*)$")
OUTPUTS = re.compile(r"^\s*--outputs:--")


@dataclass
class Shown:
    """What a preview shows as changed."""

    components: dict[str, dict[str, str]] = field(default_factory=dict)
    resources: dict[str, str] = field(default_factory=dict)
    details: dict[str, dict[str, str]] = field(default_factory=dict)
    outputs: set[str] = field(default_factory=set)


def read_preview(text: str) -> Shown:
    """Return the marked lines: component or resource, to key, to what happens to it (`"50" => "60"`, `+ "x"`)."""
    shown = Shown()
    kind = operation = name = ""
    in_outputs = False
    for line in text.splitlines():
        header, urn, marked = HEADER.match(line), URN.match(line), MARKED.match(line)
        if OUTPUTS.match(line):
            in_outputs = True
        elif header is not None:
            _, kind, operation = header.groups()
            in_outputs = False
        elif urn is not None:
            name = urn[1].rpartition("::")[2]
            if operation != "same" and not kind.startswith("mailstack:"):
                shown.resources[name] = operation
        elif marked is not None and in_outputs:
            shown.outputs.add(marked[2].split("[", maxsplit=1)[0].strip())
        elif marked is not None and operation == "update":
            sign, key, rest = marked.groups()
            place = shown.components if kind.startswith("mailstack:") else shown.details
            place.setdefault(name, {})[key] = rest if sign == "~" else f"{sign} {rest}"
    return shown


def expected(changes: Mapping[str, Mapping[str, str]]) -> dict[str, dict[str, str]]:
    """Return a plain copy, for comparison."""
    return {name: dict(keys) for name, keys in changes.items()}
