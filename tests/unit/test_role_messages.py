"""What a role on a host tells to set is a setting of the stack file: a person reads it there, and nowhere else."""

import json
import re
from typing import Any

import pytest

from tests.unit.documents import ROOT

SCHEMA = json.loads((ROOT / "docs/reference/stack.schema.json").read_text())
# A dotted name behind a word that tells a person to write it.
TOLD = re.compile(r"\b(?:[Ss]et|in|take|although|add to) ([a-z_]+(?:\.(?:[a-z0-9_]+|\*))+)")
JOINED = re.compile(r'"\s*\n\s*f?"')
SECTIONS = {"cluster", "database", "docker", "firewall", "hosts", "postal", "relay", "caddy", "dns", "relay_rule"}


def known(name: str) -> bool:
    """Tell whether a dotted name, ``*`` for any entry of a mapping, is a setting."""
    node: Any = SCHEMA["properties"]["config"]
    for part in f"mailstack:{name}".split("."):
        node = entry(resolved(node), part)
        if node is None:
            return False
    return True


def entry(node: dict[str, Any], part: str) -> Any:
    if part == "*":
        return node.get("additionalProperties")
    return node.get("properties", {}).get(part)


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node or "anyOf" in node:
        if "$ref" in node:
            found: Any = SCHEMA
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        else:
            node = next(one for one in node["anyOf"] if one.get("type") != "null")
    return node


def test_every_setting_that_a_role_tells_to_set_is_one_of_the_stack_file() -> None:
    found = {}
    for path in sorted((ROOT / "roles").rglob("*.py")):
        for match in TOLD.finditer(JOINED.sub("", path.read_text())):
            if match[1].partition(".")[0] in SECTIONS:
                found[f"{path.relative_to(ROOT)}: {match[1]}"] = known(match[1])
    assert [place for place, there in found.items() if not there] == []
    assert len(found) > 5


@pytest.mark.parametrize(
    ("name", "there"),
    [("hosts.*.firewall", True), ("postal.docker.source", True), ("docker.source", False), ("hosts.*.wall", False)],
)
def test_a_name_is_looked_up_as_the_schema_has_it(name: str, there: bool) -> None:
    assert known(name) is there
