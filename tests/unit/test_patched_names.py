"""Tests that replace a name of ours replace one that is there.

Neither ruff nor mypy reads the strings of ``monkeypatch.setattr``, and the tests on hosts that hold them run an hour
after a name has moved.
"""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FILES = sorted((ROOT / "tests").rglob("*.py"))


def module_file(dotted: str) -> Path | None:
    """Return the source of our module ``dotted``; None where there is none."""
    base = ROOT / Path(*dotted.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()), None)


@cache
def names_of(path: Path) -> frozenset[str]:
    """Return what a module's own statements bind, also those below a condition."""
    found: set[str] = set()
    waiting: list[ast.stmt] = list(ast.parse(path.read_text()).body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.If | ast.Try | ast.With):
            waiting += [child for child in ast.walk(node) if isinstance(child, ast.stmt) and child is not node]
        else:
            found |= {name.id for name in ast.walk(node) if isinstance(name, ast.Name) and not _is_read(name)}
    return frozenset(found)


def _is_read(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Load)


def modules_known_in(tree: ast.Module) -> dict[str, str]:
    """Return local name -> our module that it stands for."""
    known: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            known |= {alias.asname: alias.name for alias in node.names if alias.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            known |= {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
    return {name: dotted for name, dotted in known.items() if module_file(dotted)}


def replaced(source: str) -> Iterator[tuple[int, str, str]]:
    """Give (line, module, name) of each name of one of our modules that ``source`` replaces."""
    if "attr(" not in source:
        return  # to read every test would take seconds
    tree = ast.parse(source)
    known = modules_known_in(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        if not (isinstance(call.func, ast.Attribute) and call.func.attr in ("setattr", "delattr") and call.args):
            continue
        target = call.args[0]
        if isinstance(target, ast.Constant) and isinstance(target.value, str):
            dotted, _, name = target.value.rpartition(".")
        elif len(call.args) > 1 and isinstance(target, ast.Name) and isinstance(call.args[1], ast.Constant):
            dotted, name = known.get(target.id, ""), str(call.args[1].value)
        else:
            continue
        if dotted and module_file(dotted):
            yield call.lineno, dotted, name


def absent(source: str) -> list[str]:
    found = []
    for line, dotted, name in replaced(source):
        path = module_file(dotted)
        assert path is not None
        if name not in names_of(path) and not module_file(f"{dotted}.{name}"):
            found.append(f"line {line}: {dotted} has no {name}")
    return found


def test_a_name_that_a_test_replaces_is_there() -> None:
    wrong = {str(path.relative_to(ROOT)): absent(path.read_text()) for path in FILES}
    assert {path: lines for path, lines in wrong.items() if lines} == {}


def test_the_reading_finds_what_tests_replace() -> None:
    found = {(dotted, name) for path in FILES for _, dotted, name in replaced(path.read_text())}
    assert ("mailstack.reach.place", "FOLLOW_SECONDS") in found
    assert len(found) > 50, found


@pytest.mark.parametrize(
    "line",
    [
        "monkeypatch.setattr(place, 'GONE', 1)",
        "monkeypatch.setattr('mailstack.reach.place.GONE', 1)",
        "patch.delattr(place, 'GONE')",
    ],
)
def test_a_name_that_moved_is_told(line: str) -> None:
    assert absent(f"from mailstack.reach import place\n{line}") == ["line 2: mailstack.reach.place has no GONE"]


def test_what_is_there_or_not_ours_is_left_alone() -> None:
    source = """
import time
from mailstack.reach import place
from mailstack import reach
monkeypatch.setattr(place, "FOLLOW_SECONDS", 1)
monkeypatch.setattr(place, "HostPlace", 1)
monkeypatch.setattr(reach, "place", 1)
monkeypatch.setattr(time, "nothing", 1)
monkeypatch.setattr("time.nothing", 1)
"""
    assert absent(source) == []
