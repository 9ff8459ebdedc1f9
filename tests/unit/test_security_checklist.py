"""The security checklist names only what is there, and leaves nothing of the old pages' lists to a person."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.main import commands
from mailstack.policy import POLICIES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/reference/security-checklist.md"
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/reference/stack.schema.json").read_text())
# Made from the checks; tests of its own hold it against them.
CHECKS = set(re.findall(r"^\| \d+ \| `([\w-]+)`", (ROOT / "docs/reference/checks.md").read_text(), re.MULTILINE))
MARK = re.compile(r"`(\w+):([^`]+)`")
TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
# Of the five pages, in their order: the last list of the first, and what the others call security.
ITEMS = {
    "Production workflow": 10,
    "Workspace relay": 5,
    "Postfix gateway": 6,
    "Rocky 9 gateway": 4,
    "Relay on Kubernetes": 9,
    "Relay in Docker": 4,
}


def rows() -> Iterator[tuple[str, str, str, str]]:
    """Yield heading, item, what enforces it, test."""
    heading = ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if heading and line.startswith("|") and len(cells) == 3 and cells[0] != "Item" and set(cells[0]) != {"-"}:
            yield (heading, *cells)  # type: ignore[misc] # three of them


ROWS = list(rows())


def is_setting(path: str) -> bool:
    """Tell whether the schema of stack files knows ``path``; `*` is any name or any entry."""
    head, *rest = path.split(".")
    found: Any = SCHEMA["properties"]["config"]["properties"].get(f"mailstack:{head}")
    for key in rest:
        found = _inner(_followed(found), key)
    return found is not None


def _followed(found: Any) -> list[Any]:
    """Return the shapes behind references and alternatives."""
    if not isinstance(found, dict):
        return []
    if "$ref" in found:
        place: Any = SCHEMA
        for key in found["$ref"].removeprefix("#/").split("/"):
            place = place[key]
        return _followed(place)
    alternatives = [*found.get("anyOf", ()), *found.get("oneOf", ()), *found.get("allOf", ())]
    return [found, *(shape for one in alternatives for shape in _followed(one))]


def _inner(shapes: list[Any], key: str) -> Any:
    for shape in shapes:
        if key == "*":
            inner = shape.get("additionalProperties") or shape.get("items")
        else:
            inner = shape.get("properties", {}).get(key)
        if inner:
            return inner
    return None


def is_there(kind: str, name: str) -> bool:
    match kind:
        case "policy":
            return name in {policy.name for policy in POLICIES}
        case "setting":
            return is_setting(name)
        case "role":
            return (ROOT / "roles" / name / "__main__.py").is_file()
        case "check":
            return name in CHECKS
        case "command":
            return name in commands()
    return False


def test_every_list_of_the_old_pages_is_answered() -> None:
    counted = {heading: sum(row[0] == heading for row in ROWS) for heading in ITEMS}
    assert counted == ITEMS


@pytest.mark.parametrize(("heading", "item", "enforced", "tested"), ROWS, ids=[f"{row[0]}: {row[1]}" for row in ROWS])
def test_every_item_names_what_enforces_it_and_a_test_of_that(
    heading: str, item: str, enforced: str, tested: str
) -> None:
    marks = MARK.findall(enforced)
    assert marks, item
    assert re.sub(r"`[^`]+`|[, ]", "", enforced) == "", "nothing but marks, so that each is looked up"
    assert [f"{kind}:{name}" for kind, name in marks if not is_there(kind, name)] == []
    named = TEST.fullmatch(tested)
    assert named is not None, tested
    tree = ast.parse((ROOT / named[1]).read_text())
    assert named[2] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def test_every_policy_answers_an_item() -> None:
    assert {name for row in ROWS for kind, name in MARK.findall(row[2]) if kind == "policy"} == {
        policy.name for policy in POLICIES
    }


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("policy", "tls"),
        ("setting", "postal.password"),
        ("role", "exim"),
        ("check", "spf"),
        ("command", "hide"),
        ("", ""),
    ],
)
def test_what_is_not_there_is_noticed(kind: str, name: str) -> None:
    assert not is_there(kind, name)
