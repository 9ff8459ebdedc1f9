"""Every file, make target and command that documents, docstrings and messages name is there.

Links between documents: tests/unit/test_documents.py. How commands are called: tests/unit/test_shown_commands.py.
"""

import ast
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from cli.main import commands

ROOT = Path(__file__).resolve().parents[2]
# Paths below a folder of this project. A name with a placeholder (<role>, *, {…}, X) stands for many.
PATH = re.compile(
    r"(?<![\w./@-])((?:docs|roles|scripts|mailstack|components|rehearsal|tests|tools|images|cli)/[\w./-]*[\w-])"
)
TARGET = re.compile(r"`make ([a-z-]+)")
COMMAND = re.compile(r"`(?:\.venv/bin/)?mailstack ([a-z-]+)")
PLACEHOLDER = re.compile(r"[<>*{}]|NNNN")


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / name for name in listed.splitlines() if (ROOT / name).is_file()]


@cache
def texts() -> tuple[tuple[Path, str], ...]:
    """Return all prose: documents, stack files, and the docstrings and messages of the code."""
    return tuple(_texts())


def _texts() -> Iterator[tuple[Path, str]]:
    for path in tracked("*.md", "*.yaml", "Makefile"):
        yield path, path.read_text()
    for path in tracked("*.py"):
        if path.parts[-2:] != ("unit", "test_named_places.py") and "tests" not in path.relative_to(ROOT).parts[:1]:
            strings = [node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)]
            yield path, "\n".join(text for text in strings if isinstance(text, str))


@cache
def is_there(name: str) -> bool:
    """Tell whether there is such a path; docs/adr/0003 and mailstack/dns/spf are short for one file."""
    place = ROOT / name
    return place.exists() or any(place.parent.glob(f"{place.name}*"))


def wrong(found: Iterator[str]) -> list[str]:
    return sorted(set(found))


def test_every_path_that_is_named_is_there() -> None:
    def missing() -> Iterator[str]:
        for source, text in texts():
            for match in PATH.finditer(text):
                name = match[1].rstrip(".")
                after = text[match.end() : match.end() + 1]
                if PLACEHOLDER.search(name + after) or after == "$":
                    continue
                if not is_there(name):
                    yield f"{source.relative_to(ROOT)}: {name}"

    assert wrong(missing()) == []


@pytest.mark.parametrize(("kind", "pattern"), [("make", TARGET), ("mailstack", COMMAND)])
def test_every_command_that_is_named_exists(kind: str, pattern: re.Pattern[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    known = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE)) if kind == "make" else set(commands())
    named = {(str(source.relative_to(ROOT)), name) for source, text in texts() for name in pattern.findall(text)}
    assert len(named) > 5, "the pattern finds them"
    assert wrong(f"{source}: {kind} {name}" for source, name in named if name not in known) == []
